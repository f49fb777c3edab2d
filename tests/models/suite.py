"""What every backbone, neck and head owes, as test classes to inherit.

A subclass names its `variants` (constructor options by name, of models of a few thousand parameters) and says how to
build one, what to feed it and which shapes come out; flags switch off what a model cannot do.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import ClassVar

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from mmvitdense.apis.fusing import fuse_for_inference
from mmvitdense.layers.positions import bias
from tests.fidelity.agreement import assert_within, redraw


def of_variants(which: str) -> Callable[[Callable], Callable]:
    """Mark a test that takes long: it runs for the variants that the attribute `which` of its class names."""

    def mark(test):
        test.of_variants = which
        return test

    return mark


class ModuleSuite:
    """Tests of a module that maps tensors to a tuple of maps."""

    model_class: ClassVar[type[nn.Module]]
    variants: ClassVar[dict[str, dict]]
    # Height and width of what `inputs` makes; the first one is small and regular.
    sizes: ClassVar[list[tuple[int, int]]]
    # Variants that are compiled, and those that exporters write down: few that between them take every branch of the
    # forward pass. All when None. A compiler takes the longer the deeper a model is: a dict gives shallow variants.
    # All are captured in one graph.
    compiled: ClassVar[tuple[str, ...] | dict[str, dict] | None] = None
    exported: ClassVar[tuple[str, ...] | dict[str, dict] | None] = None
    # Whether the backward pass of the first of them, which should meet every operator, is traced too: twice the time.
    # For the classes that between them meet all of our own operators; how torch differentiates its own is not ours.
    traced_backward: ClassVar[bool] = False
    # Cosine between the gradients of a parameter with and without autocast to bfloat16.
    autocast_gradients: ClassVar[float] = 0.98
    # Variants that draw numbers on the host, so that all devices have the same.
    drawn_on_the_host: ClassVar[tuple[str, ...]] = ()
    # Parameters that no output depends on, by variant.
    without_gradient: ClassVar[dict[str, set[str]]] = {}

    def __init_subclass__(cls, **others):
        super().__init_subclass__(**others)
        cls._built = {}

    def build(self, options: dict) -> nn.Module:
        """A model in evaluation mode, every parameter drawn anew."""
        return redraw(self.model_class(**options)).eval()

    def inputs(self, options: dict, batch: int, size: tuple[int, int]) -> tuple:
        """Positional arguments of `forward`."""
        raise NotImplementedError

    def shapes(self, options: dict, batch: int, size: tuple[int, int]) -> list[tuple[int, ...]]:
        """Shapes that `forward` promises."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc):
        if 'variant' in metafunc.fixturenames:
            metafunc.parametrize('variant', list(self._variants_for(metafunc.function)))
        if 'size' in metafunc.fixturenames:
            metafunc.parametrize('size', self.sizes, ids=[f'{height}x{width}' for height, width in self.sizes])

    def _variants_for(self, test: Callable) -> dict[str, dict]:
        """Those of the attribute that `of_variants` names for a test, else all."""
        chosen = getattr(self, getattr(test, 'of_variants', 'variants'))
        if isinstance(chosen, dict):
            return chosen
        return {name: self.variants[name] for name in self.variants if chosen is None or name in chosen}

    @pytest.fixture
    def options(self, request, variant):
        return self._variants_for(request.function)[variant]

    @pytest.fixture
    def model(self, request, variant, options):
        """A copy, which takes a quarter of the time of building; `test_copies` looks at what a copy is."""
        key = getattr(request.function, 'of_variants', 'variants'), variant
        if key not in self._built:
            self._built[key] = self.build(options)
        return copy.deepcopy(self._built[key])

    @pytest.fixture
    def example(self, options):
        return self.inputs(options, 2, self.sizes[0])

    def test_shapes(self, model, options, size):
        outputs = model(*self.inputs(options, 2, size))
        assert isinstance(outputs, tuple)
        assert [tuple(output.shape) for output in outputs] == self.shapes(options, 2, size)
        assert all(output.isfinite().all() for output in outputs)

    def test_gradients_reach_everything(self, model, variant, example):
        example = _require_grad(example)
        _backward(model(*example))
        for tensor in pytree.tree_leaves(example):
            assert tensor.grad.isfinite().all()
            assert tensor.grad.any()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and name not in self.without_gradient.get(variant, ()):
                assert parameter.grad is not None, f'{name} has no gradient'
                assert parameter.grad.isfinite().all(), f'the gradient of {name} is not finite'
                assert parameter.grad.any(), f'the gradient of {name} is zero'

    def test_state_dict_round_trip(self, model, options, example):
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other = redraw(self.model_class(**options), seed=1).eval()
        assert not _equal(other(*example), model(*example))
        other.load_state_dict(torch.load(file, weights_only=True))
        assert _equal(other(*example), model(*example))

    def test_samples_do_not_mix(self, model, example):
        together = model(*example)
        alone = model(*pytree.tree_map(lambda tensor: tensor[1:], example))
        for both, one in zip(together, alone):
            assert_within(both[1:], one, 1e-4, 'second sample')

    def test_autocast_to_bfloat16(self, model, example):
        example, half = _require_grad(example), _require_grad(example)
        expected = model(*example)
        _backward(expected)
        grads = [parameter.grad for parameter in model.parameters()]
        model.zero_grad()
        with torch.autocast('cpu', torch.bfloat16):
            outputs = model(*half)
        _backward(outputs)
        for output, wanted in zip(outputs, expected):
            assert _cosine(output, wanted) > 0.999
        for wanted, (name, parameter) in zip(grads, model.named_parameters()):
            if wanted is not None and wanted.any():
                cosine = _cosine(parameter.grad, wanted)
                assert cosine > self.autocast_gradients, f'gradient of {name}: cosine {cosine:.3f}'

    def test_fused_for_inference(self, model, example):
        with torch.no_grad():
            expected, fused = model(*example), fuse_for_inference(model)(*example)
        for output, wanted in zip(fused, expected):
            assert_within(output, wanted, 1e-4, 'fused')
            assert (output - wanted).norm() <= 1e-5 * wanted.norm()

    @of_variants('compiled')
    def test_fused_in_bfloat16(self, model, example):
        with torch.no_grad():
            expected, fused = model(*example), fuse_for_inference(model, 'bfloat16')(*example)
        for output, wanted in zip(fused, expected):
            assert _cosine(output, wanted) > 0.999

    @of_variants('compiled')
    def test_compile(self, request, model, variant, example):
        torch._dynamo.reset()
        first = next(iter(self._variants_for(request.function)))
        backend = 'aot_eager' if self.traced_backward and variant == first else 'eager'
        compiled = torch.compile(model, fullgraph=True, backend=backend)
        self.assert_same_training(compiled, model, example)

    @of_variants('exported')
    def test_export(self, model, example, onnx_operators, tmp_path):
        """To operators of torch alone, with gradients switched on as they are by default; from there to ONNX.

        Not through the optimiser of graphs, which takes a third of the time and is part of the tests of exports.
        """
        program = torch.export.export(model, example)
        assert not [node.target for node in program.graph.nodes if 'mmvitdense' in str(node.target)]
        expected = model(*example)
        for output, wanted in zip(program.module()(*example), expected):
            assert_within(output, wanted, 1e-4, 'output')
        file = tmp_path / 'model.onnx'
        options = {'external_data': False, 'optimize': False, 'verbose': False}
        torch.onnx.export(program, (), file, dynamo=True, opset_version=18, **options)
        session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
        names = [entry.name for entry in session.get_inputs()]
        outputs = session.run(None, {n: x.numpy() for n, x in zip(names, pytree.tree_leaves(example))})
        for output, wanted in zip(outputs, expected):
            assert_within(torch.from_numpy(output), wanted, 1e-4, 'output of ONNX')

    @of_variants('exported')
    @pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
    def test_trace(self, model, example):
        traced = torch.jit.trace(model, example, check_trace=False)
        assert 'mmvitdense::' not in str(traced.inlined_graph)
        for output, wanted in zip(traced(*example), model(*example)):
            assert_within(output, wanted, 1e-4, 'output')

    def test_no_copies_from_the_host(self, model, variant, example, monkeypatch):
        """Forwards and backwards, on a device whose numbers cannot be read: each copy would keep a GPU waiting.

        Nor numbers in float64, which Apple's GPUs have not.
        """
        if variant in self.drawn_on_the_host:
            pytest.skip('draws numbers on the host')
        monkeypatch.setattr(bias, '_widest', lambda device: torch.float32)  # as for the type of device 'mps'
        model, example = model.to('meta'), _require_grad(pytree.tree_map(lambda tensor: tensor.to('meta'), example))
        model(*example)  # what is kept from the first call on
        with Crossings() as crossings:
            sum(output.sum() for output in model(*example)).backward()
        assert not crossings.found
        assert not crossings.wide

    def test_copies(self, options, example):
        model = self.build(options)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert _equal(other(*example), model(*example))
            with torch.no_grad():
                next(other.parameters()).add_(1.0)
            assert not _equal(other(*example), model(*example))

    def test_initial_weights_apart_from_construction(self, options):
        """On the meta device, whose memory comes later: all that one seed draws in a usual construction."""
        torch.manual_seed(4)
        usual = self.model_class(**options)
        with torch.device('meta'):
            model = self.model_class(**options)
        with pytest.raises(RuntimeError, match=r'is on the meta device, .* call to_empty'):
            model.init_weights()
        model.to_empty(device='cpu')
        tensors = [*model.named_parameters(), *model.named_buffers()]
        for _, tensor in tensors:
            tensor.data.fill_(torch.nan if tensor.is_floating_point() else 77)
        torch.manual_seed(4)
        model.init_weights()
        wanted = dict([*usual.named_parameters(), *usual.named_buffers()])
        assert wanted.keys() == dict(tensors).keys()
        for name, tensor in tensors:
            assert torch.equal(tensor, wanted[name]), name
            assert tensor.stride() == wanted[name].stride(), name
            assert tensor.requires_grad == wanted[name].requires_grad, name

    def test_init_weights_twice_changes_nothing(self, options):
        model = self.model_class(**options)
        model.init_weights()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.init_weights()
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    @pytest.mark.cuda
    def test_cuda_agrees_with_cpu(self, model, example):
        on_gpu = copy.deepcopy(model).cuda()
        with _without_tf32():
            self.assert_same_training(lambda *args: on_gpu(*pytree.tree_map(Tensor.cuda, args)), model, example)

    @pytest.mark.cuda
    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_cuda_autocast(self, model, example, dtype):
        on_gpu = model.cuda()
        example = pytree.tree_map(Tensor.cuda, example)
        with torch.no_grad(), _without_tf32():
            expected = on_gpu(*example)
        with torch.autocast('cuda', dtype):
            outputs = on_gpu(*example)
        _backward(outputs)
        for output, wanted in zip(outputs, expected):
            assert _cosine(output, wanted) > 0.999
        assert all(parameter.grad.isfinite().all() for parameter in on_gpu.parameters() if parameter.grad is not None)

    def assert_same_training(self, one, other, example, tolerance: float = 1e-4) -> None:
        """Fail unless both give the same outputs and the same gradients of their inputs."""
        first, second = _require_grad(example), _require_grad(example)
        outputs, expected = one(*first), other(*second)
        _backward(outputs)
        _backward(expected)
        for output, wanted in zip(outputs, expected):
            assert_within(output.cpu(), wanted, tolerance, 'output')
        for tensor, wanted in zip(pytree.tree_leaves(first), pytree.tree_leaves(second)):
            assert_within(tensor.grad, wanted.grad, 10 * tolerance, 'gradient')


