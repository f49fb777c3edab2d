"""Modules for inference on a CPU: what follows a product is done in it, and what is linear is folded into it.

A module that was changed from outside, by a hook, a parametrisation or another `forward`, stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from mmvitdense.ops import MultiScaleDeformableAttention, PackedLinear, WinogradConv2d, can_pack, can_transform
from mmvitdense.ops.linear_layer import is_plain, is_unwatched
from mmvitdense.ops.module import joined_parameters

from .attention import Attention
from .block import TransformerBlock
from .ffn import Mlp, QuickGELU, SwiGLU
from .layer_scale import LayerScale
from .low_rank import LowRankLinear
from .patch_embed import ConvNormReLU
from .up_conv import UpConv2d

Rule = Callable[[nn.Module, 'Fusing'], None]
RULES: dict[type[nn.Module], Rule] = {}
"""{class, no subclass of it: what is done to a module of it before its linear layers are packed}."""
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, UpConv2d)
"""Classes, no subclass of theirs, of convolutions that may be folded into and kept in other types."""
_PACKABLE = (torch.float32, torch.bfloat16)
_QUICK = 1.702


def fuses(kind: type[nn.Module]) -> Callable[[Rule], Rule]:
    """Register a rule for modules of a class: it changes one in place, by the methods of `Fusing`."""

    def register(rule: Rule) -> Rule:
        RULES[kind] = rule
        return rule

    return register


class Fusing:
    """Fuses a module in place; it computes the same afterwards, but for rounding.

    Args:
        model: The module, in evaluation mode.
        dtype: float32 or bfloat16, in which linear layers are kept and multiplied.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype):
        self.model, self.dtype = model, dtype
        self.packs = can_pack(dtype)
        self._uses = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
        self._own = {id(child) for module in model.modules() if _is_torchs_own(module) for child in module.modules()}

    def run(self) -> None:
        """Merge LoRA, apply the rules, and lay out the linear layers and convolutions that are left."""
        for parent, name, layer in self._layers(LowRankLinear):
            if self.is_free(layer):
                setattr(parent, name, layer.plain().requires_grad_(False).eval())
        for module in list(self.model.modules()):
            if type(module) in RULES and self.is_free(module):
                RULES[type(module)](module, self)
        for parent, name, layer in self._layers(nn.Linear):
            packed = self.pack(layer)
            if packed is not layer:
                setattr(parent, name, packed)
        for parent, name, conv in self._layers(nn.Conv2d):
            setattr(parent, name, self.transform(conv))

    def is_free(self, *modules: nn.Module) -> bool:
        """Whether modules may be changed: each stands in one place, and nothing is attached to it."""
        return all(self._uses[id(module)] <= 1 and is_unwatched(module) for module in modules)

    def is_free_linear(self, layer: nn.Module) -> bool:
        """Whether a layer is one of torch's linear layers that may be changed."""
        return type(layer) is nn.Linear and is_plain(layer) and self._uses[id(layer)] <= 1

    def pack(self, layer: nn.Module, activation: str = 'none') -> nn.Module:
        """The layer with an activation after it, packed; the layer itself where that cannot be."""
        known = type(layer) is nn.Linear and is_plain(layer) and layer.weight.dtype in _PACKABLE
        if not (self.packs and known and layer.weight.device.type == 'cpu' and id(layer) not in self._own):
            return layer
        return PackedLinear(layer.weight, layer.bias, self.dtype, activation)

    def transform(self, conv: nn.Module, relu: bool = False) -> nn.Module:
        """A convolution, and a ReLU after it, by Winograd's algorithm; the convolution itself where that cannot be."""
        known = type(conv) is nn.Conv2d and self.is_free(conv) and can_transform(conv, self.dtype)
        return WinogradConv2d(conv, relu, self.dtype) if known else conv

    def scale(self, layer: nn.Linear, gain: Tensor) -> None:
        """Fold a gain of the outputs, one for each or one number, into a layer."""
        with torch.no_grad():
            layer.weight = _frozen(layer.weight * gain.reshape(-1, 1))
            if layer.bias is not None:
                layer.bias = _frozen(layer.bias * gain)

    def fold_norm(self, conv: nn.Module, norm: nn.Module, channels: slice = slice(None)) -> bool:
        """Fold a batch norm, or that of some of its channels, into the convolution before it; whether it was done."""
        if not self.can_fold(conv, norm):
            return False
        gain = norm.weight if norm.affine else torch.ones_like(norm.running_mean)
        of_norm = (norm.running_mean, norm.running_var, gain, norm.bias)
        mean, variance, weight, bias = (None if t is None else t.detach().double()[channels] for t in of_norm)
        before = None if conv.bias is None else conv.bias.detach().double()
        transposed = isinstance(conv, nn.ConvTranspose2d)
        folded = fuse_conv_bn_weights(
            conv.weight.detach().double(), before, mean, variance, norm.eps, weight, bias, transposed
        )
        conv.weight, conv.bias = (_frozen(tensor.to(conv.weight.dtype)) for tensor in folded)
        return True

    def can_fold(self, conv: nn.Module, norm: nn.Module) -> bool:
        """Whether a norm is a batch norm with statistics, and both may be changed."""
        known = type(conv) in CONVOLUTIONS and (conv.groups == 1 or type(conv) is nn.Conv2d)
        has_statistics = isinstance(norm, _BatchNorm) and norm.running_mean is not None and not norm.training
        return known and has_statistics and self.is_free(conv, norm)

    def _layers(self, kind: type[nn.Module]) -> Iterator[tuple[nn.Module, str, nn.Module]]:
        """Each module of a class, by the module that holds it and the name there."""
        for parent in list(self.model.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is kind and id(child) not in self._own:
                    yield parent, name, child


def _is_torchs_own(module: nn.Module) -> bool:
    """Whether a module is one of torch's that read the weights of their parts."""
    kinds = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
    return isinstance(module, kinds)


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().clone(), requires_grad=False)


