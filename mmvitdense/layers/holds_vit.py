"""What a model around a ViT says of how weights fit it."""

from __future__ import annotations

from torch import nn

_GIVE_TO_VIT = (
    'the checkpoint holds a plain ViT, not a {model}: give it to the ViT inside, '
    "vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=...), ...)"
)
_GIVE_OPTIONS = 'Give the model the options of the checkpoint, which `mmvitdense convert CHECKPOINT --dry-run` prints'


class HoldsViT:
    """Base of models that hold a `PlainViT` or several, and of whose weights `ViTPretrained` loads whole files.

    Attributes:
        held_vits: Attributes that are a `PlainViT`. The first is the one that weights of a plain ViT are compared
            with, of the others a pre-training may have more blocks.
        pretraining_names: Rules (pattern, replacement) that turn names of a pre-training into those of the model; ()
            for a model whose ViT gets its pre-training by an `init_cfg` of its own.
        new_parts: First parts of the names that no pre-training has, such as 'stem.'.
        without_vit: What is said of a file that has no weights for one of `held_vits`; '{model}' is the class.
        takes_files_without_vit: Whether a file may lack the ViT, which then keeps the weights of its own `init_cfg`.
        fit_advice: What is said after the weights that do not fit.
    """

    held_vits: tuple[str, ...] = ('vit',)
    pretraining_names: tuple[tuple[str, str], ...] = ()
    new_parts: tuple[str, ...] = ()
    without_vit: str = _GIVE_TO_VIT
    takes_files_without_vit: bool = False
    fit_advice: str = _GIVE_OPTIONS


def held_vit(model: nn.Module) -> nn.Module:
    """The ViT in a model that holds one, else the model itself."""
    return model.get_submodule(model.held_vits[0]) if isinstance(model, HoldsViT) else model
