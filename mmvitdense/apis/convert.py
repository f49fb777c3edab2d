"""Converting a checkpoint from file to file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.library_export import LibraryExport, export_to
from mmvitdense.apis.trunks import WHOLE, check_trunk, join_trunk
from mmvitdense.checkpoints import FORMATS, CheckpointError, detect, fit_to_model, read_checkpoint
from mmvitdense.checkpoints.files.conversion_record import read_config, read_record
from mmvitdense.checkpoints.files.ema_copies import split_ema_copies
from mmvitdense.checkpoints.files.file_pages import FilePages
from mmvitdense.checkpoints.files.pieces import converted_in_pieces, thinned
from mmvitdense.checkpoints.files.reading import local_path
from mmvitdense.checkpoints.fit.differences import rope_of
from mmvitdense.checkpoints.fit.grids import grids_given, recorded_grids, recorded_rope, with_record
from mmvitdense.checkpoints.fit.options import FitOptions
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.describe import Description, describe
from mmvitdense.checkpoints.formats.parts.spelling import spelled_options
from mmvitdense.checkpoints.formats.recorded import with_all_known
from mmvitdense.checkpoints.targets.choice import LIBRARIES
from mmvitdense.compat import while_tools_run
from mmvitdense.layers import held_vit

OURS = 'mmvitdense'
LAYOUTS = (OURS, *LIBRARIES)
_BACKBONE = 'backbone.'


@dataclass
class Conversion:
    """What a conversion gives.

    Attributes:
        format_name: Format of the file that was read.
        num_read: Tensors in it.
        read: The tensors that are converted.
        make: Makes what is to be written of them, or of a part of them, see `converted_in_pieces`.
        source: The file.
        model: Name of the class that the weights are for.
        description: Arguments of it that compute what the weights were trained with, and which of them are guesses;
            None when the weights do not determine them.
        unused: Names that a model with these options has no place for: heads, decoders, projections.
        families: Families of `PRETRAININGS` that the file may be of.
        whole_model: Whether the file holds a neck and heads of mmdet or mmseg besides.
        export: The model of another library that the weights are written for.
        notes: What could not be determined.
        misfit: Why no model takes the weights, whose names are those of one; None where one does.
        first_format: Format of the file that was converted first, where this one was written by a conversion.
    """

    format_name: str
    num_read: int
    read: dict[str, Tensor]
    make: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    source: str | Path
    model: str = 'PlainViT'
    description: Description | None = None
    unused: list[str] = field(default_factory=list)
    families: tuple[str, ...] = ()
    whole_model: bool = False
    export: LibraryExport | None = None
    notes: list[str] = field(default_factory=list)
    misfit: str | None = None
    first_format: str = ''

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """What is to be written."""
        return self.make(self.read)

    @cached_property
    def plan(self) -> dict[str, Tensor]:
        """The same, large weights on the meta device."""
        return self.make(thinned(self.read))

    def pieces(self) -> Iterator[tuple[str, Tensor]]:
        """Name and weight of what is to be written, made block by block."""
        pages = FilePages(local_path(self.source), self.read.values())
        return converted_in_pieces(self.read, self.make, pages.release)

    @property
    def options(self) -> dict[str, Any] | None:
        """The arguments; None when the weights do not determine them."""
        return None if self.description is None else self.description.options

    @property
    def record(self) -> dict[str, Any]:
        """What the written file says of its conversion, see `conversion_record`."""
        first = self.first_format or self.format_name
        record: dict[str, Any] = {'format': first, 'model': self.model, 'families': list(self.families)}
        guesses = {} if self.description is None else self.description.recorded_guesses()
        if self.export is not None:
            known = self.export.not_in_weights
            guesses = {path: guess for path, guess in guesses.items() if path in known}
            record.update(layout=self.export.library, options=spelled_options(known), guesses=guesses)
        elif self.description is not None:
            record.update(options=spelled_options(self.description.options), guesses=guesses)
        return record

    def __str__(self) -> str:
        lines = [f'format: {self.format_name}', f'tensors: {self.num_read} read, {len(self.plan)} converted']
        if self.description is not None:
            lines.append(f'options: {self.model}({spelled_options(self.description.options)})')
            lines += [f'# a guess: {_as_line(*guess)}' for guess in self.description.recorded_guesses().items()]
        if self.description is not None and self.description.guesses:
            lines.append('# give what is known with --options NAME=VALUE; a file with guesses warns when it is loaded')
        if self.unused:
            shown = ', '.join(self.unused[:8]) + (f' and {len(self.unused) - 8} more' if len(self.unused) > 8 else '')
            lines.append(f'not of the {"ViT" if self.model == "PlainViT" else self.model}: {shown}')
        return '\n'.join([*lines, *self.notes, *([] if self.export is None else self.export.notes)])


def _as_line(path: str, guess: Mapping[str, str]) -> str:
    value = f'={guess["value"]}' if 'value' in guess else ' as by default'
    return f'{path}{value}: {guess["why"]}'


def list_formats() -> str:
    """One line for each format: its name and what it is."""
    width = max(len(form.name) for form in FORMATS)
    return '\n'.join(f'{form.name:{width}}  {form.about.split(chr(10))[0]}' for form in FORMATS)


def nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their paths, such as {'vit.window_size': 14}, as a dict of dicts.

    Raises:
        InputError: One is given as a whole and in parts.
    """
    tree: dict[str, Any] = {}
    for path, value in options.items():
        *outer, name = path.split('.')
        place = tree
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise InputError(f'{part} is given as a whole and in parts ({path}): give one of these.')
        place[name] = value
    return tree


