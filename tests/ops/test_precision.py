"""Every storage type and every number of channels against the reference in float64; golden files; threads."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from problems import make, run, to

from mmvitdense import ops
from mmvitdense.ops import reference

GOLDEN = Path(__file__).parents[1] / 'golden'
OPS = [
    (ops.ms_deform_attn, reference.ms_deform_attn, 'classic'),
    (ops.ms_deform_attn_fused, reference.ms_deform_attn_fused, 'fused'),
]


def assert_agrees(result, expected, tolerance):
    for ours, exact in zip((result[0], *result[1]), (expected[0], *expected[1])):
        scale = max(exact.abs().max().item(), 1e-6) if exact.numel() else 1.0
        torch.testing.assert_close(ours.double() / scale, exact / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize(('ours', 'exact', 'kind'), OPS)
@pytest.mark.parametrize('queries', [2, 200], ids=['in place', 'packed'])
@pytest.mark.parametrize('channels', [1, 4, 16, 20, 30, 32, 47, 48, 64, 100, 256])
def test_float32(compiled, ours, exact, kind, queries, channels):
    problem = make(compiled, torch.float32, channels=channels, queries=queries, shapes=[(9, 8), (5, 6)])
    arguments = getattr(problem, kind)
    assert_agrees(run(ours, arguments), run(exact, to(arguments, torch.float64)), 1e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(('ours', 'exact', 'kind'), OPS)
@pytest.mark.parametrize('all_arguments', [False, True])
def test_16_bit(compiled, dtype, ours, exact, kind, all_arguments):
    """Against float64 of the rounded arguments."""
    value, shapes, *rest = getattr(make(compiled, torch.float32, channels=36, queries=150), kind)
    arguments = [value.to(dtype), shapes, *(to(rest, dtype) if all_arguments else rest)]
    result = run(ours, arguments)
    assert [g.dtype for g in result[1]] == [t.dtype for t in arguments if isinstance(t, torch.Tensor)]
    grad = torch.randn(result[0].shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)
    expected = run(exact, to(arguments, torch.float64), grad)
    # Rounding can push a location in 16 bits over a pixel centre, where its gradient jumps: leave those out.
    skip = 1 if all_arguments else None
    result, expected = ((out, [g for i, g in enumerate(gs) if i != skip]) for out, gs in (result, expected))
    assert_agrees(result, expected, 1e-2)


@pytest.mark.parametrize('shared', [False, True])
@pytest.mark.parametrize('box', [False, True])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_fused_with_shared_references(compiled, shared, box, dtype):
    problem = make(compiled, torch.float32, channels=8, queries=70, shared=shared, box=box)
    arguments = [problem.value.to(dtype), *problem.fused[1:]]
    grad = torch.randn(2, 70, 16).to(dtype)
    result = run(ops.ms_deform_attn_fused, arguments, grad)
    expected = run(reference.ms_deform_attn_fused, to(arguments, torch.float64), grad)
    assert_agrees(result, expected, 1e-2 if dtype == torch.bfloat16 else 2e-5)


@pytest.mark.parametrize('box', [False, True])
@pytest.mark.parametrize('shared', [False, True])
def test_fused_is_classic_after_its_prologue(implementation, box, shared):
    problem = make(implementation, box=box, shared=shared)
    torch.testing.assert_close(ops.ms_deform_attn_fused(*problem.fused), ops.ms_deform_attn(*problem.classic))


@pytest.mark.parametrize('box', [False, True])
@pytest.mark.parametrize('shared', [False, True])
def test_backward_of_the_reference_written_out(device, box, shared):
    """Compiled graphs without a compiled kernel use it; autograd's is the oracle."""
    problem = make(device, box=box, shared=shared)
    for function, backward, arguments, flags in (
        (reference.ms_deform_attn, reference.ms_deform_attn_backward, problem.classic, ()),
        (reference.ms_deform_attn_fused, reference.ms_deform_attn_fused_backward, problem.fused, (True,)),
    ):
        grad = torch.randn_like(function(*arguments))
        for ours, expected in zip(backward(grad, *arguments, *flags), run(function, arguments, grad)[1]):
            torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize('name', ['msda_core_1', 'msda_core_2', 'msda_core_3'])
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_official_results(implementation, name, dtype, tolerance):
    file = np.load(GOLDEN / f'{name}.npz')
    tensor = {key: torch.from_numpy(file[key]).to(implementation) for key in file.files if key != 'meta'}
    inputs = [tensor[f'in/{key}'].to(dtype) for key in ('value', 'sampling_locations', 'attention_weights')]
    shapes = json.loads(str(file['meta']))['kwargs']['shapes']
    output, gradients = run(ops.ms_deform_attn, (inputs[0], shapes, *inputs[1:]), tensor['cot/out'])
    expected = [tensor[f'grad/{key}'] for key in ('value', 'sampling_locations', 'attention_weights')]
    assert_agrees((output, gradients), (tensor['out/out'], expected), tolerance)


