"""Converting a checkpoint from file to file."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.files import written_whole
from mmvitdense.checkpoints import FORMATS, CheckpointError, FitReport, detect, fit_to_model, read_checkpoint
from mmvitdense.checkpoints.fit_options import FitOptions
from mmvitdense.checkpoints.table_grids import recorded_grids, with_record
from mmvitdense.checkpoints.to_timm import to_timm

LAYOUTS = ('mmvitdense', 'timm')
SUFFIXES = ('.pth', '.safetensors')
_BACKBONE = 'backbone.'


@dataclass
class Conversion:
    """What a conversion gives.

    Attributes:
        format_name: Format of the file that was read.
        num_read: Tensors in it.
        weights: What is to be written.
        model: Name of the class that the weights are for.
        options: Arguments of it that compute what the weights were trained with; None when the weights do not tell.
        unused: Names that a model with these options has no place for: heads, decoders, projections.
        whole_model: Whether the file holds a neck and heads of mmdet or mmseg besides.
        notes: What could not be told.
    """

    format_name: str
    num_read: int
    weights: dict[str, Tensor]
    model: str = 'PlainViT'
    options: dict[str, Any] | None = None
    unused: list[str] = field(default_factory=list)
    whole_model: bool = False
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f'format: {self.format_name}', f'tensors: {self.num_read} read, {len(self.weights)} converted']
        if self.options is not None:
            lines.append(f'options: {self.model}({_as_arguments(self.options)})')
        if self.unused:
            shown = ', '.join(self.unused[:8]) + (f' and {len(self.unused) - 8} more' if len(self.unused) > 8 else '')
            lines.append(f'not of the {"ViT" if self.model == "PlainViT" else self.model}: {shown}')
        return '\n'.join(lines + self.notes)


def _as_arguments(options: dict[str, Any]) -> str:
    shown = {n: f'dict({_as_arguments(v)})' if isinstance(v, dict) and v else repr(v) for n, v in options.items()}
    return ', '.join(f'{name}={value}' for name, value in shown.items())


def list_formats() -> str:
    """One line for each format: its name and what it is."""
    width = max(len(form.NAME) for form in FORMATS)
    return '\n'.join(f'{form.NAME:{width}}  {form.__doc__.split(chr(10))[0]}' for form in FORMATS)


def convert_file(source: str | Path, layout: str = 'mmvitdense', num_heads: int | None = None) -> Conversion:
    """Read a checkpoint of any known format and convert it.

    Args:
        source: Path or http(s) address of the file.
        layout: 'mmvitdense' for the names of ``PlainViT`` (under 'backbone.' with the names of mmdet beside, for a
            whole detector), 'timm' for those of timm.
        num_heads: Attention heads, for models of a size that nobody published.

    Raises:
        CheckpointError: The file cannot be read, its format is not known, or timm has no such model.
        InputError: There is no such layout.
    """
    if layout not in LAYOUTS:
        raise InputError(f"The layout must be one of {', '.join(LAYOUTS)}, got '{layout}'.")
    state_dict = read_checkpoint(source)
    form = detect(state_dict)
    weights = form.convert(state_dict)
    conversion = Conversion(form.NAME, len(state_dict), weights, getattr(form, 'MODEL', 'PlainViT'))
    if layout == 'timm' and conversion.model != 'PlainViT':
        raise CheckpointError(f'timm has no {conversion.model}: leave out the layout to get the names of mmvitdense')
    conversion.whole_model = any(name.startswith(_BACKBONE) for name in weights)
    backbone = weights
    if conversion.whole_model:
        backbone = {name.removeprefix(_BACKBONE): x for name, x in weights.items() if name.startswith(_BACKBONE)}
    if hasattr(form, 'options'):
        _describe(conversion, form, state_dict, backbone, {} if num_heads is None else {'num_heads': num_heads})
    if layout == 'timm':
        conversion.weights = to_timm(backbone)
    else:
        grids = recorded_grids(state_dict, form)
        conversion.weights = with_record(weights, grids, 'backbone' if conversion.whole_model else '')
    return conversion


def _describe(conversion: Conversion, form: Any, state_dict: dict, backbone: dict[str, Tensor], given: dict) -> None:
    try:
        conversion.options = form.options(state_dict, **given)
    except CheckpointError as error:
        conversion.notes.append(f'options: unknown, {error}')
        return
    if hasattr(form, 'untold'):
        conversion.notes += form.untold(conversion.options)
    conversion.unused = _report(backbone, conversion, FitOptions(recorded=recorded_grids(state_dict, form))).left_over


def _report(vit: dict[str, Tensor], conversion: Conversion, how: FitOptions) -> FitReport:
    from mmvitdense import models

    with torch.device('meta'):
        model = getattr(models, conversion.model)(**conversion.options)
    return fit_to_model({name: tensor.to('meta') for name, tensor in vit.items()}, model, how)[1]


def write_checkpoint(weights: dict[str, Tensor], target: str | Path) -> None:
    """Write weights as a file of ``torch.save`` (.pth, under 'state_dict') or safetensors; whole or not at all.

    Raises:
        InputError: The suffix is neither, or safetensors is not installed.
    """
    target = Path(target)
    if target.suffix not in SUFFIXES:
        raise InputError(f"The output must end with {' or '.join(SUFFIXES)}, got '{target}'.")
    weights = _with_own_memory(weights)
    with written_whole(target) as temporary:
        if target.suffix == '.pth':
            torch.save({'state_dict': weights}, temporary)
            return
        try:
            from safetensors.torch import save_file
        except ImportError as error:
            raise InputError('Run `pip install safetensors` to write a .safetensors file.') from error
        save_file(weights, temporary)


def _with_own_memory(weights: dict[str, Tensor]) -> dict[str, Tensor]:
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