@while_tools_run()
def convert_file(
    source: str | Path,
    layout: str = 'mmvitdense',
    num_heads: int | None = None,
    options: Mapping[str, Any] | None = None,
    ema: bool = False,
    trunk: str | Path | None = None,
) -> Conversion:
    """Read a checkpoint of any known format and convert it.

    Args:
        source: Path or http(s) address of the file.
        layout: 'mmvitdense' for the names of `PlainViT` (under 'backbone.' with the names of mmdet beside, for a
            whole detector), or a library, see `library_export`.
        num_heads: Attention heads, for models of a size that nobody published.
        options: What is known of the model and not in the weights, such as `dict(window_size=14)`; of a model around
            a ViT also `dict(n_points=8, vit=dict(window_size=14))`.
        ema: Take the copies 'ema_*' that hooks of mmcv 1 keep beside the weights instead of these.
        trunk: For a file without the weights of its ViT, see `Format.trunk`, the file of that ViT, which goes under
            'backbone.vit.'; 'none' for a layout of differences where the weights are whole.

    Raises:
        CheckpointError: The file cannot be read, its format is not known, the library has no such model, or an option
            that is given cannot be that of the weights.
        InputError: There is no such layout, or there are no copies.
    """
    read = read_checkpoint(source)  # first, as it says what is wrong with a file
    beside = {'record': read_record(source), 'config': read_config(source)}
    return convert_read(read, source, layout, num_heads, options, ema, trunk, **beside)


def convert_read(
    read: dict[str, Tensor],
    source: str | Path,
    layout: str = 'mmvitdense',
    num_heads: int | None = None,
    options: Mapping[str, Any] | None = None,
    ema: bool = False,
    trunk: str | Path | None = None,
    record: Mapping[str, Any] = MappingProxyType({}),
    config: Mapping[str, Any] = MappingProxyType({}),
) -> Conversion:
    """As `convert_file`, of what was read already.

    Messages call it `source`; `record` is that of the file, and `config` what config.json beside it says.
    """
    if layout not in LAYOUTS:
        raise InputError(f"The layout must be one of {', '.join(LAYOUTS)}, got '{layout}'.")
    given = {**(options or {}), **({} if num_heads is None else {'num_heads': num_heads})}
    state_dict, notes = _choose_copies(read, ema, source)
    form = with_all_known(detect(state_dict), state_dict, record, config)
    if form.record is not None and not record:
        notes.append(f'config.json beside the file says {spelled_options(form.record.options)}')
    lacks = form.trunk(state_dict)
    check_trunk(form, lacks, trunk, source)

    def ours(part: dict[str, Tensor]) -> dict[str, Tensor]:
        return form.converted(part, given.get('num_heads'))

    if trunk not in (None, WHOLE):
        of_trunk = _converted_trunk(trunk, given)
        state_dict, ours = join_trunk(lacks, ours(state_dict), of_trunk.weights), dict
        notes.append(f'trunk: {len(of_trunk.weights)} tensors of {of_trunk.format_name}')
    thin = thinned(state_dict)
    weights = ours(thin)
    notes += form.notes(thin)
    families = tuple(form.families(thin))
    conversion = Conversion(form.name, len(read), state_dict, ours, source, form.model, families=families, notes=notes)
    conversion.first_format = record.get('format', form.name)
    if layout != OURS and conversion.model != 'PlainViT':
        raise CheckpointError(
            f'{layout} has no {conversion.model}: leave out the layout to get the names of mmvitdense'
        )
    conversion.whole_model = any(name.startswith(_BACKBONE) for name in weights)
    backbone = weights
    if conversion.whole_model:
        backbone = {name.removeprefix(_BACKBONE): x for name, x in weights.items() if name.startswith(_BACKBONE)}
    grids = recorded_grids(state_dict, form)
    if form.tells_options or form.record is not None:
        grids.update(_describe(conversion, form, backbone, given, grids, state_dict))
    elif given and trunk is None and layout == OURS:
        raise InputError(f'{source} is a file of {form.name}, which records no options: leave out {", ".join(given)}.')
    if layout != OURS:
        if (form.tells_options or form.record is not None) and conversion.description is None:
            raise InputError(f'{layout} needs the options of the ViT of {source}; {conversion.notes[-1]}.')
        conversion.export = export_to(layout, weights, conversion.options, source, given)
        finish = conversion.export.write
    else:
        owner = 'backbone' if conversion.whole_model else ''
        options_of_vit = (conversion.options or {}).get('vit', conversion.options or {})
        rope = recorded_rope(state_dict, rope_of(options_of_vit) or '')

        def finish(converted: dict[str, Tensor]) -> dict[str, Tensor]:
            return with_record(converted, grids, owner, rope)

    conversion.make = lambda part: finish(ours(part))
    return conversion


