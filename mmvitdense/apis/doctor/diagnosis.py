"""What a file of weights is: layout, family, sizes, positions, what else it holds, and the config that uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmvitdense.apis.conversion import Conversion
from mmvitdense.apis.convert import convert_read
from mmvitdense.checkpoints import CheckpointError, ViTPretrained, detect
from mmvitdense.checkpoints.files.conversion_record import read_config, read_record
from mmvitdense.checkpoints.files.ema_copies import split_ema_copies
from mmvitdense.checkpoints.fit.differences import rope_of
from mmvitdense.checkpoints.fit.grids import recorded_grids, recorded_rope
from mmvitdense.checkpoints.fit.structure import structure
from mmvitdense.checkpoints.formats.contract import Format, Pixels
from mmvitdense.checkpoints.formats.describe import VIT
from mmvitdense.checkpoints.formats.parts.adapter_parts import trunk_of
from mmvitdense.checkpoints.formats.parts.families import FAMILY_OPTIONS
from mmvitdense.checkpoints.formats.parts.patches import patch_sides
from mmvitdense.checkpoints.formats.recorded import with_all_known
from mmvitdense.compat import while_tools_run
from mmvitdense.layers.positions.sincos import SINES
from mmvitdense.models import PlainViT
from mmvitdense.models.backbones.presets import fitting_presets
from mmvitdense.pretrainings import PRESETS, PRETRAININGS, Pretraining

from .config_lines import config_lines
from .positions import positions_of
from .source import WeightFile

_BACKBONE = 'backbone.'
_OF_VIT = {
    *('patch_embed', 'cls_token', 'register_tokens', 'pos_embed', 'sine_conv', 'norm_pre', 'blocks', 'norm'),
    *('rel_pos_bias', 'window_rel_pos_bias'),
}
_SIZES = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels', 'ffn', 'patch_size')


@dataclass
class Diagnosis:
    """What is known of a file of weights.

    Attributes:
        file: As it was given.
        layout: Name of its format.
        about: What that is.
        model: The class of this project that the weights are for.
        lacks: 'missing' or 'added' where the file has not the weights of its ViT, see `Format.trunk`.
        families: Families of `PRETRAININGS` that it may be of, the likeliest first.
        certainty: 'recorded', 'sure', 'likely', 'one of several', 'doubtful' or 'unknown'.
        why: A sentence on how sure that is.
        pixels: Mean and standard deviation of the pixels that the file itself has, None for those of its family.
        facts: {family: its licence, source and pixel statistics, and 'bands' where images are not RGB}.
        presets: Presets that take the file, which was tried.
        sizes: Options of `PlainViT` that are sizes.
        options: All arguments of `model` that the weights imply; None where they do not.
        guesses: {option: 'why' it is a guess, and its 'value' where it is not the default}.
        tokens: Whether there is a class token, and how many registers.
        positions: See `positions_of`.
        parameters: How many numbers are of the ViT, and in all weights of the file.
        dtypes: {type: how many numbers have it}.
        parts: {what is in the file beside the ViT: how many numbers}.
        ema_copies: How many moving averages are named 'ema_*' beside the weights.
        beside: {key: what stands in the file beside the weights}.
        containers: The keys under which the weights are.
        not_finite: {weight with NaN or infinite numbers: how many}.
        notes: What could not be determined, and why.
        misfit: Why no model takes the weights, although their names are those of one.
        config: Lines of a config that use the file.
    """

    file: str
    layout: str
    about: str
    model: str
    lacks: str | None = None
    families: list[str] = field(default_factory=list)
    certainty: str = 'unknown'
    why: str = ''
    pixels: Pixels | None = None
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    presets: list[str] = field(default_factory=list)
    sizes: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] | None = None
    guesses: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, Any] = field(default_factory=dict)
    positions: list[dict[str, Any]] = field(default_factory=list)
    parameters: dict[str, int] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    ema_copies: int = 0
    beside: dict[str, str] = field(default_factory=dict)
    containers: list[str] = field(default_factory=list)
    not_finite: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    misfit: str | None = None
    config: str = ''


@while_tools_run()
def diagnose(file: WeightFile, options: Mapping[str, Any] | None = None) -> Diagnosis:
    """Look at a file of weights.

    Args:
        file: What `open_weights` read.
        options: What is known of the model and not in the weights, as for `convert_file`.

    Raises:
        CheckpointError: It is of no known format, and the message says what it looks like; or it is a part of a ViT.
    """
    form = with_all_known(detect(file.tensors), file.tensors, read_record(file.path), read_config(file.path))
    conversion = read_again(file, options or {})
    found = Diagnosis(file.name, form.name, form.about.split('\n')[0], form.model, form.trunk(file.tensors))
    found.containers, found.beside = file.containers, file.beside
    found.ema_copies = len(split_ema_copies(file.tensors)[1])
    found.notes = [note for note in conversion.notes if not note.startswith(f'{found.ema_copies} copies')]
    found.misfit = conversion.misfit
    found.pixels = form.pixels(file.tensors)
    for tensor in file.tensors.values():
        kind = str(tensor.dtype).removeprefix('torch.')
        found.dtypes[kind] = found.dtypes.get(kind, 0) + tensor.numel()
    found.not_finite = not_finite(conversion.weights)
    found.options = conversion.options
    if conversion.description is not None:
        found.guesses = conversion.description.recorded_guesses()
    vit = vit_weights(conversion)
    if vit is None and found.model == 'PlainViT' and found.lacks is None:
        raise CheckpointError(
            f'{file.name} has names of {form.name}, but no whole ViT: it lacks the patch embedding or the first block'
        )
    _note_parts(found, file, conversion, vit)
    if vit is not None:
        _note_vit(found, file, form, vit)
    _note_families(found, file, conversion, form.tells_options)
    if vit is not None:
        _note_presets(found, file, vit)
    found.config = config_lines(found, file.address, conversion.whole_model, form.part)
    return found


def read_again(file: WeightFile, given: Mapping[str, Any]) -> Conversion:
    """The converted file; what an earlier conversion recorded of it is known."""
    beside = {'record': read_record(file.path), 'config': read_config(file.path)}
    return convert_read(file.tensors, file.name, options=given, **beside)


def vit_weights(conversion: Conversion) -> dict[str, Tensor] | None:
    """The weights of the `PlainViT` in a conversion by its names, with what it has no place for; None without one."""
    weights = conversion.weights
    if any(name.startswith(_BACKBONE) for name in weights):
        weights = {n.removeprefix(_BACKBONE): x for n, x in weights.items() if n.startswith(_BACKBONE)}
    weights = trunk_of(weights) or weights
    return weights if {'patch_embed.proj.weight', 'blocks.0.norm1.weight'} <= weights.keys() else None


def own_weights(vit: Mapping[str, Tensor], unused: Sequence[str]) -> dict[str, Tensor]:
    """Those of `vit_weights` that are of the ViT; `unused` names are not, and may be unknown."""
    known = set(unused)
    return {name: x for name, x in vit.items() if name.split('.')[0] in _OF_VIT and name not in known}


def not_finite(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """{name: how many of its numbers are NaN or infinite} of those that have any."""
    found = {}
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            tensor = tensor.float() if tensor.element_size() == 1 else tensor  # 8-bit types have no isfinite
            if count := tensor.numel() - int(tensor.isfinite().sum()):
                found[name] = count
    return found


def _note_parts(found: Diagnosis, file: WeightFile, conversion: Conversion, vit: Mapping[str, Tensor] | None) -> None:
    """Count the ViT and what is beside it, by the first part of the names."""
    inside = {} if vit is None else own_weights(vit, conversion.unused)
    found.parameters = {'vit': _count(inside), 'file': _count(file.tensors)}
    own = {id(tensor) for tensor in inside.values()}
    for name, tensor in conversion.weights.items():
        if id(tensor) not in own:
            part = name.removeprefix(_BACKBONE).split('.')[0]
            found.parts[part] = found.parts.get(part, 0) + tensor.numel()


def _count(weights: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in weights.values())


def _note_vit(found: Diagnosis, file: WeightFile, form: Format, vit: Mapping[str, Tensor]) -> None:
    """Sizes, tokens and positions."""
    options = (found.options or {}).get('vit', found.options or {})
    parts = structure(vit, recorded_rope(file.tensors, rope_of(options)))
    patch_size = patch_sides(vit)[1]
    seen = {'embed_dims': parts['embed_dims'], 'num_layers': parts['num_layers'], 'patch_size': patch_size}
    found.sizes = {name: value for name in _SIZES if (value := options.get(name, seen.get(name))) is not None}
    found.tokens = {'class_token': parts['cls_token'], 'registers': parts['registers']}
    grids = {name.removeprefix(VIT): grid for name, grid in recorded_grids(file.tensors, form).items()}
    sincos = options.get('pos_embed') if options.get('pos_embed') in SINES else None
    found.positions = positions_of(vit, parts['rope'], grids, patch_size, sincos)
    if not form.tells_options and not found.positions:
        found.notes.append(
            'positions: rotary ones, if there are any, are in no weight, and the file does not record them'
        )


def _note_families(found: Diagnosis, file: WeightFile, conversion: Conversion, tells_options: bool) -> None:
    recorded = read_record(file.path).get('families')
    families = recorded or conversion.families
    found.families = list(families)
    channels = (found.options or {}).get('in_channels')
    found.facts = {name: _facts(PRETRAININGS[name], found.pixels, channels) for name in families}
    if recorded:
        found.certainty, found.why = 'recorded', 'the conversion that wrote the file recorded it'
    elif found.lacks == 'missing':
        found.why = 'the file has no weights of a ViT, only what stands on one'
    elif not tells_options:
        found.why = 'a model that was trained further here does not say what it started from'
    elif not families:
        found.why = 'layout, names and shapes are those of no pre-training in the table'
    elif len(families) > 1:
        found.certainty = 'one of several'
        found.why = f'names, shapes and tables are those of {len(families)} families, the likeliest first'
        if len({fact['licence'] for fact in found.facts.values()}) > 1:
            found.why += ', whose licences differ: where the file comes from says which it is'
    elif guessed := sorted(FAMILY_OPTIONS & {path.removeprefix(VIT) for path in found.guesses}):
        found.certainty = 'likely'
        found.why = f'no other family has these names and shapes, but {", ".join(guessed)} may be otherwise'
    else:
        found.certainty, found.why = 'sure', 'names and shapes leave this family alone'


def _facts(known: Pretraining, pixels: Pixels | None, channels: int | None) -> dict[str, Any]:
    mean, std = pixels or known.pixels
    facts = {'licence': known.licence, 'source': f'https://github.com/{known.source}'}
    facts |= {'mean': list(mean), 'std': list(std)}
    if bands := known.bands.get(channels):
        facts['bands'] = {'names': list(bands.names), 'mean': list(bands.mean), 'std': list(bands.std)}
    return facts


def _note_presets(found: Diagnosis, file: WeightFile, vit: Mapping[str, Tensor]) -> None:
    """The presets of the families that take the weights; a family whose parts are otherwise is doubtful."""
    if found.model != 'PlainViT':
        return
    options = found.options or {}
    parts = structure(vit, recorded_rope(file.tensors, rope_of(options)))
    fitting = fitting_presets(parts)
    if found.families and not any(name in fitting for name in found.families):
        found.certainty = 'doubtful'
        found.why = 'the layout is that of the family, but the parts of the model are otherwise'
    image = options.get('pretrain_img_size')
    for family in found.families or fitting:
        taken = [
            preset
            for preset in fitting.get(family, ())
            if PRESETS[preset]['patch_size'] == found.sizes['patch_size'] and _takes(preset, file)
        ]
        # Of presets for several sizes of images the one whose table need not be resized.
        found.presets += [preset for preset in taken if _grid(preset) == image] or taken
    found.presets.sort(key=lambda preset: _grid(preset) != image)


def _grid(preset: str) -> int:
    """Side in pixels of the image that the table of a preset is for."""
    options = PRESETS[preset]
    return options['pretrain_img_size'] // options['patch_size'] * options['patch_size']


def _takes(preset: str, file: WeightFile) -> bool:
    """Whether a model of a preset, without memory, takes the weights."""
    with torch.device('meta'):
        model = PlainViT(preset=preset)
    try:
        ViTPretrained(file.path).fitted(file.tensors, model)
    except CheckpointError:
        return False
    return True
