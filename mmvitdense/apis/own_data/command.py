"""What the command `mmvitdense data` does, step by step."""

from __future__ import annotations

import argparse
import json
import shlex

from mmvitdense.datasets.checks import DataError
from mmvitdense.datasets.doctor import FORMATS, Found, Layout, Options, convert, layout_in_place, look, parts_of

from ..errors import InputError
from ..files import check_output_file
from .plain_data import as_plain_data
from .table import as_text
from .writing import check_config_file, write_config


def run_command(arguments: argparse.Namespace) -> int:
    """Look at the data, say what it is, and write what was asked for; returns the exit code."""
    _check_arguments(arguments)
    options = Options(tuple(arguments.classes or ()), arguments.table, arguments.background)
    found = look(arguments.paths, arguments.format, arguments.task, options, arguments.check_images == 'all')
    print(json.dumps(as_plain_data(found), indent=2) if arguments.json else as_text(found), flush=True)
    if arguments.report:
        from .report import write_report

        write_report(found, arguments.report)
        _say(arguments, f'Report: {arguments.report}')
    _refuse(found, arguments.leave_out, arguments.resplit)
    if not (arguments.convert or arguments.write_config):
        return 0
    task = _task(found, arguments.task)
    layout = _layout(found, task, arguments)
    if arguments.write_config:
        for note in write_config(layout, arguments.model, arguments.write_config):
            _say(arguments, f'Note: {note}')
        training = shlex.join(['mmvitdense', 'train', arguments.write_config])
        _say(arguments, f'Config: {arguments.write_config}; train with: {training}')
    return 0


def _say(arguments: argparse.Namespace, text: str) -> None:
    if not arguments.json:
        print(text, flush=True)


def _check_arguments(arguments: argparse.Namespace) -> None:
    if arguments.write_config and not arguments.model:
        raise InputError('--write-config needs --model, such as --model vitdet-b-dinov3.')
    if not 0 < arguments.val_share < 1:
        raise InputError(f'--val-share must be between 0 and 1, got {arguments.val_share}.')
    keys = [format.key for format in FORMATS]
    if arguments.format and arguments.format not in keys:
        raise InputError(f'--format {arguments.format} is not known: give one of {", ".join(keys)}.')
    if arguments.report:
        check_output_file(arguments.report, '--report')
    if arguments.write_config:
        check_config_file(arguments.write_config)


def _refuse(found: Found, leave_out: bool, resplit: bool) -> None:
    """Raise with the first thing that has to be mended; all of them were printed."""
    serious = found.problems.serious(leave_out, resplit)
    if serious:
        more = f' ({len(serious) - 1} more above)' if len(serious) > 1 else ''
        raise DataError(f'{serious[0].text}{more}')


def _task(found: Found, task: str | None) -> str:
    if task is None:
        return found.tasks[0]
    if task not in found.tasks:
        has = 'boxes alone' if found.tasks == ('detection',) else ' and '.join(found.tasks)
        raise InputError(
            f'--task {task}: {found.root} ({found.format}) has {has}: use --task {found.tasks[0]}, or give data that '
            'has more.'
        )
    return task


def _layout(found: Found, task: str, arguments: argparse.Namespace) -> Layout:
    """The data as it can be trained on: converted, or as it is."""
    parts, note = parts_of(found, arguments.val_share, arguments.resplit)
    if note:
        _say(arguments, f'Note: {note}')
    if arguments.convert:
        layout = convert(found, parts, arguments.convert, task, arguments.copy)
        _say(arguments, f'Converted: {arguments.convert}')
        return layout
    if layout := layout_in_place(found, parts, task, arguments.paths[0]):
        return layout
    raise InputError(
        f'--write-config: {found.format} as it lies in {found.root} is not what mmdet and mmseg read: add '
        '--convert DIR.'
    )
