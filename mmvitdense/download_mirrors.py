"""Other places to fetch from than the address that was given, for those who cannot reach it."""

from __future__ import annotations

import os
import urllib.parse

from .download_address import DownloadError

MIRRORS = 'MMVITDENSE_MIRRORS'
"""Environment variable: `BEGINNING=REPLACEMENT` of addresses, several with spaces between them."""
_HUB = 'https://huggingface.co'
_OFFLINE = ('HF_HUB_OFFLINE', 'MMVITDENSE_OFFLINE')


def mirrored(url: str) -> str:
    """The address that is asked for in the place of another.

    The first beginning in `MMVITDENSE_MIRRORS` that fits is replaced; those of huggingface.co follow `HF_ENDPOINT`. The
    cache knows a file by the address that was given.

    Raises:
        DownloadError: `HF_HUB_OFFLINE` forbids what is asked of huggingface.co, or `MMVITDENSE_OFFLINE` all.
    """
    of_hub = url.startswith(f'{_HUB}/')
    for name in _OFFLINE:
        if os.environ.get(name, '').lower() not in ('', '0', 'false', 'no', 'off') and (of_hub or name != _OFFLINE[0]):
            raise DownloadError(
                f'{url} is not here and is not fetched, because the environment variable {name} is set: unset it, or '
                'fetch the file by hand and give its path.'
            )
    for pair in os.environ.get(MIRRORS, '').split():
        beginning, _, replacement = pair.partition('=')
        if urllib.parse.urlsplit(replacement).scheme not in ('http', 'https'):
            raise DownloadError(f'{MIRRORS}: expected BEGINNING=REPLACEMENT, two parts of addresses, got {pair!r}.')
        if url.startswith(beginning):
            return replacement + url.removeprefix(beginning)
    endpoint = os.environ.get('HF_ENDPOINT', '').rstrip('/')
    return endpoint + url.removeprefix(_HUB) if of_hub and endpoint else url
