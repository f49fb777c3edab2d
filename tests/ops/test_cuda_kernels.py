"""What is particular to the CUDA kernels. The rest of the suite runs on a GPU as well, by its fixture `device`."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from problems import make, run, to

from mmvitdense import ops
from mmvitdense.ops import reference

OPS = {
    'classic': (ops.ms_deform_attn, reference.ms_deform_attn),
    'fused': (ops.ms_deform_attn_fused, reference.ms_deform_attn_fused),
}
TOLERANCES = {torch.float64: 1e-11, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}


@contextmanager
def deterministic() -> Iterator[None]:
    """For our kernels alone: the reference computes with operators of torch that have no deterministic form."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def flat(shapes):
    return [size for shape in shapes for size in shape]


def assert_agrees(result, expected, tolerance):
    for ours, exact in zip((result[0], *result[1]), (expected[0], *expected[1])):
        scale = max(exact.abs().max().item(), 1e-6) if exact.numel() else 1.0
        torch.testing.assert_close(ours.double() / scale, exact / scale, rtol=0, atol=tolerance)


def assert_same_bits(result, other):
    assert all(torch.equal(a, b) for a, b in zip((result[0], *result[1]), (other[0], *other[1])))


def with_exact(problem, kind, dtype):
    """Arguments with the value in `dtype`, and a gradient of the output that `dtype` holds exactly."""
    value, *rest = getattr(problem, kind)
    arguments = [value.to(dtype), *(to(rest, dtype) if dtype == torch.float64 else rest)]
    grad = torch.randn(value.size(0), rest[1].size(1), value.size(2) * value.size(3), device=value.device)
    return arguments, grad.to(dtype)


@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('channels', [2, 8, 16, 30, 32, 64, 128, 264, 519])
@pytest.mark.parametrize('kind', OPS)
def test_layouts(kernels, kind, channels, dtype):
    """Every division of channels among lanes; queries that are the pixels of all levels, of one, and of none."""
    ours, exact = OPS[kind]
    # Two tiles of queries in a row.
    shapes = [(9, 21), (7, 5)] if channels in (8, 16, 32, 64) else [(3, 5), (4, 2)]
    (height, width), (lower_height, lower_width) = shapes
    for queries in (height * width + lower_height * lower_width, lower_height * lower_width, 11):
        batch = 1 if channels in (128, 519) else 2
        problem = make(kernels, torch.float32, shapes=shapes, batch=batch, queries=queries, channels=channels)
        arguments, grad = with_exact(problem, kind, dtype)
        expected = run(exact, to(arguments, torch.float64), grad)
        assert_agrees(run(ours, arguments, grad), expected, TOLERANCES[dtype])


@pytest.mark.parametrize('dtype', TOLERANCES)
@pytest.mark.parametrize('channels', [16, 30, 264])
@pytest.mark.parametrize('kind', OPS)
def test_deterministic(kernels, kind, channels, dtype):
    """Dozens of samples add to every pixel."""
    ours, exact = OPS[kind]
    queries = 300 if kernels == 'cuda' else 40
    problem = make(kernels, torch.float32, shapes=[(3, 4), (2, 2)], queries=queries, channels=channels)
    arguments, grad = with_exact(problem, kind, dtype)
    with deterministic():
        result = run(ours, arguments, grad)
        for _ in range(2):
            assert_same_bits(result, run(ours, arguments, grad))
    assert_agrees(result, run(exact, to(arguments, torch.float64), grad), TOLERANCES[dtype])


