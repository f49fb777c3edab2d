"""Layer-wise learning-rate decay for any backbone that reports the depth of its parameters."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from mmvitdense.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .lr_mults import LearningRateOptimWrapperConstructor


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(LearningRateOptimWrapperConstructor):
    """Optimizer constructor in which lower layers learn more slowly (BEiT, arXiv 2106.08254; ViTDet appendix A.2).

    The learning rate of a parameter at depth i out of n is multiplied by `layer_decay_rate ** (n - 1 - i)`, with the
    depths given by `get_layer_depth(name, prefix)` of the backbone, as in mmpretrain. Parameters of modules without
    that method (neck, heads) keep the full rate.

    All options of mmengine's default constructor work besides, and `lr_mults`, whose factors multiply. ViTDet's
    weight decay is `norm_decay_mult=0, custom_keys={'pos_embed': dict(decay_mult=0)}` for B and L (the norms of the
    ViT and the position table are not decayed; biases, relative positions and the channel norms of pyramid and heads
    are) and none of both for H. BEiT's, which ViT-Adapter and ViT-CoMer keep, is `flat_decay_mult=0`: nothing that
    has one dimension is decayed.

    Args:
        optim_wrapper_cfg: As in mmengine, with the optimizer inside.
        paramwise_cfg: mmengine's options, `lr_mults` (see `LearningRateOptimWrapperConstructor`),
            `layer_decay_rate`, above 0 and at most 1, and `lowest_rate_names`, beginnings of the names of
            parameters outside the backbone that learn at the rate of depth 0, as ViT-Adapter has it for the queries of
            Mask2Former (`segmentation/mmcv_custom`).
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        paramwise_cfg = dict(paramwise_cfg or {})
        self.layer_decay_rate = paramwise_cfg.pop('layer_decay_rate', None)
        self.lowest_rate_names = tuple(paramwise_cfg.pop('lowest_rate_names', ()))
        if self.layer_decay_rate is None or not 0 < self.layer_decay_rate <= 1:
            raise ValueError(
                'LayerDecayOptimWrapperConstructor needs paramwise_cfg=dict(layer_decay_rate=...) above 0 and at '
                f'most 1, got {self.layer_decay_rate}'
            )
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def factors(self, model: nn.Module) -> dict[int, float]:
        """Factor of the learning rate of every parameter of the model, by its id."""
        others = super().factors(model)
        decays = _decay_factors(model, self.layer_decay_rate, self.lowest_rate_names)
        return {key: factor * others[key] for key, factor in decays}

    def describe(self) -> str:
        """What the log calls these rules."""
        others = f', {super().describe()}' if self.lr_mults else ''
        return f'layer decay {self.layer_decay_rate}{others}'


def _decay_factors(model: nn.Module, rate: float, lowest: tuple[str, ...]) -> Iterator[tuple[int, float]]:
    """Yield (id, factor) of every parameter of the model."""
    backbones = _modules_with_depth(model)
    if not backbones:
        raise ValueError(
            f'layer decay needs a backbone with a method get_layer_depth(name, prefix); {type(model).__name__} has '
            'none. Use a backbone of mmvitdense, or the default optimizer constructor'
        )
    parameters = dict(model.named_parameters())
    if unknown := [start for start in lowest if not any(name.startswith(start) for name in parameters)]:
        raise ValueError(f'lowest_rate_names must begin names of parameters of {type(model).__name__}, got {unknown}')
    depths = {}
    for name in parameters:
        owners = [prefix for prefix in backbones if name.startswith(prefix)]
        if owners:
            depths[name] = backbones[owners[0]].get_layer_depth(name, owners[0])
    most = max(num_depths for _, num_depths in depths.values())
    for name, parameter in parameters.items():
        depth, num_depths = depths.get(name, (0, most) if name.startswith(lowest) else (0, 1))
        yield id(parameter), rate ** (num_depths - 1 - depth)


def _modules_with_depth(model: nn.Module) -> dict[str, nn.Module]:
    """Outermost modules with `get_layer_depth`, by the prefix of their parameters (an adapter speaks for its ViT)."""
    found = {}
    for name, module in model.named_modules():
        prefix = f'{name}.' if name else ''
        if hasattr(module, 'get_layer_depth') and not any(prefix.startswith(outer) for outer in found):
            found[prefix] = module
    return found
