"""Instructions of the CUDA kernels as a GPU gets them: compiled by nvcc, taken apart by cuobjdump; no GPU is needed.

For each kernel all instructions, those of its loop over samples and those around that loop in the next one, by class,
with registers, shared memory and what is kept in local memory for want of registers. The loop over samples is, of the
innermost that load from global memory, the one with most shuffles and else most loads; instructions behind a branch in
it count as if all took it.

A warp goes through the inner loop once for 32 / lanes samples, times those that the compiler has unrolled, and through
the outer one, in which each lane places a sample, once for 32 samples: together the instructions of a warp for each
sample. `--sources` takes the csrc folder of another state of the project, `--unit` any file of kernels.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[3]))

from mmvitdense.ops import building

# The layouts of sizes A to H of tools/benchmark_ops.py: 32 and 64 channels, float32 and bfloat16; fused.
KERNELS = (
    r'(forward|backward)_kernel<true, (\(\S+\)\d, )?(float, 4, (8|16)|__nv_bfloat16, 8, (4|8))>|'
    r'count_kernel<true>|sum_kernel<(float|__nv_bfloat16), 4, (8|16)>'
)
CLASSES = {
    'loads': r'LDG|LD\b',
    'stores': r'STG|ST\b',
    'atomics': r'RED|ATOM',
    'shuffles': r'SHFL',
    'shared': r'LDS|STS|ATOMS',
    'local': r'LDL|STL',
    'floats': r'F(?!LO)[A-Z]|D(ADD|MUL|FMA|SETP)|H(ADD|MUL|FMA)2|MUFU|I2F|F2',
    'control': r'BRA|BRX|BSSY|BSYNC|BREAK|BAR|CALL|RET|EXIT|WARPSYNC|YIELD|NOP|VOTE',
}
"""By the beginning of their names, the first that fits; the rest are 'integers': addresses, comparisons, moves."""
ORDER = (*CLASSES, 'integers')


class Instruction(NamedTuple):
    place: int
    name: str
    target: int | None  # of a jump

    @property
    def kind(self) -> str:
        return next((kind for kind, names in CLASSES.items() if re.match(names, self.name)), 'integers')


def program(name: str) -> str:
    """A program of the CUDA toolkit: of the toolkit itself, on PATH, or as Triton brings it."""
    toolkit, triton = building.cuda_toolkit(), find_spec('triton')
    folders = [toolkit / 'bin'] if toolkit else []
    folders += [Path(triton.origin).parent / 'backends/nvidia/bin'] if triton else []
    for folder in folders:
        if found := shutil.which(name, path=str(folder)):
            return found
    if found := shutil.which(name):
        return found
    raise SystemExit(f'error: there is no {name}; install the CUDA toolkit, or the package triton, which has it.')


def compiled(unit: Path, architecture: str, folder: Path) -> Path:
    target = folder / f'{unit.stem}.{architecture}.cubin'
    options = ['-std=c++17', '-O3', '-w', f'-arch={architecture}', '-cubin', '-o', str(target)]
    subprocess.run([program('nvcc'), *options, str(unit)], check=True)
    return target


def listing(cubin: Path, option: str) -> str:
    """What cuobjdump says, with the names of kernels without their scopes."""
    done = subprocess.run([program('cuobjdump'), option, str(cubin)], capture_output=True, text=True, check=True)
    text = subprocess.run(['c++filt'], input=done.stdout, capture_output=True, text=True, check=True).stdout
    return re.sub(r'void (?=\S)|mmvitdense::cuda::|\(anonymous namespace\)::', '', text)


def resources(cubin: Path) -> dict[str, dict[str, int]]:
    found = re.findall(r'Function (.+):\n\s+(REG:.*)', listing(cubin, '-res-usage'))
    numbers = re.compile(r'([A-Z]+):(\d+)')
    return {_short(name): {key: int(number) for key, number in numbers.findall(line)} for name, line in found}


def kernels(cubin: Path) -> dict[str, list[Instruction]]:
    """The instructions of each kernel, without those that fill up the end."""
    found = {}
    for part in listing(cubin, '-sass').split('Function : ')[1:]:
        name, _, text = part.partition('\n')
        lines = re.findall(r'^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)([^;]*);', text, re.M)
        instructions = [Instruction(int(place, 16), name, _target(name, rest)) for place, name, rest in lines]
        while instructions and (instructions[-1].name == 'NOP' or instructions[-1].target == instructions[-1].place):
            instructions.pop()
        found[_short(name)] = instructions
    return found


def _short(name: str) -> str:
    """Without the parameters."""
    return re.sub(r'(?<=>)\([^>]*$', '', name)


def _target(name: str, operands: str) -> int | None:
    place = re.search(r'0x([0-9a-f]+)\s*$', operands.strip())
    return int(place[1], 16) if name.startswith('BRA') and place else None


def loops_of(instructions: list[Instruction]) -> list[list[Instruction]]:
    jumps = [(i.target, i.place) for i in instructions if i.target is not None and i.target < i.place]
    # One loop may have several jumps back to its beginning.
    ends = {begin: max(end for start, end in jumps if start == begin) for begin, _ in jumps}
    loops = [[i for i in instructions if begin <= i.place <= end] for begin, end in ends.items()]
    return [loop for loop in loops if any(i.kind == 'loads' for i in loop)]


def loop_over_samples(instructions: list[Instruction]) -> tuple[list[Instruction], list[Instruction]]:
    """The loop, and what is around it in the next one."""
    loops = loops_of(instructions)
    innermost = [loop for loop in loops if not any(set(other) < set(loop) for other in loops)]
    # Those over the logits of a softmax have no shuffles.
    most = [[sum(i.kind == kind for i in loop) for kind in ('shuffles', 'loads')] for loop in innermost]
    inner = max(zip(most, innermost), key=lambda pair: pair[0], default=([], []))[1]
    outer = min((loop for loop in loops if set(inner) < set(loop)), key=len, default=inner)
    return inner, [i for i in outer if i not in inner]


def for_each_sample(kernel: str, instructions: list[Instruction]) -> float:
    """Instructions of a warp. A kernel of other names has a channel a lane and is counted for 32 channels, one without
    loops a sample a lane."""
    inner, around = loop_over_samples(instructions)
    if not inner:
        return len(instructions) / 32
    loads = sum(i.kind == 'loads' for i in inner)
    if not (layout := re.match(r'(forward|backward|sum)_kernel<.*, (\d+)>$', kernel)):
        return len(inner)
    unrolled = loads // (3 if layout[1] == 'sum' else 4)
    placed = len(around) / 32 if layout[1] != 'sum' else 0
    return len(inner) / (unrolled * 32 / int(layout[2])) + placed


def in_words(instructions: list[Instruction]) -> str:
    counts = Counter(i.kind for i in instructions)
    return f'{len(instructions)}: ' + ', '.join(f'{counts[kind]} {kind}' for kind in ORDER if counts[kind])


def main() -> None:
    """Parse the command line, compile and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--architecture', nargs='+', default=['sm_80', 'sm_90'], metavar='sm_NN')
    parser.add_argument('--sources', type=Path, default=building.SOURCES, help='a folder csrc (default: this one)')
    parser.add_argument(
        '--unit', nargs='+', default=['forward', 'backward', 'records'], help='names, or other .cu files'
    )
    parser.add_argument('--kernels', default=KERNELS, help='a regular expression that their names fit')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for architecture in arguments.architecture:
            for name in arguments.unit:
                unit = Path(name) if name.endswith('.cu') else arguments.sources / 'cuda' / f'{name}.cu'
                if not unit.exists():
                    continue  # an older state has fewer
                cubin = compiled(unit, architecture, Path(folder))
                used = resources(cubin)
                for kernel, instructions in kernels(cubin).items():
                    if not re.search(arguments.kernels, kernel):
                        continue
                    usage, (inner, around) = used[kernel], loop_over_samples(instructions)
                    print(
                        f'{architecture} {kernel}\n  {usage["REG"]} registers, {usage["SHARED"]} B shared, '
                        f'{usage["STACK"]} B of stack; {in_words(instructions)}\n'
                        f'  loop over samples {in_words(inner)}\n  around it {in_words(around)}\n'
                        f'  for each sample {for_each_sample(kernel, instructions):.1f}',
                        flush=True,
                    )


if __name__ == '__main__':
    main()