@pytest.mark.parametrize('shared', [False, True])
@pytest.mark.parametrize('box', [False, True])
def test_deterministic_gradient_of_references(kernels, box, shared):
    queries = 200 if kernels == 'cuda' else 40
    problem = make(kernels, torch.float32, queries=queries, box=box, shared=shared)
    grad = torch.randn(2, queries, 8, device=kernels)
    with deterministic():
        result = run(ops.ms_deform_attn_fused, problem.fused, grad)
        assert_same_bits(result, run(ops.ms_deform_attn_fused, problem.fused, grad))
    expected = run(reference.ms_deform_attn_fused, to(problem.fused, torch.float64), grad)
    assert_agrees(result, expected, 2e-5)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_more_samples_than_shared_memory_holds(kernels, dtype):
    problem = make(kernels, torch.float32, points=300 if kernels == 'cuda' else 70, channels=8)
    arguments, grad = with_exact(problem, 'fused', dtype)
    expected = run(reference.ms_deform_attn_fused, to(arguments, torch.float64), grad)
    assert_agrees(run(ops.ms_deform_attn_fused, arguments, grad), expected, TOLERANCES[dtype])


def test_more_levels_than_kernel_arguments_hold(kernels):
    with pytest.raises(ValueError, match='spatial_shapes has 65 levels; the CUDA kernels take at most 64'):
        ops.ms_deform_attn(*make(kernels, torch.float32, shapes=[(1, 1)] * 65).classic)


def test_more_samples_than_32_bits_number(kernels):
    """Of a query and head: its pairs of numbers are counted in 32 bits. Refused before anything is copied."""
    value, _, locations, weights = make(kernels, torch.float32, shapes=[(1, 1)], points=1).classic
    shape = *locations.shape[:4], 2**30
    arguments = locations.expand(*shape, 2), weights.expand(shape)
    with pytest.raises(ValueError, match=r'3 queries have 1073741824 samples a head; .* take less than .* 2\^30'):
        ops.ms_deform_attn(value, [(1, 1)], *arguments)


def test_more_heads_than_a_grid_has_rows(kernels):
    """Nor images; the emulation has grids of three rows."""
    heads, batch = (70_000, 1) if kernels == 'cuda' else (7, 4)
    problem = make(kernels, torch.float32, shapes=[(2, 3)], batch=batch, queries=2, heads=heads, channels=4, points=1)
    expected = run(reference.ms_deform_attn, to(problem.classic, torch.float64))
    assert_agrees(run(ops.ms_deform_attn, problem.classic), expected, 1e-5)


@pytest.mark.cuda
def test_more_than_2_to_the_31_numbers(gpu):
    if torch.cuda.mem_get_info()[0] < 40e9:
        pytest.skip('needs 40 GB of free GPU memory')
    small = make(gpu, torch.float32, shapes=[(256, 256)], batch=3, queries=5, heads=1, channels=1)
    value = torch.randn(3, 256 * 256, 32, 352, device=gpu, dtype=torch.bfloat16)
    locations, weights = (t.repeat_interleave(32, dim=2) for t in small.classic[2:])
    assert value.numel() > 2**31
    grad = torch.randn(3, 5, 32 * 352, device=gpu, dtype=torch.bfloat16)
    whole = run(ops.ms_deform_attn, (value, small.shapes, locations, weights), grad)
    last = run(ops.ms_deform_attn, (value[2:].clone(), small.shapes, locations[2:], weights[2:]), grad[2:])
    torch.testing.assert_close(whole[0][2:], last[0], rtol=0, atol=0)
    for ours, expected in zip(whole[1], last[1]):
        torch.testing.assert_close(ours[2:], expected)


@pytest.mark.parametrize('kind', OPS)
def test_tensors_that_start_anywhere(kernels, kind):
    """Contiguous views whose memory is not aligned for vector loads."""
    arguments = getattr(make(kernels, torch.float32, channels=16, queries=20), kind)

    def shift(tensor):
        return torch.cat((tensor.new_zeros(1), tensor.flatten()))[1:].view(tensor.shape)

    shifted = [shift(a) if isinstance(a, torch.Tensor) else a for a in arguments]
    assert shifted[0].data_ptr() % 16
    assert torch.equal(OPS[kind][0](*shifted), OPS[kind][0](*arguments))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('kind', OPS)
