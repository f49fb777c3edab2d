"""The ops as torch's compiler, exporter and autocast see them."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from problems import SHAPES, leaves, make, run
from torch._subclasses.fake_tensor import FakeTensorMode

from mmvitdense import ops
from mmvitdense.ops import backends

FLAT = [size for shape in SHAPES for size in shape]


def flat(arguments):
    return (arguments[0], FLAT, *arguments[2:])


@pytest.mark.parametrize('queries', [0, 1, 5])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('name', ['ms_deform_attn', 'ms_deform_attn_fused'])
def test_opcheck(compiled, queries, dtype, name):
    problem = make(compiled, torch.float32, queries=queries)
    value, *rest = flat(problem.fused if name.endswith('fused') else problem.classic)
    arguments = leaves((value.to(dtype), *rest))
    torch.library.opcheck(getattr(torch.ops.mmvitdense, name).default, arguments)


@pytest.mark.parametrize('reference_grad', [False, True])
def test_opcheck_of_the_backward_ops(compiled, reference_grad):
    problem = make(compiled, torch.float32)
    grad = torch.randn(2, 3, 8, device=compiled)
    library = torch.ops.mmvitdense
    torch.library.opcheck(library.ms_deform_attn_backward.default, (grad, *flat(problem.classic)))
    arguments = (grad, *flat(problem.fused), reference_grad)
    torch.library.opcheck(library.ms_deform_attn_fused_backward.default, arguments)


def test_direct_calls_without_a_compiled_kernel(device):
    """What a compiled graph does on a machine that has none."""
    ops.set_backend('reference')
    script = (
        'import sys, torch; sys.path.insert(0, sys.argv[1])\n'
        'from test_registration import flat\n'
        'from problems import make, run\n'
        'from mmvitdense import ops\n'
        'from mmvitdense.ops import reference\n'
        'problem = make(sys.argv[2])\n'
        "for kind, name in (('classic', 'ms_deform_attn'), ('fused', 'ms_deform_attn_fused')):\n"
        '    arguments = getattr(problem, kind)\n'
        '    ours = run(getattr(torch.ops.mmvitdense, name), flat(arguments))\n'
        '    exact = run(getattr(reference, name), arguments)\n'
        '    for a, b in zip((ours[0], *ours[1]), (exact[0], *exact[1])): torch.testing.assert_close(a, b)\n'
    )
    environment = {**os.environ, 'MMVITDENSE_OPS_BACKEND': 'reference'}
    command = [sys.executable, '-c', script, str(Path(__file__).parent), device]
    subprocess.run(command, env=environment, check=True, timeout=600)


@pytest.mark.parametrize('shapes', [list, torch.tensor])
@pytest.mark.parametrize('dynamic', [False, True])
@pytest.mark.parametrize('name', ['ms_deform_attn', 'ms_deform_attn_fused'])
def test_compiles_into_one_graph(compiled, name, dynamic, shapes):
    """Where the sizes of the levels are a tensor too, which no graph can read."""
    torch._dynamo.reset()
    function = getattr(ops, name)
    traced = torch.compile(lambda *a: function(*a) * 2, fullgraph=True, dynamic=dynamic, backend='aot_eager')
    for queries in (3, 6):
        problem = make(compiled, torch.float32, queries=queries)
        value, levels, *rest = problem.fused if name.endswith('fused') else problem.classic
        arguments = value, shapes(levels), *rest
        result, expected = run(traced, arguments), run(lambda *a: function(*a) * 2, arguments)
        for ours, exact in zip((result[0], *result[1]), (expected[0], *expected[1])):
            if compiled == 'cuda':  # the order of atomic additions changes the last bits
                torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-5)
            else:
                assert torch.equal(ours, exact)


@pytest.mark.parametrize('device', ['cuda', 'meta'])
def test_tensors_without_numbers(monkeypatch, device):
    """They ask for no kernel, and for no numbers of a tensor, on a device that need not be there."""
    monkeypatch.setattr(backends, 'use_compiled', lambda device: pytest.fail(f'kernels for {device} were asked for'))
    with FakeTensorMode() if device == 'cuda' else nullcontext():
        for shapes in (SHAPES, torch.tensor(SHAPES, device=device)):
            value, _, *rest = make('cpu').fused
            tensors = [torch.empty(x.shape, device=device, requires_grad=True) for x in (value, *rest)]
            output = ops.ms_deform_attn_fused(tensors[0], shapes, *tensors[1:])
            assert output.device.type == device
            if device == 'meta':  # autograd asks for the GPU itself
                for gradient, tensor in zip(torch.autograd.grad(output.sum(), tensors), tensors):
                    assert (gradient.shape, gradient.device) == (tensor.shape, tensor.device)


class Reads(torch.Tensor):
    """Counts how often its numbers are read."""

    count = 0

    def tolist(self):
        type(self).count += 1
        return self.as_subclass(torch.Tensor).tolist()


def test_a_tensor_of_sizes_is_read_once():
    """Each reading waits for a GPU; what was written to in between is read again."""
    value, shapes, *rest = make('cpu').fused
    tensor = torch.tensor(shapes).as_subclass(Reads)
    before, expected = Reads.count, ops.ms_deform_attn_fused(value, shapes, *rest)
    for _ in range(3):
        assert torch.equal(ops.ms_deform_attn_fused(value, tensor, *rest), expected)
    assert Reads.count == before + 1
    tensor[0, 0] += 1
    with pytest.raises(ValueError, match='positions, but value has'):
        ops.ms_deform_attn_fused(value, tensor, *rest)


class Layer(torch.nn.Module):
    def forward(self, value, reference, offsets, logits):
        return ops.ms_deform_attn_fused(value, SHAPES, reference, offsets, logits) + 1


def test_exports_as_one_operator_where_the_kernel_is_asked_for(compiled):
    arguments = make(compiled, torch.float32).fused
    tensors = (arguments[0], *arguments[2:])
    program = torch.export.export(Layer(), tensors)
    targets = [node.target for node in program.graph.nodes if node.op == 'call_function']
    assert torch.ops.mmvitdense.ms_deform_attn_fused.default in targets
    assert torch.equal(program.module()(*tensors), Layer()(*tensors))


class BothOps(Layer):
    def forward(self, value, locations, weights, reference, offsets, logits):
        return ops.ms_deform_attn(value, SHAPES, locations, weights) + super().forward(
            value, reference, offsets, logits
        )


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_exports_as_operators_of_torch(device):
    """By default: other programs know no others."""
    problem = make(device, torch.float32)
    tensors = (problem.classic[0], *problem.classic[2:], *problem.fused[2:])
    wanted = BothOps()(*tensors)
    program = torch.export.export(BothOps(), tensors)
    traced = torch.jit.trace(BothOps(), tensors)
    assert not [node.target for node in program.graph.nodes if 'mmvitdense' in str(node.target)]
    assert 'mmvitdense::' not in str(traced.inlined_graph)
    for written in (program.module(), traced):
        torch.testing.assert_close(written(*tensors), wanted)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_leaves_types_alone(implementation, dtype):
    """Locations and softmax stay in float32 whatever runs around the op."""
    problem = make(implementation, torch.float32)
    for function, arguments in ((ops.ms_deform_attn, problem.classic), (ops.ms_deform_attn_fused, problem.fused)):
        expected = run(function, arguments)
        low = [arguments[0].to(dtype), *arguments[1:]]
        with torch.autocast(implementation, dtype=dtype):
            result = run(function, arguments)
            assert function(*low).dtype == dtype
        for ours, exact in zip((result[0], *result[1]), (expected[0], *expected[1])):
            torch.testing.assert_close(ours, exact)


@pytest.mark.parametrize('empty', ['batch', 'queries', 'heads', 'channels', 'points'])
def test_empty_fused(implementation, empty):
    problem = make(implementation, **{empty: 0})
    output, gradients = run(ops.ms_deform_attn_fused, problem.fused)
    assert not output.any()
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'value': lambda t: t[0]}, r'value has 3 dimensions.*expected 4'),
        ({'value': lambda t: t.long()}, r'value is torch.int64.*floating'),
        ({'value': lambda t: t[:, 1:]}, r'spatial_shapes .* 33 positions, but value has 32'),
        ({'reference_points': lambda t: t[..., 0]}, r'reference_points has 3 dimensions'),
        ({'reference_points': lambda t: t[:, :, :, :1]}, r'reference_points has shape .*expected \(2 or 1, 3, 3 or 1'),
        ({'reference_points': lambda t: t[:, :, :2]}, r'reference_points has shape'),
        ({'reference_points': lambda t: t.to('meta')}, r'reference_points is on meta and value on cpu'),
        ({'offsets': lambda t: t[:, :, :, :2]}, r'offsets has shape .*expected \(2, 3, 2, 3, 3, 2\)'),
        ({'offsets': lambda t: t.int()}, r'offsets is torch.int32'),
        ({'logits': lambda t: t[None]}, r'logits has 6 dimensions'),
        ({'logits': lambda t: t[..., :1]}, r'logits has shape .*that of offsets without'),
        ({'spatial_shapes': lambda s: [(4, 5, 1), (1, 7), (3, 2)]}, r'spatial_shapes is .*expected one \(H, W\)'),
    ],
)
def test_bad_arguments_are_named(change, message):
    names = ('value', 'spatial_shapes', 'reference_points', 'offsets', 'logits')
    arguments = dict(zip(names, make().fused))
    for name, modify in change.items():
        arguments[name] = modify(arguments[name])
    with pytest.raises(ValueError, match=message):
        ops.ms_deform_attn_fused(**arguments)


@pytest.mark.parametrize(
    ('at', 'modify', 'message'),
    [
        (0, lambda t: t[0], 'value has 3 dimensions'),
        (0, lambda t: t.long(), 'expected float32'),
        (1, lambda s: s[:-1], 'spatial_shapes has 5 numbers'),
        (1, lambda s: s[:-2], 'spatial_shapes hold'),
        (2, lambda t: t[:, 1:], 'attention_weights has shape'),
        (2, lambda t: t[..., :1], 'sampling_locations has shape'),
        (3, lambda t: t[..., :1], 'attention_weights has shape'),
    ],
)
def test_direct_calls_are_checked_too(compiled, at, modify, message):
    arguments = list(flat(make(compiled).classic))
    arguments[at] = modify(arguments[at])
    with pytest.raises(ValueError, match=message):
        torch.ops.mmvitdense.ms_deform_attn(*arguments)
