"""Say which versions are installed, which devices and kernels there are, and what is missing.

Each problem has the command that mends it. Nothing is compiled, fetched or written.
"""

from __future__ import annotations

import argparse

EXAMPLE = 'mmvitdense info --json'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('--json', action='store_true', help='print plain data, for programs and for reports of faults')


def run(arguments: argparse.Namespace) -> int:
    """Look and print."""
    import json

    from mmvitdense.apis.environment import environment_report, report_as_text

    report = environment_report()
    print(json.dumps(report, indent=2) if arguments.json else report_as_text(report))
    return 0
