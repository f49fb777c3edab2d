"""Learning rates of a mask transformer."""

from __future__ import annotations

from torch import nn

from mmvitdense.layers import HoldsViT, held_vit
from mmvitdense.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .lr_mults import LearningRateOptimWrapperConstructor
from .two_stage_warmup import STAGE


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MaskTransformerOptimWrapperConstructor(LearningRateOptimWrapperConstructor):
    """Optimizer constructor of EoMT (`training/lightning_module.py:configure_optimizers`).

    Of a ViT with N blocks, block i has the factor `layer_decay_rate ** (N - 1 - i)`, so that the last has the full
    rate, unlike with `LayerDecayOptimWrapperConstructor`; the embeddings have that of block 0; the final norm,
    queries and heads have the full rate. Parameters of the ViT are marked for `TwoStageWarmupPoly`.

    The options of mmengine's default constructor and `lr_mults` work besides; without them all is decayed, norms,
    biases and queries too, as published. (`lr_mult` of the official files has no effect there;
    `lr_mults={'backbone.vit': 0.1}` does what it says.)

    Args:
        optim_wrapper_cfg: As in mmengine, with the optimizer inside.
        paramwise_cfg: mmengine's options, `lr_mults`, `layer_decay_rate` (1 for none) and `num_full_blocks`, the
            number of last blocks that have the full rate (those with queries for DINOv3, 0 for DINOv2).
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        paramwise_cfg = dict(paramwise_cfg or {})
        self.layer_decay_rate = paramwise_cfg.pop('layer_decay_rate', 1.0)
        self.num_full_blocks = paramwise_cfg.pop('num_full_blocks', 0)
        if not 0 < self.layer_decay_rate <= 1 or self.num_full_blocks < 0:
            raise ValueError(
                'MaskTransformerOptimWrapperConstructor needs layer_decay_rate above 0 and at most 1 and '
                f'num_full_blocks of at least 0, got {self.layer_decay_rate} and {self.num_full_blocks}'
            )
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def factors(self, model: nn.Module) -> dict[int, float]:
        """Factor of the learning rate of every parameter of the model, by its id."""
        factors = super().factors(model)
        for prefix, vit in _vits(model).items():
            for name, parameter in vit.named_parameters():
                depth, num_depths = vit.get_layer_depth(prefix + name, prefix)
                blocks = num_depths - 2
                if depth <= blocks - self.num_full_blocks:
                    factors[id(parameter)] *= self.layer_decay_rate ** min(blocks - depth, blocks - 1)
        return factors

    def marks(self, model: nn.Module) -> dict[int, dict]:
        """Entries of the group of a parameter, by its id: the stage."""
        vits = _vits(model).values()
        return {id(parameter): {STAGE: 'vit'} for vit in vits for parameter in vit.parameters()}

    def describe(self) -> str:
        """What the log calls these rules."""
        others = f', {super().describe()}' if self.lr_mults else ''
        full = f', the last {self.num_full_blocks} blocks at the full rate' if self.num_full_blocks else ''
        return f'layer decay {self.layer_decay_rate} from the last block{full}{others}'


def _vits(model: nn.Module) -> dict[str, nn.Module]:
    """The ViTs of models that hold one, by the prefix of their parameters."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, HoldsViT):
            found['.'.join([*filter(None, [name]), module.held_vits[0], ''])] = held_vit(module)
    if not found:
        raise ValueError(
            f'MaskTransformerOptimWrapperConstructor needs a model that holds a ViT, such as mmvitdense.EoMT; '
            f'{type(model).__name__} has none'
        )
    return found
