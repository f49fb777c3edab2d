"""The emulation on which the tests of the CUDA kernels run where no GPU is: it computes as a GPU does, and what must
not be done is found."""

import ctypes
import os
import re
import subprocess
import sys

import pytest
import torch
from cuda_on_cpu import counts, library, sass, sweep, translation
from problems import make, run, to

from mmvitdense import ops
from mmvitdense.ops import reference

ACTS = {
    'skip': r'lane 0 waits at __shfl_xor_sync \(planted.cu:\d+\) with mask ffffffff.*lane 5 and on waits at __syncwarp',
    'leave': 'lane 7 and on has ended|of whose lanes 00000080 have ended',
    'other mask': 'threads wait for each other|has mask ffffffff, of whose lanes 0000ffff have ended',
    'not in mask': 'has mask 0000ffff without the lane that calls it',
    'foreign lane': 'lane 12 takes from lane 16, which is not in mask 0000ffff',
    'barrier': '32 wait, 32 have ended, of warp 0; lane 0 waits at __syncthreads',
    'two barriers': r'some threads are at __syncthreads \(planted.cu:\d+\) and some at __syncthreads',
    'misaligned': '__ldg of 8 bytes at an address that is no multiple of them',
    'width': r'__shfl_xor_sync \(planted.cu:\d+\) has width 24',
    'trap': r'__trap\(\) was called; thread \d+ of block \(0, 0, 0\)',
}
NO_ERROR = 'no error'


@pytest.fixture(scope='module')
def planted() -> ctypes.CDLL:
    try:
        found = library.load_kernels(library.HERE / 'planted.cu')
    except library.UnavailableError as error:
        pytest.skip(str(error))
    found.cuda_on_cpu_set_order.argtypes = (ctypes.c_int, ctypes.c_uint64)
    return found


def call(function, *arguments) -> str:
    """The message of the last error of a function of planted.cu; tensors are given by their address."""
    function.restype = ctypes.c_char_p
    return function(*(ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor) else a for a in arguments)).decode()


@pytest.mark.parametrize('order', range(3))
@pytest.mark.parametrize('act', ACTS)
def test_what_lanes_must_not_do(planted, act, order):
    planted.cuda_on_cpu_set_order(order, 0)
    message = call(planted.misbehave_as, list(ACTS).index(act), torch.zeros(64))
    assert re.search(ACTS[act], message), message


def test_what_lanes_do_together(planted):
    out = torch.zeros(11, 32, dtype=torch.int32)
    assert call(planted.run_votes, out) == NO_ERROR
    lane = torch.arange(32)
    expected = [
        lane // 8 * 8 + 3,
        torch.where(lane % 16 < 2, lane, lane - 2),
        torch.where(lane % 16 > 13, lane, lane + 2),
        lane ^ 5,
        torch.full((32,), sum(1 << i for i in range(0, 32, 3))),
        torch.full((32,), 1),
        sum((1 << i) * (lane % 4 == i % 4) for i in range(32)),
        torch.full((32,), sum(range(32))),
        torch.where(lane < 4, 3, 31),
        lane ^ 8,
        torch.full((32,), 5),
    ]
    for ours, exact in zip(out, expected):
        assert torch.equal(ours, exact.to(torch.int32)), (ours, exact)


def test_shared_memory_and_what_a_missing_barrier_does(planted):
    numbers, out = torch.randn(128), torch.zeros(3, 128)
    for order in range(3):
        planted.cuda_on_cpu_set_order(order, 0)
        assert call(planted.run_rotate, True, numbers, out) == NO_ERROR
        assert torch.equal(out, (3 * numbers.roll(-1)).expand(3, -1))
        # Memory that was not written in this block is NaN.
        assert call(planted.run_rotate, False, numbers, out) == NO_ERROR
        assert out.isnan().any(1).all()


