"""The `init_cfg` that loads published weights into a ViT."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from mmengine.logging import print_log
from torch import Tensor, nn

from mmvitdense.frozen_weights import note_loaded
from mmvitdense.layers import SelfInitialized, held_vit
from mmvitdense.pretrainings import PRETRAININGS
from mmvitdense.registry import WEIGHT_INITIALIZERS

from .files.conversion_record import read_config, read_record, warn_of_guesses
from .files.file_pages import FilePages
from .files.pieces import thinned
from .files.reading import CheckpointError, local_path, read_checkpoint
from .fit.channels import REPEAT
from .fit.differences import ALLOWED, differences
from .fit.grids import has_record, recorded_grids
from .fit.init_info import note_initialization
from .fit.layer_scale import fold_layer_scale
from .fit.model import fit_to_model
from .fit.name_patterns import check_patterns
from .fit.options import FitOptions
from .fit.structure import check_preset
from .fit.unconfirmed import warn_of_unconfirmed
from .fit.vit import FitReport
from .formats.contract import Format
from .formats.detect import detect
from .formats.mimdet import FORMAT as MIMDET
from .formats.plain_vit import FORMAT as PLAIN_VIT
from .formats.recorded import with_all_known

_BACKBONE = 'backbone.'
_CHUNK_BYTES = 1 << 27
# Files of this project have these formats.
_OURS = (PLAIN_VIT.name, MIMDET.name)


class LoadedWeights(NamedTuple):
    """What `ViTPretrained` notes as `loaded_weights` of a ViT that it has loaded.

    Attributes:
        checkpoint: The file.
        families: Families of `PRETRAININGS` that it may be of.
    """

    checkpoint: str
    families: tuple[str, ...]


class FittedWeights(NamedTuple):
    """What `ViTPretrained.fitted` gives.

    Attributes:
        form: Format of the file.
        state_dict: What was read, large weights on the meta device.
        weights: What the model loads, by its names.
        report: What became of each tensor.
        unlike: What the model computes otherwise than the pre-training, see `differences`.
        pages: The pages of the file.
    """

    form: Format
    state_dict: dict[str, Tensor]
    weights: dict[str, Tensor]
    report: FitReport
    unlike: list[str]
    pages: FilePages


@WEIGHT_INITIALIZERS.register_module()
class ViTPretrained:
    """Load published weights of a plain ViT, whatever their format, or of a model that holds one.

    Used as `init_cfg=dict(type='ViTPretrained', checkpoint=...)` of a `PlainViT`, of a `MIMDet`, which gets its
    decoder from the same file, or of a `ViTCoMer` or `ViTAdapter` for files of the whole backbone (of which a
    `PlainViT` takes what is its own). The format is recognised from the names, tables of positions are resized, and
    one line of the log says what was loaded, resized, missing and left over. A warning names options of the ViT
    (epsilon, activation, ...) that are not those of the pre-training.

    What would make the model compute something else than its weights were trained for raises `CheckpointError`:
    weights that are missing, have another shape or no place in the model, a preset of another pre-training, other
    rotary positions, a table of positions of unknown grid. Missing may be what dense prediction adds and what starts
    without an effect (tables of relative positions, convolution blocks, gains of one, biases of query, key and value);
    left over may be a class token, the last norm, and what is not of the ViT.

    Args:
        checkpoint: Path or http(s) address of the file.
        patch_resize: How a patch embedding is resized where the model has another patch size: 'pinv', 'pinv_antialias'
            or 'bilinear', see `resize_patch_embedding`.
        channels: How a patch embedding is fitted to a model of another number of channels: 'repeat' as timm does, or a
            channel of the file for each of the model, such as (3, 2, 1) for RGB of Sentinel-2, see `fit_channels`.
            Without, such a file is refused.
        fold_layer_scale: Whether the gains of LayerScale are multiplied into the layers before it, for a model
            without LayerScale.
        as_initialized: Weights that stay as the model initialises them, whether or not the file has them: names, their
            first parts, or regular expressions of these. ('pos_embed',) for a position table learned on top of weights
            that have none.
        unused: Weights of the file, by the names of this project, that the model is meant to ignore, given likewise:
            ('register_tokens',) for a model without registers.
        pos_grid: (rows, columns) of the position table of the file, where it is no square. Models of this project
            record theirs.
        family: The pre-training of the file, a family of `PRETRAININGS`, where its names and shapes are those of
            several, such as 'deit'. A preset says as much.
        known: Options of the model that are right although nothing in the file confirms them, such as
            ('n_points', 'vit.window_size'): without, a warning names them.
        allow: What the model may have otherwise than its weights, some of 'preset', 'rope', 'num_heads',
            'pos_resize' and 'pos_embed' (sines that are computed).

    Raises:
        ValueError: An entry of `as_initialized`, `unused` or `allow` names nothing.
    """

    # A model with this initializer leaves its weights undrawn until then.
    draws_the_rest = True

    def __init__(
        self,
        checkpoint: str | os.PathLike,
        patch_resize: str = 'pinv',
        fold_layer_scale: bool = False,
        as_initialized: Sequence[str] = (),
        unused: Sequence[str] = (),
        pos_grid: Sequence[int] | None = None,
        allow: Sequence[str] = (),
        family: str | None = None,
        known: Sequence[str] = (),
        channels: str | Sequence[int] | None = None,
    ):
        if isinstance(channels, str) and channels != REPEAT:
            raise ValueError(f'channels must be {REPEAT!r} or a list of channels of the file, got {channels!r}')
        lists = {'as_initialized': as_initialized, 'unused': unused, 'allow': allow, 'known': known}
        for option, value in lists.items():
            if isinstance(value, str):
                raise ValueError(f'{option} must be a list of names, got {value!r}: write [{value!r}]')
        if unknown := sorted(set(allow) - set(ALLOWED)):
            raise ValueError(f'allow must be some of {ALLOWED}, got {unknown}')
        if pos_grid is not None and (len(pos_grid) != 2 or min(pos_grid) < 1):
            raise ValueError(f'pos_grid must be (rows, columns) in patches, got {pos_grid}')
        if family is not None and family not in PRETRAININGS:
            raise ValueError(f'family must be one of {", ".join(PRETRAININGS)}, got {family!r}')
        self.checkpoint = checkpoint
        self.family = family
        self.patch_resize = patch_resize
        self.channels = channels if channels is None or isinstance(channels, str) else tuple(channels)
        self.fold_layer_scale = fold_layer_scale
        self.as_initialized = tuple(as_initialized)
        self.unused = tuple(unused)
        self.pos_grid = None if pos_grid is None else tuple(pos_grid)
        self.allow, self.known = tuple(allow), tuple(known)

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into `module`, a `PlainViT` or a backbone that holds one."""
        fitted = self.fitted(read_checkpoint(self.checkpoint), module)
        form, state_dict, weights = fitted.form, fitted.state_dict, fitted.weights
        if isinstance(module, SelfInitialized) and module.undrawn:
            module.draw_weights(given=weights.keys())
        loaded = set(weights)
        _load(module, weights, fitted.pages)
        note_loaded(module, self.checkpoint, loaded)
        note_initialization(module, loaded, f'{type(self).__name__}: loaded from {self.checkpoint}')
        notes = [f'as initialised: {", ".join(self.as_initialized)}'] if self.as_initialized else []
        source = f'{self.checkpoint} ({form.name})'
        print_log(f'{source}: {"; ".join([str(fitted.report), *notes])}', logger='current')
        if fitted.unlike:
            print_log(f'{source}: {unlike_as_text(fitted.unlike)}', logger='current', level=logging.WARNING)
        for note in form.notes(state_dict):
            print_log(f'{source}: {note}', logger='current', level=logging.WARNING)
        record = read_record(self.checkpoint)
        self._warn_of_guesses(record, form, state_dict, module)
        if families := record.get('families') or (() if has_record(state_dict) else form.families(state_dict)):
            held_vit(module).loaded_weights = LoadedWeights(str(self.checkpoint), tuple(families))

    def fitted(self, state_dict: dict[str, Tensor], module: nn.Module) -> FittedWeights:
        """Convert and fit what was read of the file, and check it, without loading it into `module`.

        Args:
            state_dict: What `read_checkpoint` returns.
            module: The model, which may be on the meta device.

        Raises:
            CheckpointError: As the class says.
        """
        form = self._detect(state_dict)
        _check_trunk(form, state_dict, module, self.checkpoint)
        weights = _convert(form, state_dict, module)
        pages = FilePages(local_path(self.checkpoint), state_dict.values())
        pages.release()
        # Only what is loaded is kept: the weights of the file are as large as those of the model.
        state_dict = thinned(state_dict)
        if any(name.startswith(_BACKBONE) for name in weights):
            weights = {n.removeprefix(_BACKBONE): v for n, v in weights.items() if n.startswith(_BACKBONE)}
        check_patterns('as_initialized', self.as_initialized, module.state_dict(), 'the model')
        check_patterns('unused', self.unused, weights, 'the file')
        if 'preset' not in self.allow:
            check_preset(form, state_dict, weights, module, (*self.as_initialized, *self.unused))
        unlike = differences(form, state_dict, module, self.allow)
        if self.fold_layer_scale:
            weights = fold_layer_scale(weights)
        weights, report = fit_to_model(weights, module, self._fit_options(form, state_dict))
        return FittedWeights(form, state_dict, weights, report, unlike, pages)

    def _detect(self, state_dict: dict[str, Tensor]) -> Format:
        """The format of the file; of the family that is given, where it may be."""
        form = with_all_known(
            detect(state_dict), state_dict, read_record(self.checkpoint), read_config(self.checkpoint)
        )
        if self.family is None:
            return form
        if self.family not in (families := form.families(state_dict)):
            raise CheckpointError(
                f'{self.checkpoint} ({form.name}) is of {" or ".join(families) or "no known family"}, not of '
                f'{self.family!r}: leave family out of the init_cfg, or give the one that it is of'
            )
        return replace(form, families=lambda _: (self.family,))

    def _warn_of_guesses(
        self, record: Mapping[str, Any], form: Format, state_dict: Mapping[str, Tensor], module: nn.Module
    ) -> None:
        """Those that a conversion recorded, or those that the file of other code leaves to the model."""
        if record:
            warn_of_guesses(record, self.checkpoint)
        else:
            warn_of_unconfirmed(form, state_dict, module, f'{self.checkpoint} ({form.name})', self.known)

    def _fit_options(self, form: Format, state_dict: Mapping[str, Tensor]) -> FitOptions:
        return FitOptions(
            patch_resize=self.patch_resize,
            channels=self.channels,
            as_initialized=self.as_initialized,
            unused=self.unused,
            pos_grid=self.pos_grid,
            recorded=recorded_grids(state_dict, form),
            oblong=form.name in _OURS,
        )