def _converted_trunk(trunk: str | Path, given: Mapping[str, Any]) -> Conversion:
    """A plain ViT without what is not of it."""
    of_vit = given.get('vit', {})
    known = {name: value for name, value in {**given, **of_vit}.items() if name in ('num_heads', 'pretrain_img_size')}
    conversion = convert_file(trunk, options=known)
    if conversion.model != 'PlainViT' or conversion.whole_model:
        raise InputError(f'The trunk {trunk} is a file of {conversion.format_name}; expected one of a plain ViT.')
    if conversion.description is None:
        raise CheckpointError(f'the trunk {trunk} is not known well enough to be joined: {"; ".join(conversion.notes)}')
    for name in conversion.unused:
        del conversion.weights[name]
    return conversion


def _choose_copies(read: dict[str, Tensor], ema: bool, source: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """The weights or their moving averages, and a line about it."""
    weights, copies = split_ema_copies(read)
    if ema:
        if not copies:
            raise InputError(f"{source} has no copies 'ema_*' beside its weights: leave out --ema.")
        weights.update(copies)
        return weights, [f"the {len(copies)} copies 'ema_*' are taken instead of the weights"]
    if not copies:
        return weights, []
    return weights, [
        f"{len(copies)} copies 'ema_*' beside the weights are left out, --ema takes them instead (runs counted in "
        'epochs keep the averages under the plain names, runs counted in iterations under these)'
    ]


def _describe(
    conversion: Conversion,
    form: Format,
    backbone: dict[str, Tensor],
    given: dict[str, Any],
    recorded: dict[str, tuple[int, int]],
    state_dict: dict[str, Tensor],
) -> dict[str, tuple[int, int]]:
    """Note the options of the model, and return the grids of tables that the user gives."""
    try:
        description = describe(form, state_dict, given)
    except CheckpointError as error:
        if given:
            raise
        conversion.notes.append(f'options: unknown, {error} (with --options NAME=VALUE)')
        return {}
    model = _build(conversion.model, description.options, given)
    grid = _grid_of(model, given)
    reason, conversion.unused = _compare(backbone, model, FitOptions(recorded=recorded, pos_grid=grid))
    if reason is None:
        conversion.description = description
        return {} if grid is None else grids_given(backbone, grid)
    conversion.misfit = reason
    tried = f'{spelled_options(given)} and what' if given else 'those that'
    conversion.notes.append(
        f'options: unknown, {tried} names and shapes imply do not fit ({reason}); the weights are converted anyway'
    )
    return {}


def _grid_of(model: nn.Module, given: dict[str, Any]) -> tuple[int, int] | None:
    """The grid of the table of positions where the user gives it."""
    is_given = 'pretrain_img_size' in given or 'pretrain_img_size' in given.get('vit', {})
    return held_vit(model).pos_grid if is_given else None


def _build(model: str, options: dict[str, Any], given: dict[str, Any]) -> nn.Module:
    """The model with the options, without memory."""
    from mmvitdense import models

    try:
        with torch.device('meta'):
            return getattr(models, model)(**options)
    except (TypeError, ValueError) as error:
        tried = spelled_options(given) or 'the options that the weights imply'
        raise CheckpointError(f'{model} cannot be built with {tried}: {error}') from error


def _compare(backbone: dict[str, Tensor], module: nn.Module, how: FitOptions) -> tuple[str | None, list[str]]:
    """Why a model does not take the weights, if it does not, and what it has no place for."""
    expected = module.state_dict()
    differing = [
        f'{name} is {tuple(x.shape)} in the file, {tuple(expected[name].shape)} in the model'
        for name, x in backbone.items()
        if name in expected and x.shape != expected[name].shape
    ]
    differing += [
        f'{name} has numbers of type {str(x.dtype).removeprefix("torch.")}'
        for name, x in backbone.items()
        if name in expected and expected[name].is_floating_point() and not x.is_floating_point()
    ]
    if differing:
        return '; '.join(differing[:3]), []
    try:
        report = fit_to_model({name: tensor.to('meta') for name, tensor in backbone.items()}, module, how)[1]
    except CheckpointError:
        lacking = [name for name in expected if name not in backbone and not name.endswith('num_batches_tracked')]
        surplus = [name for name in backbone if name not in expected]
        unlike = [('the model lacks', surplus), ('the file lacks', lacking)]
        return '; '.join(f'{what} {len(names)}, first {", ".join(names[:3])}' for what, names in unlike if names), []
    return None, report.left_over