class BackboneSuite(ModuleSuite):
    """Tests of a backbone: an image in, maps at the promised strides out.

    Subclasses also give `patch_size` and the strides and channels of each variant.
    """

    patch_size: ClassVar[int]
    # Share of the numbers kept for the backward pass that `with_cp` keeps at most.
    kept_when_recomputing: ClassVar[float] = 0.5
    # What precedes the names of the ViT, for a backbone that holds one.
    trunk: ClassVar[str] = ''

    def strides_and_channels(self, options: dict) -> list[tuple[int, int]]:
        """Stride and channels of each output."""
        raise NotImplementedError

    @property
    def sizes(self) -> list[tuple[int, int]]:
        patch = self.patch_size
        return [(4 * patch, 6 * patch), (4 * patch + 1, 5 * patch), (7 * patch - 1, 3 * patch + 1), (patch, 1), (1, 1)]

    def inputs(self, options, batch, size):
        return (torch.randn(batch, 3, *size),)

    def shapes(self, options, batch, size):
        return [
            (batch, channels, *(-(-side // stride) for side in size))
            for stride, channels in self.strides_and_channels(options)
        ]

    def test_a_larger_image_after_a_smaller_one(self, model, options):
        """Nothing of the size of the first image is kept."""
        large = self.inputs(options, 1, self.sizes[0])
        expected = self.build(options)(*large)
        model(*self.inputs(options, 1, self.sizes[2]))
        assert _equal(model(*large), expected)

    def test_recomputing_gives_the_same_gradients_from_less_memory(self, options, example):
        """With drop path, whose random choices the second pass must repeat."""
        grads, kept = [], []
        for with_cp in (False, True):
            model = self.build({**options, 'with_cp': with_cp, 'drop_path_rate': 0.5}).train()
            torch.manual_seed(3)
            outputs, saved = count_saved(model, example)
            kept.append(saved)
            _backward(outputs)
            grads.append({name: p.grad for name, p in model.named_parameters()})
        assert kept[1] < kept[0] * self.kept_when_recomputing
        for name, wanted in grads[0].items():
            assert (wanted is None) == (grads[1][name] is None), f'gradient of {name}'
            if wanted is not None:
                room = 1e-4 * wanted.abs().max().item()
                torch.testing.assert_close(grads[1][name], wanted, rtol=0.0, atol=room, msg=f'gradient of {name}')

    def test_drop_path_is_for_training(self, options, example):
        model = self.build({**options, 'drop_path_rate': 0.5})
        assert _equal(model(*example), self.build(options)(*example))
        first = model.train()(*example)
        assert not all(_equal(model(*example), first) for _ in range(5))

    @pytest.mark.parametrize('stages', [0, 2])
    def test_frozen_stages(self, options, example, stages):
        """Frozen parameters get no gradient and random layers among them stay off; the others learn."""
        model = self.build({**options, 'frozen_stages': stages, 'drop_path_rate': 0.5}).train()
        outputs = model(*example)
        _backward(outputs)
        frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        expected = {
            name
            for name, _ in model.named_parameters()
            if model.get_layer_depth(name)[0] <= stages
            or name.startswith(tuple(f'{self.trunk}blocks.{i}.' for i in range(stages)))
        }
        assert frozen == expected
        assert all((parameter.grad is None) == (name in frozen) for name, parameter in model.named_parameters())
        for name, module in model.named_modules():
            owned = [f'{name}.{rest}' for rest, _ in module.named_parameters()]
            assert not owned or module.training != (set(owned) <= frozen), name
        model.eval()
        assert not any(module.training for module in model.modules())

    def test_layer_depths(self, model):
        depths = {name: model.get_layer_depth(f'backbone.{name}', 'backbone.') for name, _ in model.named_parameters()}
        (total,) = {num_depths for _, num_depths in depths.values()}
        assert all(0 <= depth < total for depth, _ in depths.values())
        vit = model.get_submodule(self.trunk.rstrip('.'))
        first = _first_layer(vit, *self.inputs(None, 1, self.sizes[0]))
        assert first
        assert {depths[f'{self.trunk}{name}'][0] for name in first} == {0}
        assert model.get_layer_depth('neck.weight', 'backbone.') == (total - 1, total)


def _first_layer(vit: nn.Module, image: Tensor) -> list[str]:
    """Names of the parameters of the layer that meets the image first."""
    layers = {layer: name for name, layer in vit.named_modules() if [*layer.parameters(recurse=False)]}
    met = []
    handles = [layer.register_forward_hook(lambda layer, *_: met.append(layer)) for layer in layers]
    vit(image)
    for handle in handles:
        handle.remove()
    return [f'{layers[met[0]]}.{name}' for name, _ in met[0].named_parameters(recurse=False)]


def snapshot(module: nn.Module) -> dict:
    """All that a holder of a module may not change: layers, values, what is frozen, plain attributes."""
    plain = (bool, int, float, str, tuple, type(None))
    found = {name: type(layer) for name, layer in module.named_modules()}
    for name, layer in module.named_modules():
        found |= {f'{name}.{key}': value for key, value in vars(layer).items() if isinstance(value, plain)}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        found[f'{name} itself'] = (id(tensor), tensor.requires_grad, tensor.tolist())
    return found


def _require_grad(example: tuple) -> tuple:
    return pytree.tree_map(lambda tensor: tensor.detach().clone().requires_grad_(), example)


def _backward(outputs: tuple[Tensor, ...]) -> None:
    generator = torch.Generator().manual_seed(7)
    total = 0.0
    for output in outputs:
        cotangent = torch.randn(output.shape, generator=generator).to(output.device)
        total = total + (output.float() * cotangent).sum()
    total.backward()


def count_saved(model: nn.Module, example: tuple) -> tuple[tuple[Tensor, ...], int]:
    """Outputs, and how many numbers are kept for the backward pass."""
    saved = []

    def pack(tensor):
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = model(*example)
    return outputs, sum(saved)


def _equal(outputs: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(output, other) for output, other in zip(outputs, others))


def _cosine(one: Tensor, other: Tensor) -> float:
    return torch.cosine_similarity(one.float().flatten(), other.float().flatten(), dim=0).item()


def _without_tf32():
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


class Crossings(TorchDispatchMode):
    """Notes operators that tensors of two devices enter or leave, and those that give the meta device float64."""

    def __init__(self):
        super().__init__()
        self.found, self.wide = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs, output)) if isinstance(leaf, Tensor)]
        # Numbers without dimensions travel with the call of a kernel.
        devices = {tensor.device.type for tensor in tensors if tensor.dim()}
        if any(t.dtype == torch.float64 and t.is_meta for t in pytree.tree_leaves(output) if isinstance(t, Tensor)):
            self.wide.append(str(func))
        if len(devices) > 1:
            self.found.append((str(func), *sorted(devices - {'meta'})))
        return output
