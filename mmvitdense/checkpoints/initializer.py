"""The ``init_cfg`` that loads published weights into a ViT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType

from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS as ROOT_INITIALIZERS
from torch import Tensor, nn

from mmvitdense.registry import WEIGHT_INITIALIZERS

from .conversion_record import read_record, warn_of_guesses
from .detect import convert_as, detect
from .differences import differences
from .file_pages import release_file_pages
from .fit_model import fit_to_model
from .layer_scale import fold_layer_scale
from .reading import CheckpointError, local_path, read_checkpoint

_BACKBONE = 'backbone.'
_CHUNK_BYTES = 1 << 27


@WEIGHT_INITIALIZERS.register_module()
@ROOT_INITIALIZERS.register_module()  # mmengine looks up init_cfg types in its own registry alone
class ViTPretrained:
    """Load published weights of a plain ViT, whatever their format, or of a model that holds one.

    Used as ``init_cfg=dict(type='ViTPretrained', checkpoint=...)`` of a ``PlainViT``, of a ``MIMDet``, which gets its
    decoder from the same file, or of a ``ViTCoMer`` or ``ViTAdapter`` for files of the whole backbone (of which a
    ``PlainViT`` takes what is its own). The format is told from the names, tables of positions are resized, and one
    line of the log says what was loaded, resized, missing and left over, and which options of the ViT (epsilon,
    activation, ...) are not those of the pre-training. Weights of blocks that are missing or have another shape raise
    ``CheckpointError``.

    Args:
        checkpoint: Path or http(s) address of the file.
        patch_resize: How a patch embedding is resized where the model has another patch size: 'pinv' or 'bilinear',
            see ``resize_patch_embedding``.
        fold_layer_scale: Whether the gains of LayerScale are multiplied into the layers before it, for a model
            without LayerScale.
        as_initialized: Names of weights that stay as the model initialises them, whether or not the file has them:
            ('pos_embed',) for a position table learned on top of weights that have none.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike,
        patch_resize: str = 'pinv',
        fold_layer_scale: bool = False,
        as_initialized: Sequence[str] = (),
    ):
        self.checkpoint = checkpoint
        self.patch_resize = patch_resize
        self.fold_layer_scale = fold_layer_scale
        self.as_initialized = tuple(as_initialized)

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``, a ``PlainViT`` or a backbone that holds one."""
        state_dict = read_checkpoint(self.checkpoint)
        form = detect(state_dict)
        notes = differences(form, state_dict, module)
        weights = _convert(form, state_dict, module)
        warn_of_guesses(read_record(self.checkpoint), self.checkpoint)
        release_file_pages(local_path(self.checkpoint))
        if any(name.startswith(_BACKBONE) for name in weights):
            weights = {n.removeprefix(_BACKBONE): v for n, v in weights.items() if n.startswith(_BACKBONE)}
        if self.as_initialized:
            weights.update(_initial_weights(module, self.as_initialized))
            notes.append(f'as initialised: {", ".join(self.as_initialized)}')
        if self.fold_layer_scale:
            weights = fold_layer_scale(weights)
        weights, report = fit_to_model(weights, module, self.patch_resize)
        _load(module, weights, local_path(self.checkpoint))
        print_log(f'{self.checkpoint} ({form.NAME}): {"; ".join([str(report), *notes])}', logger='current')


def _convert(form: ModuleType, state_dict: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    try:
        return form.convert(state_dict)
    except CheckpointError:  # a width that nobody published
        return convert_as(form, state_dict, getattr(module, 'vit', module).num_heads)


def _initial_weights(module: nn.Module, names: Sequence[str]) -> dict[str, Tensor]:
    own = module.state_dict()
    if unknown := [name for name in names if name not in own]:
        raise ValueError(
            f'as_initialized has {unknown}, which are no weights of the model: expected names such as '
            f'{next(iter(own))!r}'
        )
    return {name: own[name].clone() for name in names}


def _load(module: nn.Module, weights: dict[str, Tensor], path: str) -> None:
    """Load in chunks, so that the file, which is mapped, and its copy are never in memory as a whole together."""
    chunk: dict[str, Tensor] = {}
    for name in list(weights):
        chunk[name] = weights.pop(name)
        if not weights or sum(tensor.nbytes for tensor in chunk.values()) > _CHUNK_BYTES:
            module.load_state_dict(chunk, strict=False)
            chunk = {}
            release_file_pages(path)
