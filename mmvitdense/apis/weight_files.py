"""Writing converted weights: whole or not at all, in one file or several, in full or half precision."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mmvitdense.apis.conversion import Conversion
from mmvitdense.apis.convert import OURS
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.files import check_output_file, check_output_folder, write_json
from mmvitdense.checkpoints.files.conversion_record import KEY
from mmvitdense.checkpoints.files.precision import Rounding
from mmvitdense.checkpoints.files.record_text import text_of_record
from mmvitdense.checkpoints.files.safetensors_writing import write_safetensors
from mmvitdense.whole_files import written_whole

SUFFIXES = ('.pth', '.safetensors')
_FOLDER = 'transformers'
_IN_FOLDER = 'model.safetensors'
# These libraries read no safetensors.
_PICKLES_ALONE = ('detectron2', 'mmpretrain')


def check_target(source: str | Path, target: str | Path, layout: str = OURS, shard_size: int | None = None) -> None:
    """Refuse before the conversion what could not be written after it.

    Args:
        source: The file that is read.
        target: The file, or for transformers the folder, that is written.
        layout: See `convert_file`.
        shard_size: See `write_conversion`.

    Raises:
        InputError: The name does not do for the layout or the number of files, nothing can be written there, or the
            target is the source, which may be the only copy.
    """
    target = str(target)
    if layout == _FOLDER:
        if target.endswith(SUFFIXES) or os.path.isfile(target):
            raise InputError(
                f'The output for {_FOLDER} is a folder, with config.json beside the weights, got {target!r}: give the '
                'name of a folder.'
            )
        check_output_folder(target, 'The output')
        return
    expected = ('.pth',) if layout in _PICKLES_ALONE else SUFFIXES
    if not target.endswith(expected):
        raise InputError(f"The output must end with {' or '.join(expected)}, got '{target}'.")
    if shard_size is not None and (layout == 'timm' or not target.endswith('.safetensors')):
        what = 'timm, which reads one file' if layout == 'timm' else target
        raise InputError(f'Several files are written as .safetensors alone, not for {what}: leave out --shard-size.')
    check_output_file(target, 'The output')
    if os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise InputError(f'The output {target} is the file that is read: give another name.')


def write_conversion(
    conversion: Conversion, target: str | Path, dtype: str | None = None, shard_size: int | None = None
) -> list[str]:
    """Write what a conversion gives.

    Args:
        conversion: What `convert_file` gives.
        target: A file of `torch.save` (.pth) or safetensors; for transformers a folder, which gets config.json too.
        dtype: 'float32', 'float16' or 'bfloat16' for the weights; None to keep theirs.
        shard_size: Bytes of a file at most, for safetensors in several files; None for one.

    Returns:
        Lines: by how much rounding changed the weights, the files, and how another library opens them.

    Raises:
        CheckpointError: A number is too large for the type.
    """
    rounding, export = Rounding(dtype), conversion.export
    folder = export is not None and export.library == _FOLDER
    path = Path(target, _IN_FOLDER) if folder else Path(target)
    if path.suffix == '.pth':
        weights = OrderedDict((name, rounding.rounded(name, x)) for name, x in conversion.weights.items())
        if hasattr(conversion.weights, '_metadata'):
            weights._metadata = conversion.weights._metadata
        container = export.target.container if export else 'state_dict'
        _save(weights, path, conversion.record if container else None, container)
        files = [path]
    else:
        plan = conversion.plan
        files = write_safetensors(
            path,
            plan,
            ((name, rounding.rounded(name, tensor)) for name, tensor in conversion.pieces()),
            {name: rounding.dtype_of(tensor) for name, tensor in plan.items()},
            _metadata(plan, conversion.record),
            shard_size,
        )
    if folder:
        files.append(Path(target, 'config.json'))
        write_json(files[-1], {**export.arguments, 'dtype': dtype or _common_dtype(conversion.plan)})
    lines = [str(rounding)] if dtype else []
    lines += [f'written: {file}' for file in files]
    return lines if export is None else [*lines, f'opens with: {export.opening(target)}']


def _common_dtype(plan: Mapping[str, Tensor]) -> str:
    dtypes = [tensor.dtype for tensor in plan.values() if tensor.is_floating_point()]
    return str(max(set(dtypes), key=dtypes.count)).removeprefix('torch.')


def _metadata(weights: Mapping[str, Tensor], record: Mapping | None) -> dict[str, str]:
    return {**({KEY: json.dumps(record)} if record else {}), **text_of_record(weights)}


def write_checkpoint(weights: dict[str, Tensor], target: str | Path, record: Mapping | None = None) -> None:
    """Write weights as a file of `torch.save` (.pth, under 'state_dict') or safetensors; whole or not at all.

    Args:
        weights: What is written.
        target: The file.
        record: What the file says of its conversion, see `Conversion.record`.

    Raises:
        InputError: The suffix is neither.
    """
    target = Path(target)
    if target.suffix not in SUFFIXES:
        raise InputError(f"The output must end with {' or '.join(SUFFIXES)}, got '{target}'.")
    if target.suffix == '.pth':
        _save(weights, target, record)
    else:
        dtypes = {name: tensor.dtype for name, tensor in weights.items()}
        write_safetensors(target, weights, weights.items(), dtypes, _metadata(weights, record))


def _save(
    weights: dict[str, Tensor], target: Path, record: Mapping | None = None, container: str = 'state_dict'
) -> None:
    meta = {'meta': {KEY: dict(record)}} if record else {}
    with written_whole(target) as temporary:
        owned = with_own_memory(weights)
        torch.save({container: owned, **meta} if container else owned, temporary)


def with_own_memory(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy what is part of a larger tensor, or the same as another: it would be written as a whole, or refused."""
    owned, seen = OrderedDict(), set()
    for name, tensor in weights.items():
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage.data_ptr() in seen or not tensor.is_contiguous():
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(tensor.untyped_storage().data_ptr())
        owned[name] = tensor
    if hasattr(weights, '_metadata'):
        owned._metadata = weights._metadata
    return owned
