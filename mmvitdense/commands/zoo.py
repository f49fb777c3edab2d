"""List the models of the zoo, search them, show one, or fetch the weights of some.

Words are looked for in the name, the family, the task, the data, the licence and the access of a model; all of them
have to be there. Weights are kept in the cache of torch.hub, where `mmvitdense test NAME` and all other commands find
them.
"""

from __future__ import annotations

import argparse

from mmvitdense.apis.arguments import add_refetch

EXAMPLE = 'mmvitdense zoo vitdet instance coco --published'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('words', nargs='*', metavar='WORD', help='what to look for; a whole name shows that model')
    parser.add_argument('--task', help='detection, instance, semantic or panoptic')
    parser.add_argument('--family', help='such as ViTDet')
    parser.add_argument('--dataset', help='such as COCO or ADE20K')
    parser.add_argument('--licence', '--license', help='a part of its name, such as Apache')
    parser.add_argument('--access', choices=['free', 'gated', 'click-through', 'dead'], help='how the weights are got')
    parser.add_argument('--max-params', type=float, metavar='M', help='most parameters, in millions')
    parser.add_argument('--published', action='store_true', help='only models with published weights')
    parser.add_argument('--download', action='store_true', help='fetch the weights of all that are found')
    parser.add_argument('--json', action='store_true', help='print as JSON')
    add_refetch(parser)


def run(arguments: argparse.Namespace) -> int:
    """List, show or fetch."""
    from mmvitdense.apis.zoo import download_entries, find_entries, list_entries, show_entry

    entries = find_entries(
        arguments.words,
        task=arguments.task,
        family=arguments.family,
        dataset=arguments.dataset,
        licence=arguments.licence,
        access=arguments.access,
        max_params=arguments.max_params,
        published=arguments.published,
    )
    if arguments.download:
        return download_entries(entries)
    shown = arguments.words and len(entries) == 1
    print(show_entry(entries[0], arguments.json) if shown else list_entries(entries, arguments.json))
    return 0
