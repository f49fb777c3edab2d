"""Files fetched by their http(s) address: whole, what they were published as, and each address only once.

Everything of this project that takes an address fetches it here, mmengine's own loading of checkpoints included (see
`mmvitdense.compat.checkpoints`).
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from .download_address import KINDS, Address, DownloadError, parse_address
from .download_hosts import advice_for
from .download_mirrors import mirrored
from .progress import bar

SECONDS = 30.0
"""How long a server may take to answer, and between two parts of what it sends."""
REFETCH = 'MMVITDENSE_REFETCH'
"""Environment variable: '1' fetches again what was fetched before, once in each process (`--refetch` of the tools)."""
_ATTEMPTS = 3
_CHUNK = 1 << 18
_PAGE = re.compile(rb'(\xef\xbb\xbf)?\s*((<\?.*?\?>|<!--.*?-->)\s*)*<(!doctype )?html', re.IGNORECASE | re.DOTALL)
_TOKEN_HOST = 'huggingface.co'

_fetched_again: set[str] = set()


class _BrokenError(Exception):
    """A transfer that ended early and may be taken up again."""


def fetched(url: str, folder: str | os.PathLike | None = None) -> str:
    """Fetch a file once into the cache and return its path.

    The file has its name only when it is whole: as long as the server says, no web page, and with the SHA-256 whose
    first digits stand in its name (`name-0123abcd.pth`, as torch.hub has them) or after the address
    (`https://host/file#sha256=...`), or the MD5 sum (`model_final_0123ab.pkl` as detectron2 has them, `#md5=...`). What
    was interrupted is taken up where the server allows it, and a file that is not as long any more as it was is fetched
    again. Several processes that ask for one file wait for the first. `HF_TOKEN` is sent to huggingface.co and to no
    other host.

    Args:
        url: An http or https address.
        folder: The cache; by default `checkpoints` in torch.hub's, which follows `TORCH_HOME`.

    Returns:
        The path; the name begins with eight digits made of the address, so that files of one name at several
        addresses do not meet.

    Raises:
        DownloadError: It cannot be fetched, or is not what it should be.
    """
    address = parse_address(url)
    target = Path(folder or _cache()) / f'{address.key}-{address.name}'
    if _is_there(target, address.url):
        return str(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target) as part:
            # Another process may have fetched it meanwhile.
            if not _is_there(target, address.url):
                download(url, target, part)
                _length_file(target).write_text(str(target.stat().st_size))
                _fetched_again.add(address.url)
    except OSError as error:
        raise DownloadError(
            f'{url} cannot be kept in {target.parent} ({error.strerror or error}): make room, or name another folder '
            'with the environment variable TORCH_HOME.'
        ) from error
    return str(target)


def download(
    url: str, target: Path, part: Path | None = None, largest: int | None = None, cookie: str | None = None
) -> None:
    """Fetch a file to a given place, whole or not at all.

    Args:
        url: As for `fetched`.
        target: Where to put it.
        part: Name for the unfinished file, by default one beside `target`. It stays after an interruption if the
            server says which version it is of, so that the next call goes on from there.
        largest: Most bytes that are taken.
        cookie: What a login has given; it is sent to the host of the address alone.

    Raises:
        DownloadError: As for `fetched`, or it is larger.
        OSError: It cannot be written.
    """
    address = parse_address(url)
    part = part or target.with_name(f'.{os.getpid()}-{target.name[-80:]}.part')
    try:
        for attempt in range(_ATTEMPTS):
            try:
                _transfer(address, part, largest, cookie)
                break
            except _BrokenError as broken:
                if attempt == _ATTEMPTS - 1:
                    raise DownloadError(f'{url} cannot be fetched ({broken}): try again later.') from broken
        _check_content(address, part)
        os.replace(part, target)
    except BaseException as error:
        # Nothing goes on from a part of which nobody knows what it is a part of, and it fills a disk for nothing.
        if isinstance(error, OSError) or not _version_file(part).is_file():
            _remove(part)
        raise
    _version_file(part).unlink(missing_ok=True)


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def _cache() -> str:
    import torch

    return os.path.join(torch.hub.get_dir(), 'checkpoints')


def _is_there(target: Path, url: str) -> bool:
    again = os.environ.get(REFETCH, '') not in ('', '0') and url not in _fetched_again
    return target.is_file() and not again and not _torn(target)


def _length_file(target: Path) -> Path:
    """Where it is written how long a file was when it was fetched."""
    return target.with_name(f'.{target.name}.length')


def _torn(target: Path) -> bool:
    """Whether a file is shorter or longer than what was fetched."""
    try:
        return target.stat().st_size != int(_length_file(target).read_text())
    except (OSError, ValueError):  # of an older version, which did not write it
        return False


@contextmanager
def _locked(target: Path) -> Iterator[Path]:
    """Wait until no other process fetches this file; gives the name of the unfinished file."""
    try:
        import fcntl
    except ImportError:  # Windows: each process fetches to a name of its own
        yield target.with_name(f'.{target.name}.{os.getpid()}.part')
        return
    with open(target.with_name(f'.{target.name}.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield target.with_name(f'.{target.name}.part')


def _version_file(part: Path) -> Path:
    """Where it is written which version of a file `part` is the beginning of."""
    return part.with_name(f'{part.name}.version')


def _transfer(address: Address, part: Path, largest: int | None, cookie: str | None = None) -> None:
    """Fetch the rest of a file, or all of it."""
    version_file = _version_file(part)
    version = _version(part)
    begin = part.stat().st_size if version else 0
    headers = {'Range': f'bytes={begin}-', 'If-Range': version} if begin else {}
    with _opened(address.url, headers, cookie) as answer:
        if answer.status != 206:
            begin = 0
        elif not _goes_on(answer, begin, version):
            _remove(part)
            raise _BrokenError('the server sent another part than was asked for, or of another version')
        length = answer.headers.get('Content-Length', '')
        expected = begin + int(length) if re.fullmatch('[0-9]+', length) else None
        if largest is not None and (expected or 0) > largest:
            raise DownloadError(f'{address.url} is larger than {largest / 1e9:.3g} GB.')
        if not begin:
            _refuse_page(address.url, answer.headers.get_content_type(), b'')
            version_file.unlink(missing_ok=True)
            if version := _strong_version(answer):
                version_file.write_text(version, encoding='latin-1')
        with open(part, 'ab' if begin else 'wb') as file:
            _copy(address, answer, file, begin, expected, largest)


def _version(part: Path) -> str:
    """Which version of a file `part` is the beginning of; '' if nobody knows."""
    try:
        version = _version_file(part).read_text(encoding='latin-1')
    except OSError:
        return ''
    return version if version.isprintable() and part.is_file() else ''


def _goes_on(answer: HTTPResponse, begin: int, version: str) -> bool:
    """Whether a partial answer is the rest of what is there; some servers do not look at `If-Range`."""
    if not answer.headers.get('Content-Range', 'bytes 0-').startswith(f'bytes {begin}-'):
        return False
    answered = _strong_version(answer)
    # An entity tag is always repeated, a time need not be.
    return not begin or answered == version or not (answered or version.startswith('"'))


def _copy(
    address: Address, answer: HTTPResponse, file: Any, done: int, expected: int | None, largest: int | None
) -> None:
    with bar(expected, address.name, done, in_bytes=True) as advance:
        while True:
            try:
                # What has come, so that it is kept when the rest does not.
                chunk = answer.read1(_CHUNK)
            except (OSError, HTTPException) as error:
                raise _BrokenError(f'{_reason(error)} after {done} bytes') from error
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
            advance(len(chunk))
            if largest is not None and done > largest:
                raise DownloadError(f'{address.url} is larger than {largest / 1e9:.3g} GB.')
    if expected is not None and done != expected:
        raise _BrokenError(f'it ended after {done} of {expected} bytes')


def _check_content(address: Address, part: Path) -> None:
    """Raise, and remove what was fetched, unless it is what its address promises."""
    try:
        digest = hashlib.new(address.kind, usedforsecurity=False)
        with open(part, 'rb') as file:
            start = file.read(_CHUNK)
            if not start:
                raise DownloadError(f'{address.url} is an empty file: ask its publisher, or fetch it by hand.')
            _refuse_page(address.url, '', start)
            digest.update(start)
            if address.digest:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        if address.digest and not digest.hexdigest().startswith(address.digest):
            raise DownloadError(
                f'{address.url} is not the file that was published: its {KINDS[address.kind]} begins with '
                f'{digest.hexdigest()[: len(address.digest)]}, expected {address.digest}. Try again; if you trust it, '
                'fetch it by hand and give its path.'
            )
    except DownloadError:
        _remove(part)
        raise


def _refuse_page(url: str, content_type: str, start: bytes) -> None:
    if content_type in ('text/html', 'application/xhtml+xml') or _PAGE.match(start):
        link = ' (on huggingface.co and github.com: with /resolve/ or /raw/ in the place of /blob/)'
        raise DownloadError(f'{url} is a web page, not a file: give the address of the download itself{link}.')


def _strong_version(answer: HTTPResponse) -> str:
    """What `If-Range` can compare: a strong entity tag, else the time of the last change; '' without byte ranges."""
    if answer.headers.get('Accept-Ranges', 'bytes') != 'bytes':
        return ''
    tag = answer.headers.get('ETag', '')
    version = tag if tag.startswith('"') else answer.headers.get('Last-Modified', '')
    return version if version.isprintable() else ''


def _opened(url: str, headers: dict[str, str], cookie: str | None = None) -> HTTPResponse:
    request = urllib.request.Request(
        mirrored(url), headers={'User-Agent': 'mmvitdense', 'Accept-Encoding': 'identity', **headers}
    )
    _authorize(request)
    if cookie:
        request.add_unredirected_header('Cookie', cookie)
    try:
        return urllib.request.build_opener(_Redirects).open(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and headers:  # the part that is here is no beginning of that file
            return _opened(url, {}, cookie)
        said = f'the server says {error.code} {" ".join(str(error.reason).split())}'.rstrip()
        if error.code >= 500 or error.code == 429:
            raise _BrokenError(said) from error
        if advice := advice_for(url):
            raise DownloadError(f'{url} cannot be fetched ({said}): {advice}.') from error
        token = ', which needs a token in the environment variable HF_TOKEN' if _asks_for_token(url, error.code) else ''
        raise DownloadError(
            f'{url} cannot be fetched ({said}{token}): correct the address, or '
            'fetch the file by hand and give its path.'
        ) from error
    except ssl.SSLError as error:
        raise DownloadError(_unreachable(url, error)) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, 'reason', error)
        if isinstance(reason, (TimeoutError, ConnectionResetError)):
            raise _BrokenError(_reason(reason)) from error
        raise DownloadError(_unreachable(url, reason)) from error


def _unreachable(url: str, reason: Any) -> str:
    advice = advice_for(url)
    advice = f'; {advice}' if advice else ''
    return (
        f'{url} cannot be fetched ({_reason(reason)}): check the network, or fetch the file by hand and give its '
        f'path{advice}.'
    )


def _reason(error: Any) -> str:
    if isinstance(error, TimeoutError):
        return f'no answer within {SECONDS:g} s'
    return ' '.join(str(error).split()) or type(error).__name__


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to other http(s) addresses; a token goes nowhere else."""

    def redirect_request(self, request: Any, file: Any, code: int, message: str, headers: Any, url: str) -> Any:
        if urllib.parse.urlsplit(url).scheme not in ('http', 'https'):
            raise DownloadError(f'{request.full_url} cannot be fetched: it leads to {url}, expected http or https.')
        new = super().redirect_request(request, file, code, message, headers, url)
        if new is not None:
            _authorize(new)
        return new


def _authorize(request: urllib.request.Request) -> None:
    parts = urllib.parse.urlsplit(request.full_url)
    if (token := os.environ.get('HF_TOKEN')) and (parts.scheme, parts.hostname) == ('https', _TOKEN_HOST):
        # Unlike other headers, such a one is not sent on to where the address leads.
        request.add_unredirected_header('Authorization', f'Bearer {token.strip()}')


def _asks_for_token(url: str, code: int) -> bool:
    return code in (401, 403) and urllib.parse.urlsplit(url).hostname == _TOKEN_HOST