def unlike_as_text(unlike: Sequence[str]) -> str:
    """One sentence about what a model has otherwise than the pre-training."""
    return (
        f'the model is unlike the pre-training as the format has it: {"; ".join(unlike)}. Give it the options or the '
        'preset of the weights unless this is meant'
    )


def _check_trunk(form: Format, state_dict: Mapping[str, Tensor], module: nn.Module, checkpoint: object) -> None:
    """Refuse what has no weights for the ViT, unless the model takes such files, and what has differences alone."""
    trunk = form.trunk(state_dict)
    if trunk == 'added':
        raise CheckpointError(
            f'{checkpoint} is a file of {form.name} whose ViT is published as differences to other weights: add these '
            'with `mmvitdense convert FILE OUT --trunk VIT` (`--trunk none` where the weights are whole)'
        )
    if trunk == 'missing' and not getattr(module, 'takes_files_without_vit', False):
        raise CheckpointError(
            f'{checkpoint} is a file of {form.name} without a ViT: give the file of the ViT here, and join '
            'both with `mmvitdense convert HEAD OUT --trunk VIT` to test them'
        )


def _convert(form: Format, state_dict: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    try:
        return form.convert(state_dict)
    except CheckpointError:  # a width that nobody published
        return form.converted(state_dict, held_vit(module).num_heads)


def _load(module: nn.Module, weights: dict[str, Tensor], pages: FilePages) -> None:
    """Load in chunks, so that the file, which is mapped, and its copy are never in memory as a whole together."""
    chunk: dict[str, Tensor] = {}
    for name in list(weights):
        chunk[name] = weights.pop(name)
        if not weights or sum(tensor.nbytes for tensor in chunk.values()) > _CHUNK_BYTES:
            module.load_state_dict(chunk, strict=False)
            chunk = {}
            pages.release()
