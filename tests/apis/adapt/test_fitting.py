"""How the batch is found, with memories that are made up."""

from types import SimpleNamespace

import pytest
import torch

from mmvitdense.apis.adapt import fitting, memory
from mmvitdense.apis.adapt.fitting import largest_batch
from mmvitdense.apis.adapt.trial import Measured, is_out_of_memory


class Made:
    """A trial whose batches take 100 bytes and 10 for each image."""

    def __init__(self, budget, catches, limit=10**9):
        self.memory = SimpleNamespace(budget=budget, catches=catches)
        self.limit, self.tried = limit, []

    def train(self, images, accumulated, steps=3):
        self.tried.append((images, accumulated))
        taken = 100 + 10 * images
        return Measured(images, 0.5 * images, taken) if taken <= self.limit else None


SIZES = [1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    ('budget', 'limit', 'images', 'tried'),
    [
        (10**6, 10**6, 16, SIZES),
        (160, 10**6, 4, [1, 2, 4, 8]),  # more than is allowed, though it works
        (10**6, 150, 4, [1, 2, 4, 8]),  # an error for want of memory
        (145, 10**6, 4, [1, 2, 4]),  # by growth, the next is surely too much
        (105, 10**6, None, [1]),
    ],
)
def test_a_gpu_tries_batches_until_one_fails(budget, limit, images, tried):
    trial = Made(budget, True, limit)
    found = largest_batch(trial, SIZES, 16)
    assert (found and found.images) == images
    assert [size for size, _ in trial.tried] == tried
    assert all(accumulated == (size < 16) for size, accumulated in trial.tried)


def test_what_is_surely_too_much_is_not_tried():
    trial = Made(130, True)
    assert largest_batch(trial, [1, 2, 16], 16).images == 2
    assert [size for size, _ in trial.tried] == [1, 2]


@pytest.mark.parametrize(('budget', 'images'), [(10**6, 16), (200, 8), (125, 2), (1, 1)])
def test_a_cpu_tries_two_and_reckons(budget, images):
    trial = Made(budget, False)
    found = largest_batch(trial, SIZES, 16)
    assert found == Measured(images, pytest.approx(0.5 * images), 100 + 10 * images)
    assert [size for size, _ in trial.tried] == [1, 2]


def test_processes_take_the_least(monkeypatch):
    """Another process has room for 2 images, and takes longer."""
    others = iter([[16, 2], [Measured(2, 1.0, 120), Measured(2, 9.0, 110)]])
    monkeypatch.setattr(fitting, 'all_gather_object', lambda own: next(others))
    assert largest_batch(Made(10**6, True), SIZES, 16) == Measured(2, 9.0, 120)
    monkeypatch.setattr(fitting, 'all_gather_object', lambda own: [own, 0])
    assert largest_batch(Made(10**6, True), SIZES, 16) is None


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (torch.OutOfMemoryError('CUDA out of memory.'), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate'), True),
        (RuntimeError('shape mismatch'), False),
    ],
)
def test_errors_for_want_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def test_memory_of_a_cpu():
    """Half a GiB is seen after it was there, until a reset, and what is free is no more than the machine has."""
    measured = memory.CpuMemory()
    measured.reset()
    held = torch.ones(2**27)
    during = memory._resident()
    del held
    # The system may take back what others hold at any time, so that differences alone say little.
    assert during > 2**29
    assert measured.peak() >= 0.98 * during
    measured.reset()
    assert measured.peak() < during - 2**28
    assert 0 < memory.available_memory() < 2**45
    assert measured.budget > 0


@pytest.mark.parametrize(
    ('groups', 'files', 'left'),
    [
        (
            '0::/a/b\n',
            {'a/memory.max': '1000', 'a/memory.current': '700', 'a/memory.stat': 'anon 5\ninactive_file 200'},
            [500],
        ),
        ('0::/a\n', {'a/memory.max': 'max', 'a/memory.current': '700'}, []),
        (
            '4:memory:/c\n3:cpu:/c\n',
            {'memory/memory.limit_in_bytes': '900', 'memory/memory.usage_in_bytes': '1000'},
            [0],
        ),
    ],
)
def test_limits_of_control_groups(groups, files, left, tmp_path, monkeypatch):
    for name, text in {**files, 'self': groups}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    real = memory.Path
    places = {'/proc/self/cgroup': tmp_path / 'self', '/sys/fs/cgroup': tmp_path}
    places['/sys/fs/cgroup/memory'] = tmp_path / 'memory'
    monkeypatch.setattr(memory, 'Path', lambda path: places.get(str(path), real(path)))
    assert memory._left_in_groups() == left