def test_limits_of_a_launch(planted):
    numbers, out = torch.randn(128), torch.zeros(3, 128)
    assert call(planted.run_rotate_with, 50_000, False, numbers, out).endswith(
        '50000 bytes of shared memory of at most 49152'
    )
    assert call(planted.run_rotate_with, 300_000, True, numbers, out).endswith(
        '300000 bytes of shared memory of at most 49152'
    )
    assert call(planted.run_rotate_with, 50_000, True, numbers, out) == NO_ERROR
    assert call(planted.run_too_many) == 'a launch has a block of 2048 x 1 x 1'


def test_atomic_additions_and_ptx(planted):
    numbers, pairs = torch.zeros(8), torch.zeros(2, 2, dtype=torch.bfloat16)
    assert call(planted.run_add, numbers, pairs) == NO_ERROR
    threads = 2 * 3 * 64
    assert numbers.tolist() == [threads, 2 * threads, 3 * threads, threads / 2, threads, 0.75, 3.5, 0]
    # 1 is lost in bfloat16 from 256 on.
    assert pairs.tolist() == 2 * [[256, 64]]


def test_16_bit_numbers_are_rounded_as_torch_rounds(planted):
    floats = torch.cat((torch.randn(2**15) * 10 ** torch.empty(2**15).uniform_(-9, 6), torch.arange(2**15) / 2**13))
    floats[:4] = torch.tensor([65519.9, 65520, float('inf'), float('-inf')])
    halves, bfloats = torch.zeros(2, 2**16, dtype=torch.int16)
    back = torch.zeros(2**16)
    assert call(planted.run_convert, floats, halves, bfloats, back) == NO_ERROR
    assert torch.equal(halves.view(torch.float16), floats.half())
    assert torch.equal(bfloats.view(torch.bfloat16), floats.bfloat16())
    every = torch.arange(2**16).to(torch.int16).view(torch.float16).float()
    torch.testing.assert_close(back, every, rtol=0, atol=0, equal_nan=True)


@pytest.fixture
def set_fault():
    try:
        emulated = library.load('sm_80')
    except library.UnavailableError as error:
        pytest.skip(str(error))
    emulated.library.cuda_on_cpu_watch(False, True)
    with library.used(emulated):
        yield emulated.library.cuda_on_cpu_set_fault
    emulated.library.cuda_on_cpu_set_fault(0)
    emulated.library.cuda_on_cpu_watch(False, True)


def test_faults_of_kernels_are_found(set_fault):
    """A mask of a shuffle without four lanes, a bound one further, an addition that is not atomic."""
    problem = make('cpu', torch.float32, queries=30, channels=4)
    expected = run(reference.ms_deform_attn_fused, to(problem.fused, torch.float64))
    grad = torch.ones(2, 30, 8)

    def forward():
        return ops.ms_deform_attn_fused(*problem.fused)

    def backward():
        shapes = [size for shape in problem.shapes for size in shape]
        tensors = problem.reference, problem.offsets, problem.logits
        return torch.ops.mmvitdense.ms_deform_attn_fused_backward(grad, problem.value, shapes, *tensors, False)

    torch.testing.assert_close(forward().double(), expected[0], rtol=0, atol=1e-5)
    backward()
    set_fault(1)
    with pytest.raises(RuntimeError, match=r'has mask 0fffffff without|of whose lanes|threads wait for each other'):
        forward()
    set_fault(2)
    assert not (forward().double() - expected[0]).abs().max() < 1e-2
    set_fault(3)
    with pytest.raises(RuntimeError, match='a race: one thread (reads|writes) global memory that another has written'):
        backward()


def test_counts(monkeypatch, capsys, set_fault):
    """What the forward pass stores is its output; of the values it loads the corners on the map."""
    monkeypatch.setitem(library.FLAVOURS, 'counted_sm_80', library.FLAVOURS['sm_80'])
    monkeypatch.setattr(library, 'load', lambda name, load=library.load: load('sm_80'))
    size = counts.smaller(counts.SIZES['A'], 32)
    forward, *backward = counts.count(library.load('counted_sm_80'), 'fused', size, torch.float32)
    output = sum(h * w for h, w in size.queries) * size.heads * size.channels
    assert (forward['store']['bytes'], forward['store']['sectors']) == (4 * output, output / 8)
    most = 4 * 4 * output * len(size.levels) * size.points
    assert most / 4 < forward['load']['bytes'] < 1.5 * most
    assert sum(launch['atomic']['numbers'] for launch in backward) > output
    monkeypatch.setattr(sys, 'argv', ['counts.py', '--dtype', 'float32', '--part', '32', '--architecture', 'sm_80'])
    counts.main()
    assert re.search('forward_kernel<true, float.*: load .* B in sectors.*meetings', capsys.readouterr().out)


