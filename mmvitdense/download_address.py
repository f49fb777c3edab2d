"""Addresses of files: what they are called in the cache, and which check sum their names promise."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from .download_hosts import cannot_be_fetched

_HASH = re.compile(r'-([0-9a-f]{8,64})\.\w+$')
"""As in the names of torch.hub and OpenMMLab: the beginning of the SHA-256 of the file."""
_MD5 = re.compile(r'^model_final_([0-9a-f]{6})\.pkl$')
"""As in the names of detectron2's models: the beginning of the MD5 sum of the file (`MODEL_ZOO.md`)."""
KINDS = {'sha256': 'SHA-256', 'md5': 'MD5 sum'}
_DATE = re.compile(r'(19|20)\d{6}')


class DownloadError(Exception):
    """An address that cannot be fetched; the message names it, says why, and what to do."""


class Address(NamedTuple):
    """A file by its address.

    Attributes:
        url: What is asked for.
        name: Name of the file.
        digest: First digits of its check sum; None where nothing says it.
        kind: Of which kind the check sum is, one of `KINDS`.
        given: Whether it was given with the address.
    """

    url: str
    name: str
    digest: str | None
    kind: str
    given: bool

    @property
    def key(self) -> str:
        """Eight digits that stand for this file in the cache."""
        return hashlib.sha256((f'{self.url}#{self.digest}' if self.given else self.url).encode()).hexdigest()[:8]


def parse_address(url: str) -> Address:
    """Read an address.

    Raises:
        DownloadError: It is none, or one that no program can fetch.
    """
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise DownloadError(f'{url} is not an address ({error}): correct it.') from error
    if parts.scheme not in ('http', 'https') or not parts.hostname:
        advice = 'give the path itself' if parts.scheme == 'file' else 'fetch it by hand and give its path'
        raise DownloadError(f'{url} cannot be fetched: expected an address with http or https; {advice}.')
    if advice := cannot_be_fetched(url):
        raise DownloadError(f'{url} cannot be fetched by a program: {advice}.')
    name = re.sub(r'[^\w.+-]', '_', Path(urllib.parse.unquote(parts.path)).name)[-120:].lstrip('.') or 'file'
    kind, digest, given = _check_sum(url, parts.fragment, name)
    # Spaces and letters beyond ASCII are no part of a request.
    clean = urllib.parse.quote(parts._replace(fragment='').geturl(), safe="%/:=&?~#+!$,;'@()*[]")
    return Address(clean, name, digest, kind, given)


def _check_sum(url: str, fragment: str, name: str) -> tuple[str, str | None, bool]:
    """The kind of a check sum, its first digits, and whether these were given after the address."""
    given = urllib.parse.parse_qs(fragment, keep_blank_values=True)
    for kind, least in (('sha256', 8), ('md5', 6)):
        if kind in given:
            digits, most = given[kind][0].lower(), 2 * hashlib.new(kind, usedforsecurity=False).digest_size
            if not re.fullmatch(f'[0-9a-f]{{{least},{most}}}', digits):
                raise DownloadError(f'{url}: expected {least} to {most} hexadecimal digits after #{kind}=.')
            return kind, digits, True
    if found := _MD5.match(name):
        return 'md5', found[1], False
    found = _HASH.search(name)
    return 'sha256', found[1] if found and not _DATE.fullmatch(found[1]) else None, False
