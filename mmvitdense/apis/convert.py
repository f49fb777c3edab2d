"""Converting a checkpoint from file to file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from mmvitdense.apis.conversion import Conversion
from mmvitdense.apis.converted_model import describe_model
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.library_export import export_to
from mmvitdense.apis.trunks import WHOLE, check_trunk, join_trunk
from mmvitdense.checkpoints import FORMATS, CheckpointError, detect, read_checkpoint
from mmvitdense.checkpoints.files.conversion_record import read_config, read_record
from mmvitdense.checkpoints.files.ema_copies import split_ema_copies
from mmvitdense.checkpoints.files.pieces import thinned
from mmvitdense.checkpoints.fit.differences import rope_of
from mmvitdense.checkpoints.fit.grids import recorded_grids, recorded_rope, with_record
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.parts.spelling import spelled_options
from mmvitdense.checkpoints.formats.recorded import with_all_known
from mmvitdense.checkpoints.targets.choice import LIBRARIES
from mmvitdense.compat import while_tools_run

OURS = 'mmvitdense'
LAYOUTS = (OURS, *LIBRARIES)
_BACKBONE = 'backbone.'
_Make = Callable[[dict[str, Tensor]], dict[str, Tensor]]


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
    if layout != OURS and form.model != 'PlainViT':
        raise CheckpointError(f'{layout} has no {form.model}: leave out the layout to get the names of mmvitdense')
    state_dict, ours, of_trunk = _with_trunk(form, state_dict, trunk, given, source)
    thin = thinned(state_dict)
    weights = ours(thin)
    conversion = Conversion(
        form.name,
        len(read),
        state_dict,
        ours,
        source,
        form.model,
        families=tuple(form.families(thin)),
        whole_model=any(name.startswith(_BACKBONE) for name in weights),
        notes=[*notes, *of_trunk, *form.notes(thin)],
        first_format=record.get('format', form.name),
    )
    grids = recorded_grids(state_dict, form)
    describes = form.tells_options or form.record is not None
    if describes:
        backbone = _backbone(weights) if conversion.whole_model else weights
        grids.update(describe_model(conversion, form, backbone, given, grids))
    elif given and trunk is None and layout == OURS:
        raise InputError(f'{source} is a file of {form.name}, which records no options: leave out {", ".join(given)}.')
    if layout == OURS:
        finish = _recorder(conversion, grids)
    elif describes and conversion.description is None:
        raise InputError(f'{layout} needs the options of the ViT of {source}; {conversion.notes[-1]}.')
    else:
        conversion.export = export_to(layout, weights, conversion.options, source, given)
        finish = conversion.export.write
    conversion.make = lambda part: finish(ours(part))
    return conversion


def _with_trunk(
    form: Format, state_dict: dict[str, Tensor], trunk: str | Path | None, given: Mapping[str, Any], source: str | Path
) -> tuple[dict[str, Tensor], _Make, list[str]]:
    """The tensors to be converted, with those of a trunk where one is given, what converts them, and notes."""
    lacks = form.trunk(state_dict)
    check_trunk(form, lacks, trunk, source)

    def ours(part: dict[str, Tensor]) -> dict[str, Tensor]:
        return form.converted(part, given.get('num_heads'))

    if trunk in (None, WHOLE):
        return state_dict, ours, []
    of_trunk = _converted_trunk(trunk, given)
    joined = join_trunk(lacks, ours(state_dict), of_trunk.weights)
    return joined, dict, [f'trunk: {len(of_trunk.weights)} tensors of {of_trunk.format_name}']


def _backbone(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a whole model, the weights of the backbone by its own names."""
    return {name.removeprefix(_BACKBONE): x for name, x in weights.items() if name.startswith(_BACKBONE)}


def _recorder(conversion: Conversion, grids: dict[str, tuple[int, int]]) -> _Make:
    """Adds to our weights what they do not say themselves: the grids of their tables, and rotary frequencies."""
    owner = 'backbone' if conversion.whole_model else ''
    options = conversion.options or {}
    rope = recorded_rope(conversion.read, rope_of(options.get('vit', options)) or '')
    return lambda converted: with_record(converted, grids, owner, rope)


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
