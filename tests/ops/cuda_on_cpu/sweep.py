"""Random problems on the emulated CUDA kernels, values and gradients against the reference in float64: sizes, types,
strides, kinds of references, deterministic or not, the order of blocks and lanes. Each has a seed of its own, which is
printed where results differ; `--first SEED --cases 1` repeats it."""

import argparse
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from problems import make, run, to
from torch import Tensor

from cuda_on_cpu import library
from mmvitdense import ops
from mmvitdense.ops import reference

TOLERANCES = {torch.float64: 1e-11, torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}


def draw(seed: int) -> dict:
    """A problem, what to call with it and how."""
    random.seed(seed)
    torch.manual_seed(seed)
    shapes = [(random.randint(1, 9), random.randint(1, 9)) for _ in range(random.randint(1, 5))]
    pixels = [h * w for h, w in shapes]
    architecture = random.choice(list(library.TESTED))
    return {
        'problem': {
            'shapes': shapes,
            'batch': random.randint(1, 5),
            'heads': random.randint(1, 5),
            'channels': random.choice([random.randint(1, 40), 8 * random.randint(1, 16), random.randint(1, 520)]),
            'points': random.randint(1, 8),
            'queries': random.choice([random.randint(1, 60), sum(pixels), random.choice(pixels)]),
            'box': random.random() < 0.5,
            'shared': random.random() < 0.5,
        },
        'architecture': architecture,
        'dtype': random.choice(library.TESTED[architecture]),
        'kind': random.choice(['classic', 'fused']),
        'deterministic': random.random() < 0.4,
        'order': random.choice(library.ORDERS),
        'strides': random.choice(['contiguous', 'exchanged', 'padded']),
    }


def placed(tensor: Tensor, strides: str) -> Tensor:
    if strides == 'exchanged':
        return tensor.transpose(1, -1).contiguous().transpose(1, -1)
    if strides == 'padded':
        whole = tensor.new_full([size + random.randint(0, 3) for size in tensor.shape], torch.nan)
        return whole[tuple(slice(0, size) for size in tensor.shape)].copy_(tensor)
    return tensor


def difference(case: dict, seed: int) -> float:
    """The largest of output and gradients, in tolerances."""
    value, shapes, *rest = getattr(make('cpu', torch.float32, **case['problem']), case['kind'])
    dtype = case['dtype']
    arguments = [value.to(dtype), shapes, *(to(rest, dtype) if dtype == torch.float64 else rest)]
    name = {'classic': 'ms_deform_attn', 'fused': 'ms_deform_attn_fused'}[case['kind']]
    queries, channels = case['problem']['queries'], case['problem']['heads'] * case['problem']['channels']
    grad = torch.randn(value.size(0), queries, channels).to(dtype)
    expected = run(getattr(reference, name), to(arguments, torch.float64), grad)
    given = [placed(a, case['strides']) if isinstance(a, Tensor) else a for a in arguments]
    torch.use_deterministic_algorithms(case['deterministic'])
    with library.used(library.load(case['architecture']), case['order'], seed):
        output = getattr(ops, name)(*given)
        backward = getattr(torch.ops.mmvitdense, f'{name}_backward')
        flat = [size for shape in shapes for size in shape]
        more = (True,) if case['kind'] == 'fused' else ()
        gradients = backward(placed(grad, case['strides']), given[0], flat, *given[2:], *more)
    torch.use_deterministic_algorithms(False)
    worst = 0.0
    for ours, exact in zip((output, *gradients), (expected[0], *expected[1])):
        error = ((ours.double() - exact).abs().max() / exact.abs().max().clamp_min(1e-6)).item()
        worst = max(worst, error / TOLERANCES[dtype] if error == error else float('inf'))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', type=int, default=180)
    parser.add_argument('--first', type=int, default=0, help='seed of the first (default: 0)')
    arguments = parser.parse_args()
    wrong, worst = 0, 0.0
    for seed in range(arguments.first, arguments.first + arguments.cases):
        case = draw(seed)
        try:
            found = difference(case, seed)
        except RuntimeError as error:
            print(f'seed {seed}: {error}\n  {case}', flush=True)
            wrong += 1
            continue
        worst = max(worst, found)
        if found > 1:
            print(f'seed {seed}: {found:.1f} times the tolerance\n  {case}', flush=True)
            wrong += 1
    print(f'{arguments.cases} problems, {wrong} wrong; the largest difference is {worst:.2f} of the tolerance')
    return wrong > 0


if __name__ == '__main__':
    sys.exit(main())