@pytest.mark.parametrize('batch', [1, 3])
@pytest.mark.parametrize('heads', [1, 5])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_same_to_the_bit_with_any_number_of_threads(compiled_for_cpu, batch, heads, dtype):
    before, results = torch.get_num_threads(), []
    problem = make('cpu', torch.float32, batch=batch, heads=heads, channels=20, queries=700, shared=True)
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            for function, kind in ((ops.ms_deform_attn, 'classic'), (ops.ms_deform_attn_fused, 'fused')):
                value, *rest = getattr(problem, kind)
                output, gradients = run(function, (value.to(dtype), *rest))
                results.append((output, *gradients))
    finally:
        torch.set_num_threads(before)
    for result, expected in zip(results[2:], 2 * results[:2]):
        assert all(torch.equal(a, b) for a, b in zip(result, expected))


@pytest.mark.parametrize('capability', ['baseline', 'avx2'])
def test_older_processors(compiled_for_cpu, capability, bare_python):
    """The kernels for lesser instruction sets, in a process of their own since the choice is made once."""
    script = (
        'import sys, torch; sys.path.insert(0, sys.argv[1])\n'
        'from problems import make, run, to\n'
        'from mmvitdense import ops\n'
        'from mmvitdense.ops import reference\n'
        "assert ops.backend() == 'compiled'\n"
        'for channels in (20, 64):\n'
        "    arguments = make('cpu', torch.float32, channels=channels, queries=100).fused\n"
        '    ours, exact = run(ops.ms_deform_attn_fused, arguments), '
        'run(reference.ms_deform_attn_fused, to(arguments, torch.float64))\n'
        '    for a, b in zip((ours[0], *ours[1]), (exact[0], *exact[1])):\n'
        '        assert (a - b).abs().max() <= 1e-5 * b.abs().max(), channels\n'
    )
    command = ['-c', script, Path(__file__).parent]
    done = bare_python.run(command, variables={'MMVITDENSE_CPU_CAPABILITY': capability})
    assert done.returncode == 0, done.stderr


def test_strided_arguments(compiled):
    """Views of one projection, as an attention layer makes them, and a value whose channels are not contiguous."""
    problem = make(compiled, torch.float32, queries=50, channels=6)
    batch, queries = 2, 50
    flat = torch.cat((problem.offsets.flatten(2), problem.logits.flatten(2)), dim=-1)
    split = problem.offsets.flatten(2).size(-1)
    offsets = flat[..., :split].view(problem.offsets.shape)
    logits = flat[..., split:].view(problem.logits.shape)
    assert not offsets.is_contiguous()
    value = problem.value.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1)
    assert value.stride(-1) != 1
    expected = run(ops.ms_deform_attn_fused, problem.fused)
    arguments = (value, problem.shapes, problem.reference, offsets, logits)
    inputs = [t.requires_grad_() if isinstance(t, torch.Tensor) and t.is_leaf else t for t in arguments]
    torch.testing.assert_close(ops.ms_deform_attn_fused(*inputs).detach(), expected[0], rtol=0, atol=0)
    grad = torch.randn(queries, batch, 12, device=compiled).transpose(0, 1)
    result = torch.ops.mmvitdense.ms_deform_attn_fused_backward(
        grad, value.detach(), [n for shape in problem.shapes for n in shape], *arguments[2:], True
    )
    exact = run(ops.ms_deform_attn_fused, problem.fused, grad)[1]
    for a, b in zip(result, exact):
        torch.testing.assert_close(a, b)