@fuses(TransformerBlock)
def _fuse_block(block: TransformerBlock, fusing: Fusing) -> None:
    """LayerScale goes into the last product of its branch, and the sum with the residual too."""
    if type(block.attn) is not Attention or type(block.mlp) not in (Mlp, SwiGLU):
        return
    folded = True
    for name, last in (('ls1', block.attn.proj), ('ls2', block.mlp.fc2 if type(block.mlp) is Mlp else block.mlp.w3)):
        scale = getattr(block, name)
        if type(scale) is LayerScale and fusing.is_free(scale) and fusing.is_free_linear(last):
            fusing.scale(last, scale.gamma)
            setattr(block, name, nn.Identity())
        folded &= type(getattr(block, name)) is nn.Identity and is_unwatched(getattr(block, name))
    block.joined = folded and is_unwatched(block.drop_path)


@fuses(Attention)
def _fuse_attention(attention: Attention, fusing: Fusing) -> None:
    """One kernel attends, and a bias that counts as zero for the keys becomes one that is zero there."""
    attention.for_inference = True
    if attention.without_key_bias and fusing.is_free_linear(attention.qkv):
        attention.qkv.bias = _frozen(attention._used_bias())
        attention.without_key_bias = False


@fuses(Mlp)
def _fuse_mlp(mlp: Mlp, fusing: Fusing) -> None:
    """The activation is done in the first product."""
    if not (fusing.is_free(mlp.act) and fusing.is_free_linear(mlp.fc1)):
        return
    activation = mlp.act_name
    if type(mlp.act) is QuickGELU:
        # x * sigmoid(a * x) is SiLU(a * x) / a.
        if not (type(mlp.norm) is nn.Identity and fusing.packs and fusing.is_free_linear(mlp.fc2)):
            return
        activation = 'silu'
        fusing.scale(mlp.fc1, torch.tensor(_QUICK))
        mlp.fc2.weight = _frozen(mlp.fc2.weight / _QUICK)
    packed = fusing.pack(mlp.fc1, activation)
    if packed is not mlp.fc1:
        mlp.fc1, mlp.act = packed, nn.Identity()


@fuses(MultiScaleDeformableAttention)
def _fuse_deformable(attention: MultiScaleDeformableAttention, fusing: Fusing) -> None:
    """Offsets and logits are one product."""
    both = attention.sampling_offsets, attention.attention_weights
    if all(fusing.is_free_linear(layer) for layer in both):
        weight, bias = joined_parameters(*both)
        joined = nn.Linear(attention.embed_dims, len(weight), device='meta')
        joined.weight, joined.bias = _frozen(weight), _frozen(bias)
        attention.sampling_offsets, attention.attention_weights = joined.eval(), nn.Identity()


@fuses(ConvNormReLU)
def _fuse_conv(stage: ConvNormReLU, fusing: Fusing) -> None:
    """The norm goes into the convolution."""
    if fusing.fold_norm(stage.conv, stage.norm):
        stage.norm = nn.Identity()


@fuses(nn.Sequential)
def _fuse_sequence(layers: nn.Sequential, fusing: Fusing) -> None:
    """Each batch norm goes into the convolution before it, and then a ReLU where it can be done there."""
    parts = layers._modules
    for before, after in pairwise(list(parts)):
        if fusing.fold_norm(parts[before], parts[after]):
            parts[after] = nn.Identity()
    left = [name for name, layer in parts.items() if type(layer) is not nn.Identity or not is_unwatched(layer)]
    for before, after in pairwise(left):
        if type(parts[after]) is nn.ReLU and fusing.is_free(parts[after]):
            conv = fusing.transform(parts[before], relu=True)
            if conv is not parts[before]:
                parts[before], parts[after] = conv, nn.Identity()
