"""A program that compares the runtimes of one served model and prints the row as JSON: NAME SIZE ROUNDS THREADS."""

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.runtimes import compare_runtimes
from mmvitdense.apis.freed_memory import keep_freed_memory

if __name__ == '__main__':
    name, size, rounds, threads = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    keep_freed_memory()  # as `mmvitdense predict` does
    print(json.dumps(compare_runtimes(name, size, rounds)))
