"""What is drawn for a sample or an iteration follows from the seed and from that sample or iteration alone."""

import itertools
import pickle
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler

from mmvitdense.engine import RepeatableHook, repeatable
from mmvitdense.engine.random_state import random_state, set_random_state
from mmvitdense.engine.repeat_factor_sampler import RepeatFactorSampler
from mmvitdense.engine.seeded_samples import EndlessBatches, seed_samples

from .tiny_runs import SIZE, Samples

SAMPLERS = {
    'endless': lambda data: InfiniteSampler(data, seed=1),
    'shuffled': lambda data: DefaultSampler(data, seed=1),
    'repeated': lambda data: RepeatFactorSampler(data, threshold=0.5, seed=1),
}


class Indexed(Samples):
    """Each sample with its index."""

    def __getitem__(self, index):
        return torch.cat([torch.tensor([float(index)]), super().__getitem__(index)['inputs']])


class Mixed(Indexed):
    """A sample is mixed with another one that is drawn, as by mosaic."""

    def __getitem__(self, index):
        return super().__getitem__(index) + super().__getitem__(np.random.randint(SIZE))


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def loaded(sampler, count, skip=0, data=Indexed, batch_size=3, seed=5, **options):
    """Batches of a loop, one after the other, from a position on."""
    dataset = data()
    loader = DataLoader(dataset, batch_size=batch_size, sampler=SAMPLERS[sampler](dataset), **options)
    seed_samples(loader, seed, endless=True).start(0, skip)
    batches = [next(each) for each in [EndlessBatches(loader)] for _ in range(count)]
    return torch.stack(batches)


@pytest.mark.parametrize('sampler', SAMPLERS)
@pytest.mark.parametrize('data', [Indexed, Mixed])
def test_a_loop_that_is_resumed_loads_what_it_would_have_loaded(sampler, data):
    whole = loaded(sampler, 10, data=data)
    assert len(whole.flatten(0, 1).unique(dim=0)) == 30
    for skip, workers in [(3, 0), (4, 2), (9, 0)]:
        torch.testing.assert_close(loaded(sampler, 10 - skip, skip, data, num_workers=workers), whole[skip:])


def test_augmentation_differs_between_epochs_also_with_workers_that_start_anew():
    dataset = Indexed()
    loader = DataLoader(dataset, batch_size=4, num_workers=2, sampler=DefaultSampler(dataset, shuffle=False, seed=1))
    batches = seed_samples(loader, 5, endless=False)
    epochs = []
    for epoch in (0, 1, 0):
        batches.start(epoch)
        epochs.append(torch.cat(list(loader)))
    assert not (epochs[0][:, 1:] == epochs[1][:, 1:]).any()
    assert torch.equal(epochs[0], epochs[2])
    assert torch.equal(epochs[0][:, 0], torch.arange(12.0))


def test_augmentation_does_not_depend_on_the_number_of_training_processes(monkeypatch):
    whole = loaded('shuffled', 3, batch_size=4).flatten(0, 1)
    for rank in range(2):
        for place in ('mmengine.dataset.sampler.get_dist_info', 'mmvitdense.engine.seeded_samples.get_dist_info'):
            monkeypatch.setattr(place, lambda rank=rank: (rank, 2))
        torch.testing.assert_close(loaded('shuffled', 3, batch_size=2).flatten(0, 1), whole[rank::2])


def test_seeds_differ():
    first, other = (loaded('shuffled', 4, seed=seed)[..., 1:] for seed in (5, 6))
    assert not (first == other).any()


def test_loading_in_the_main_process_leaves_its_generators_alone():
    def after_a_batch(seeded):
        loader = DataLoader(Indexed(), batch_size=3)
        if seeded:
            seed_samples(loader, 5, endless=False)
        batches = iter(loader)  # draws a seed for workers
        set_random_state(state)
        next(batches)
        return draws()

    state = random_state()
    untouched = draws()
    assert after_a_batch(seeded=True) == untouched
    assert after_a_batch(seeded=False) != untouched


def test_another_loader_of_the_same_data_works_as_before():
    dataset = Indexed()
    seed_samples(DataLoader(dataset, batch_size=3), 5, endless=False)
    assert torch.equal(torch.cat(list(DataLoader(dataset, batch_size=5)))[:, 0], torch.arange(12.0))


def test_the_data_set_stays_the_object_that_hooks_change():
    dataset = Indexed()
    loader = DataLoader(dataset, batch_size=3, sampler=SequentialSampler(dataset))
    seed_samples(loader, 5, endless=False)
    assert loader.dataset is dataset
    assert loader.batch_sampler.sampler is loader.sampler
    assert (len(loader), loader.batch_sampler.batch_size) == (4, 3)
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.__getitems__.dataset is copy


def test_batch_samplers_that_hold_back_samples():
    """As mmdet's that groups images by their shape: what waits in its buckets is not lost on resumption."""

    class ByParity(BatchSampler):
        def __iter__(self):
            buckets = [[], []]
            for index in self.sampler:
                buckets[index % 2].append(index)
                if len(buckets[index % 2]) == self.batch_size:
                    yield buckets[index % 2]
                    buckets[index % 2] = []

    def start(skip):
        dataset = Indexed()
        loader = DataLoader(dataset, batch_sampler=ByParity(InfiniteSampler(dataset, seed=1), 3, False))
        seed_samples(loader, 5, endless=True).start(0, skip)
        return EndlessBatches(loader)

    whole = list(itertools.islice(start(0), 9))
    for found, expected in zip(itertools.islice(start(4), 5), whole[4:], strict=True):
        assert torch.equal(found, expected)


def test_data_without_indices_are_left_alone():
    class Stream(IterableDataset):
        def __iter__(self):
            yield 1

    assert seed_samples(DataLoader(Stream()), 5, endless=True) is None
    assert seed_samples(DataLoader(Indexed(), batch_size=None), 5, endless=True) is None


def test_no_batch_at_all():
    loader = DataLoader(Indexed(), batch_size=20, drop_last=True)
    seed_samples(loader, 5, endless=True)
    with pytest.raises(ValueError, match=r'Lower train_dataloader\.batch_size'):
        next(EndlessBatches(loader))


def test_a_model_draws_by_seed_rank_and_iteration(monkeypatch):
    hook, seen = RepeatableHook(), []
    for rank, seed, iteration in [(0, 5, 7), (0, 5, 8), (0, 6, 7), (1, 5, 7), (0, 5, 7)]:
        monkeypatch.setattr(repeatable, 'get_rank', lambda rank=rank: rank)
        runner = SimpleNamespace(seed=seed, iter=iteration)
        for stage in (lambda runner: hook.before_train_iter(runner, 0), hook.before_val):
            stage(runner)
            seen.append(draws())
    assert seen[:2] == seen[-2:]
    assert len(set(itertools.chain(*seen))) == 24


def test_a_state_can_be_written_and_gone_back_to(tmp_path):
    torch.save(random_state(), tmp_path / 'state.pth')
    expected = draws()
    set_random_state(torch.load(tmp_path / 'state.pth', weights_only=True))
    assert draws() == expected
