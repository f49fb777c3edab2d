"""Layer-wise learning-rate decay for any backbone that tells the depth of its parameters."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from mmvitdense.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .lr_mults import LearningRateOptimWrapperConstructor


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(LearningRateOptimWrapperConstructor):
    """Optimizer constructor in which lower layers learn more slowly (BEiT, arXiv 2106.08254; ViTDet appendix A.2).

    The learning rate of a parameter at depth i out of n is multiplied by ``layer_decay_rate ** (n - 1 - i)``, with the
    depths given by ``get_layer_depth(name, prefix)`` of the backbone, as in mmpretrain. Parameters of modules without
    that method (neck, heads) keep the full rate.

    All options of mmengine's default constructor work besides, and ``lr_mults``, whose factors multiply. ViTDet's
    weight decay is ``norm_decay_mult=0, custom_keys={'pos_embed': dict(decay_mult=0)}`` for B and L (the norms of the
    ViT and the position table are not decayed; biases, relative positions and the channel norms of pyramid and heads
    are) and none of both for H.

    Args:
        optim_wrapper_cfg: As in mmengine, with the optimizer inside.
        paramwise_cfg: mmengine's options, ``lr_mults`` (see ``LearningRateOptimWrapperConstructor``) and
            ``layer_decay_rate``, above 0 and at most 1.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        paramwise_cfg = dict(paramwise_cfg or {})
        self.layer_decay_rate = paramwise_cfg.pop('layer_decay_rate', None)
        if self.layer_decay_rate is None or not 0 < self.layer_decay_rate <= 1:
            raise ValueError(
                'LayerDecayOptimWrapperConstructor needs paramwise_cfg=dict(layer_decay_rate=...) above 0 and at '
                f'most 1, got {self.layer_decay_rate}'
            )
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def factors(self, model: nn.Module) -> dict[int, float]:
        """Factor of the learning rate of every parameter of the model, by its id."""
        others = super().factors(model)
        return {key: factor * others[key] for key, factor in _decay_factors(model, self.layer_decay_rate)}

    def describe(self) -> str:
        """What the log calls these rules."""
        others = f', {super().describe()}' if self.lr_mults else ''
        return f'layer decay {self.layer_decay_rate}{others}'


def _decay_factors(model: nn.Module, rate: float) -> Iterator[tuple[int, float]]:
    """Yield (id, factor) of every parameter of the model."""
    backbones = _modules_with_depth(model)
    if not backbones:
        raise ValueError(
            f'layer decay needs a backbone with a method get_layer_depth(name, prefix); {type(model).__name__} has '
            'none. Use a backbone of mmvitdense, or the default optimizer constructor'
        )
    for name, parameter in model.named_parameters():
        owners = [prefix for prefix in backbones if name.startswith(prefix)]
        factor = 1.0
        if owners:
            depth, num_depths = backbones[owners[0]].get_layer_depth(name, owners[0])
            factor = rate ** (num_depths - 1 - depth)
        yield id(parameter), factor


def _modules_with_depth(model: nn.Module) -> dict[str, nn.Module]:
    """Outermost modules with ``get_layer_depth``, by the prefix of their parameters (an adapter speaks for its ViT)."""
    found = {}
    for name, module in model.named_modules():
        prefix = f'{name}.' if name else ''
        if hasattr(module, 'get_layer_depth') and not any(prefix.startswith(outer) for outer in found):
            found[prefix] = module
    return found