def test_reads_what_belongs_to_the_call(kernels, kind, dtype):
    """Each argument lies in a larger tensor of NaN: in its middle, in every second row, with dimensions exchanged."""
    ours, exact = OPS[kind]
    problem = make(kernels, torch.float32, shapes=[(4, 5), (3, 2)], queries=26, channels=24)
    arguments, grad = with_exact(problem, kind, dtype)
    expected = run(exact, to(arguments, torch.float64), grad)

    def middle(tensor):
        padded = tensor.new_full([size + 16 for size in tensor.shape], torch.nan)
        inner = padded[tuple(slice(8, 8 + size) for size in tensor.shape)]
        return inner.copy_(tensor)

    def in_between(tensor):
        doubled = tensor.new_full([tensor.size(0), 2 * tensor.size(1), *tensor.shape[2:]], torch.nan)[:, ::2]
        return doubled.copy_(tensor)

    def behind(tensor):
        """Contiguous, and aligned for vectors."""
        whole = tensor.new_full((tensor.numel() + 128,), torch.nan)
        return whole[64:-64].view(tensor.shape).copy_(tensor)

    def exchanged(tensor):
        return tensor.transpose(1, -1).contiguous().transpose(1, -1)

    for place in (middle, in_between, behind, exchanged):
        placed = [place(a) if isinstance(a, torch.Tensor) else a for a in arguments]
        backward = getattr(torch.ops.mmvitdense, f'{ours.__name__}_backward')
        more = (True,) if kind == 'fused' else ()
        result = backward(place(grad), placed[0], flat(placed[1]), *placed[2:], *more)
        assert_agrees((ours(*placed), result), expected, TOLERANCES[dtype])


@pytest.mark.cuda
def test_runs_on_the_current_stream(gpu):
    value, *rest = make(gpu, torch.float32, queries=50).fused
    expected = ops.ms_deform_attn_fused(value, *rest)
    late = torch.zeros_like(value)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)
        late.copy_(value)
        output = ops.ms_deform_attn_fused(late, *rest)
    stream.synchronize()
    assert torch.equal(output, expected)


@pytest.mark.cuda
def test_second_gpu(gpu):
    if torch.cuda.device_count() < 2:
        pytest.skip('needs two NVIDIA GPUs')
    arguments = make('cuda:0', torch.float32).classic
    other = [a.to('cuda:1') if isinstance(a, torch.Tensor) else a for a in arguments]
    output = ops.ms_deform_attn(*other)
    assert output.device == torch.device('cuda:1')
    torch.testing.assert_close(output.to('cuda:0'), ops.ms_deform_attn(*arguments))


@pytest.mark.cuda
def test_captured_in_a_cuda_graph(gpu):
    """Nothing waits for the device: a wait would end the capture with an error."""
    problem = make(gpu, torch.float32, queries=40)
    value, shapes, points, offsets, logits = problem.fused
    grad = torch.randn(2, 40, 8, device=gpu)

    def call():
        output = ops.ms_deform_attn_fused(value, shapes, points, offsets, logits)
        gradients = torch.ops.mmvitdense.ms_deform_attn_fused_backward(
            grad, value, flat(shapes), points, offsets, logits, True
        )
        return output, gradients

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = call()
    value.normal_()
    graph.replay()
    expected = call()
    assert torch.equal(captured[0], expected[0])
    for ours, other in zip(captured[1], expected[1]):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-4)


@pytest.mark.cuda
def test_memory_of_the_backward(gpu):
    """No more than the gradients themselves."""
    value, shapes, locations, weights = make(gpu, torch.float32, queries=5000, channels=32, heads=8).classic
    grad = torch.randn(2, 5000, 256, device=gpu)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    gradients = torch.ops.mmvitdense.ms_deform_attn_backward(grad, value, flat(shapes), locations, weights)
    taken = torch.cuda.max_memory_allocated() - before
    assert taken <= 1.05 * sum(g.numel() * g.element_size() for g in gradients) + 2e5
