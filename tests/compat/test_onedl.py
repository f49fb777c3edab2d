"""The message about a package that nobody needs is dropped; all others are printed."""

import logging

import mmengine.logging

import mmvitdense.compat.onedl as onedl


def test_one_message_is_dropped(capsys):
    before = mmengine.logging.print_log
    with onedl.quiet():
        for message, level in (
            ('Could not import OneDL. Skipping OneDL datasets.', logging.DEBUG),
            ('Could not import OneDL', logging.DEBUG),
            ('Could not import OneDL', logging.WARNING),
            ('something else', logging.DEBUG),
        ):
            mmengine.logging.print_log(message, level=level)
        mmengine.logging.print_log('to nobody', 'silent')
    assert capsys.readouterr().out == 'Could not import OneDL\nsomething else\n'
    assert mmengine.logging.print_log is before
