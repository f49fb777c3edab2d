"""What a file is that holds no weights, or holds them as nothing here reads them, by how it begins."""

from __future__ import annotations

_AGAIN = 'copy or fetch it again'
_CONVERTED = 'save the weights with torch.save or as safetensors where it can be read'
_UNPACKED = 'unpack it and give the file of the weights'
_PICTURE = 'a picture and no checkpoint'
# (how it begins, what it is and what to do)
_SIGNS = (
    (
        b'version https://git-lfs',
        'the pointer of Git LFS to a file: run `git lfs pull` in its folder, or fetch the file itself',
    ),
    (b'/annex/objects/', 'the pointer of git-annex to a file: run `git annex get` on it, or fetch the file itself'),
    (b'GGUF', f'a file of GGUF, whose weights are those of llama.cpp, most often quantised: {_CONVERTED}'),
    (b'lmgg', f'a file of GGML, whose weights are those of llama.cpp, most often quantised: {_CONVERTED}'),
    (b'\x89HDF', f'a file of HDF5, as Keras writes weights: {_CONVERTED}'),
    (b'\x1f\x8b', f'an archive of gzip: {_UNPACKED}'),
    (b'\x28\xb5\x2f\xfd', f'an archive of zstd: {_UNPACKED}'),
    (b'\xfd7zXZ', f'an archive of xz: {_UNPACKED}'),
    (b'7z\xbc\xaf', f'an archive of 7z: {_UNPACKED}'),
    (b'Rar!', f'an archive of rar: {_UNPACKED}'),
    (b'\x89PNG', _PICTURE),
    (b'\xff\xd8\xff', _PICTURE),
    (b'%PDF', 'a document of PDF and no checkpoint'),
)
_TEXT = frozenset(range(32, 127)) | {9, 10, 13}
_TAR = slice(257, 262)
LENGTH = 512
"""How many bytes of a file are looked at."""
_SHOWN = 60


def other_content(start: bytes) -> str | None:
    """What a file is that begins so, and what to do; None for all others.

    Args:
        start: Its first `LENGTH` bytes.
    """
    if not start:
        return f'an empty file: {_AGAIN}'
    if start.lstrip().lower().startswith((b'<!doctype', b'<html', b'<?xml')):
        return 'a page of the web and no checkpoint: open the address in a browser to see what it says'
    if found := next((what for sign, what in _SIGNS if start.startswith(sign)), None):
        return found
    if start[_TAR] == b'ustar':
        return f'an archive of tar: {_UNPACKED}'
    if _TEXT.issuperset(start):
        text = ' '.join(start.decode('ascii').split())
        return f'a text and no checkpoint, beginning with {text[:_SHOWN]!r}: {_AGAIN}'
    return None