# As cuobjdump writes it: a loop over logits, one over samples with two of them unrolled, in one over rounds of samples.
LISTING = """
		Function : forward_kernel<true, float, 4, 8>(Arguments)
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   LDG.E.CONSTANT R67, desc[UR8][R6.64] ;
        /*0020*/               @P1 BRA 0x10 ;
        /*0030*/                   LDG.E.CONSTANT R67, desc[UR8][R6.64] ;
        /*0040*/                   F2I.TRUNC.NTZ R2, R3 ;
SAMPLES
        /*0300*/              @!P0 BRA 0x100 ;
        /*0310*/               @P0 BRA 0x30 ;
        /*0320*/                   STG.E.128 desc[UR8][R6.64], R4 ;
        /*0330*/                   STL.64 [R1], R4 ;
        /*0340*/                   EXIT ;
        /*0350*/                   BRA 0x350;
        /*0360*/                   NOP;
"""
SAMPLE = (
    'SHFL.IDX PT, R8, R9, R10, 0x1f',
    '@P2 LDG.E.128.CONSTANT R4, desc[UR8][R2.64]',
    'FFMA R4, R5, R6, R4',
    'IADD3 R4, R5',
)


def test_instructions(monkeypatch):
    lines = [f'/*{0x100 + 16 * i:04x}*/ {SAMPLE[i // 8]} ;' for i in range(32)]
    lines = LISTING.replace('SAMPLES', '\n'.join(f'        {line}' for line in lines))
    usage = ' Function forward_kernel<true, float, 4, 8>(Arguments):\n  REG:48 STACK:16 SHARED:0 LOCAL:0\n'
    monkeypatch.setattr(sass, 'listing', lambda cubin, option: lines if option == '-sass' else usage)
    (name, instructions), *others = sass.kernels(None).items()
    assert (name, others) == ('forward_kernel<true, float, 4, 8>', [])
    assert sass.resources(None)[name]['REG'] == 48
    counted = '42: 10 loads, 1 stores, 8 shuffles, 1 local, 9 floats, 4 control, 9 integers'
    assert sass.in_words(instructions) == counted
    inner, around = sass.loop_over_samples(instructions)
    assert sass.in_words(inner) == '33: 8 loads, 8 shuffles, 8 floats, 1 control, 8 integers'
    assert sass.in_words(around) == '3: 1 loads, 1 floats, 1 control'
    assert sass.for_each_sample(name, instructions) == 33 / 8 + 3 / 32


def test_sweep(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['sweep.py', '--cases', '3', '--first', '7'])
    assert sweep.main() == 0
    assert capsys.readouterr().out.startswith('3 problems, 0 wrong')


def test_sanitizers_find_nothing():
    """No memory beyond the tensors is touched, no vector misaligned, nothing undefined computed."""
    try:
        path, first = library.build(library.FLAVOURS['sanitized']), library.of_compiler('libasan.so', 'libstdc++.so')
    except library.UnavailableError as error:
        pytest.skip(str(error))
    options = 'detect_leaks=0:malloc_context_size=1:quarantine_size_mb=8'
    variables = {'LD_PRELOAD': ' '.join(first), 'ASAN_OPTIONS': options}
    command = [sys.executable, library.HERE / 'sanitized.py', path]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == '16 calls; a fault is found: True\n'
    assert 'heap-buffer-overflow' in done.stderr


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('asm("wgmma.fence;");', "'wgmma.fence' has no translation"),
        ('asm("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(y));', '32-bit address of shared memory'),
        ('__shared__ float a[2], b[3];', 'not `__shared__ type name'),
    ],
)
def test_what_cannot_be_translated_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        translation.translate(text, 'kernels.cu')
