"""Archives around one file of weights, as ViT-Adapter's largest models are published."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import torch

from mmvitdense.whole_files import written_whole

_SUFFIXES = ('.pth', '.pt', '.tar', '.bin', '.pkl', '.safetensors', '.ckpt')
_CHUNK = 1 << 22
# Weights hardly shrink; what unpacks to so much, and to so many times its size, is made to fill a disk or memory.
_SWOLLEN = 1 << 28
_TIMES = 100


def swollen_member(path: str) -> zipfile.ZipInfo | None:
    """The first file in an archive that unpacks to a hundred times its size and more; None where none does."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    return next((m for m in members if m.file_size > max(_SWOLLEN, _TIMES * m.compress_size)), None)


def wrapped_file(path: str) -> zipfile.ZipInfo | None:
    """The only file in a zip archive, if it is a file of weights; None for all other files.

    A file of `torch.save` is an archive too, but of many parts.
    """
    if not zipfile.is_zipfile(path):
        return None
    members = listed_members(path)
    single = members[0] if len(members) == 1 else None
    return single if single and single.filename.endswith(_SUFFIXES) else None


def listed_members(path: str) -> list[zipfile.ZipInfo]:
    """The files in an archive, without what systems put beside them."""
    with zipfile.ZipFile(path) as archive:
        return [
            part
            for part in archive.infolist()
            if not part.is_dir() and not part.filename.startswith('__MACOSX/') and '.DS_Store' not in part.filename
        ]


def unwrapped(path: str, member: zipfile.ZipInfo) -> str:
    """Take the file out of an archive, once, into torch's hub cache, where it can be mapped; return its path.

    Raises:
        zipfile.BadZipFile: Its check sum is not that of the archive; nothing is left then.
        OSError: There is no room for it.
    """
    name = Path(member.filename).name
    target = Path(torch.hub.get_dir(), 'checkpoints', 'unpacked', f'{member.CRC:08x}-{member.file_size}-{name}')
    if target.is_file() and target.stat().st_size == member.file_size:
        return str(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(target.parent).free) < member.file_size:
        raise OSError(f'{target.parent} has room for {free / 1e9:.3g} of {member.file_size / 1e9:.3g} GB')
    with (
        zipfile.ZipFile(path) as archive,
        archive.open(member) as source,
        written_whole(target) as temporary,
        open(temporary, 'wb') as file,
    ):
        shutil.copyfileobj(source, file, _CHUNK)
    return str(target)
