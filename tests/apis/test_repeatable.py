"""Random numbers are a function of seed, process and iteration."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmvitdense.apis import repeatable
from mmvitdense.apis.repeatable import IterationSeedHook, fix_seed


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def at(seed, iteration):
    """What a hook sees of a runner at an iteration."""
    return SimpleNamespace(seed=seed, iter=iteration, train_loop=SimpleNamespace(iter=iteration))


@pytest.fixture
def hook():
    return IterationSeedHook()


def test_an_iteration_draws_the_same_whatever_ran_before(hook):
    fresh, resumed = at(5, 6), at(5, 7)
    hook.before_train_iter(fresh, 6)
    draws()
    hook.after_train_iter(fresh, 6)
    loading = draws()
    fresh.iter = 7
    hook.before_train_iter(fresh, 7)
    forward = draws()

    hook.before_train_epoch(resumed)
    assert draws() == loading
    hook.before_train_iter(resumed, 7)
    assert draws() == forward
    hook.after_val(resumed)
    assert draws() == loading


def test_everything_else_draws_differently(hook, monkeypatch):
    seen = []
    for rank, seed, iteration in [(0, 5, 7), (0, 5, 8), (0, 6, 7), (1, 5, 7)]:
        monkeypatch.setattr(repeatable, 'get_rank', lambda rank=rank: rank)
        runner = at(seed, iteration)
        for stage in (hook.before_train_epoch, lambda runner: hook.before_train_iter(runner, 0)):
            stage(runner)
            seen += draws()
    assert len(set(seen)) == len(seen) == 24


def test_the_seed_of_a_config_wins_then_that_of_the_resumed_run():
    cfg = Config({'randomness': {'seed': 3, 'deterministic': True}})
    fix_seed(cfg, 9)
    assert cfg.randomness == {'seed': 3, 'deterministic': True}
    for randomness in ({}, {'randomness': {'seed': None}}):
        cfg = Config(randomness)
        fix_seed(cfg, 9)
        assert cfg.randomness.seed == 9
    fix_seed(cfg := Config({}), None)
    assert isinstance(cfg.randomness.seed, int)
