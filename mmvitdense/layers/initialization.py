"""Initial weights, drawn apart from construction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import wraps
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Of memory that torch gives to tensors.
_ALIGNMENT = 64
_LARGE = 1 << 20
Rules = dict[type[nn.Module], Callable[[nn.Module], None]]


class SelfInitialized:
    """Mixin of a model that draws its initial weights once, apart from its construction.

    A constructor under `constructed_undrawn` leaves the model `undrawn` on the meta device and where
    `awaits_file` says that a file will bring its weights; else they are drawn at its end. All ways go through
    `draw_weights`, so that one seed gives the same weights.

    Each layer is drawn by the rule of `layer_rules` for its class, or by its own `reset_parameters`, those inside
    it first; then the model's `reset_parameters` draws what belongs to no layer. A model inside, such as the ViT of
    an adapter, draws by its own rules, and only what is not drawn yet.
    """

    layer_rules: ClassVar[Rules] = {}
    undrawn: bool = False

    @property
    def awaits_file(self) -> bool:
        """Whether a file that is yet to be loaded brings the weights, or most of them."""
        return False

    def reset_parameters(self) -> None:
        """Draw the parameters that belong to no layer; called after the layers are drawn."""

    def draw_weights(self, given: Collection[str] = ()) -> None:
        """Draw the weights.

        Args:
            given: Names of parameters that are about to be loaded. A layer all of whose parameters are among them is
                not drawn.

        Raises:
            RuntimeError: The model has no memory yet.
        """
        if is_meta(self):
            raise RuntimeError(
                f'{type(self).__name__} is on the meta device, where weights have no values: call '
                "to_empty(device='cpu') before init_weights()"
            )
        for name, layer in _layers(self):
            if isinstance(layer, SelfInitialized):
                if layer.undrawn and not layer.awaits_file and not is_meta(layer):
                    inside = f'{name}.'
                    layer.draw_weights({n.removeprefix(inside) for n in given if n.startswith(inside)})
            elif not all(f'{name}.{own}' in given for own, _ in _tensors(layer)):
                self._draw(layer)
        own = [name for name, _ in self.named_parameters(recurse=False)]
        if not own or not set(own) <= set(given):
            self.reset_parameters()
        self.undrawn = False

    def _draw(self, layer: nn.Module) -> None:
        for kind, rule in self.layer_rules.items():
            if isinstance(layer, kind):
                rule(layer)
                return
        if hasattr(layer, 'reset_parameters'):
            layer.reset_parameters()


def is_meta(module: nn.Module) -> bool:
    """Whether some parameter of a module has no memory."""
    return any(parameter.is_meta for parameter in module.parameters())


def constructed_undrawn(init: Callable[..., None]) -> Callable[..., None]:
    """Let the constructor of a `SelfInitialized` build its layers without drawing, then draw once.

    What awaits a file is zero instead, with gains of one. Modules that the constructor is given are left alone.
    """

    @wraps(init)
    def construct(self: SelfInitialized, *args: object, **options: object) -> None:
        if id(self) in _under_construction:
            return init(self, *args, **options)
        device = torch.empty(0).device
        handed = {module for value in (*args, *options.values()) for module in _modules(value)}
        _under_construction.add(id(self))
        try:
            with torch.device('meta'), _Undrawn():
                init(self, *args, **options)
        finally:
            _under_construction.discard(id(self))
        self.undrawn = True
        if device.type != 'meta':
            own = [module for module in self.modules() if module not in handed]
            _allocate(own, device)
            if not self.awaits_file:
                self.draw_weights()
            _reset_gains(own)
        return None

    return construct


_under_construction: set[int] = set()


class _Undrawn(TorchFunctionMode):
    """Layers do not draw at their construction: on the meta device that is slow, and there is nothing to draw."""

    drawing = frozenset(
        (nn.init.uniform_, nn.init.normal_, nn.init.constant_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_)
    ) | {Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_}

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = kwargs or {}
        if func in self.drawing:
            tensor = args[0] if args else kwargs['tensor']
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


def _tensors(module: nn.Module, recurse: bool = True) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(recurse=recurse), *module.named_buffers(recurse=recurse)]


def _layers(module: nn.Module, prefix: str = '') -> Iterator[tuple[str, nn.Module]]:
    """What is inside, children before parents; of a `SelfInitialized` nothing but itself."""
    for name, child in module.named_children():
        if not isinstance(child, SelfInitialized):
            yield from _layers(child, f'{prefix}{name}.')
        yield f'{prefix}{name}', child


def _modules(value: object) -> Iterator[nn.Module]:
    return value.modules() if isinstance(value, nn.Module) else iter(())


def _zeros_like(tensor: Tensor, device: torch.device) -> Tensor:
    """Zeros that take memory as they are written to, so that a file and a model it fills are not both there in full.

    The system gives such pages to `calloc`, which numpy calls; torch writes its zeros.
    """
    if device.type != 'cpu' or tensor.nbytes < _LARGE or not tensor.is_contiguous():
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device).zero_()
    memory = np.zeros(tensor.nbytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return torch.from_numpy(memory[start : start + tensor.nbytes]).view(tensor.dtype).view(tensor.shape)


def _allocate(modules: Sequence[nn.Module], device: torch.device) -> None:
    """Put what is on the meta device on another one, as zeros with the same layout."""
    replaced: dict[int, Tensor] = {}
    for module in modules:
        for tensors in (module._parameters, module._buffers):
            for name, old in tensors.items():
                if old is None or not old.is_meta:
                    continue
                if id(old) not in replaced:
                    new = _zeros_like(old, device)
                    is_parameter = isinstance(old, nn.Parameter)
                    replaced[id(old)] = nn.Parameter(new, old.requires_grad) if is_parameter else new
                tensors[name] = replaced[id(old)]


def _reset_gains(modules: Sequence[nn.Module]) -> None:
    """Start norms and gains in all that stays undrawn; the matrices are zero until a file is loaded."""
    for part in modules:
        if not isinstance(part, SelfInitialized) or not part.undrawn:
            continue
        for _, layer in _layers(part):
            own = _tensors(layer, recurse=False)
            if own and all(x.ndim < 2 for _, x in own) and hasattr(layer, 'reset_parameters'):
                layer.reset_parameters()


def draw_vit_linear(layer: nn.Linear) -> None:
    """Truncated normal of 0.02 and zero biases, as timm and detectron2 draw the linear layers of a ViT."""
    nn.init.trunc_normal_(layer.weight, std=0.02)
    _zero_bias(layer)


def draw_xavier_linear(layer: nn.Linear) -> None:
    """Uniform by Glorot's rule and zero biases, as MAE draws the linear layers of its ViTs."""
    nn.init.xavier_uniform_(layer.weight)
    _zero_bias(layer)


def draw_adapter_conv(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Normal with the variance 2 over the number of outputs that an input reaches, and zero biases, as ViT-Adapter and
    ViT-CoMer do (`_init_weights`)."""
    fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
    nn.init.normal_(layer.weight, std=(2.0 / fan_out) ** 0.5)
    _zero_bias(layer)


def _zero_bias(layer: nn.Module) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
