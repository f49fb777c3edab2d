"""The seed and the hooks that every run is given."""

import pytest
from mmengine.config import Config

from mmvitdense.apis.repeatable import add_training_hooks, fix_seed


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


def hooks_of(**given):
    cfg = Config({'default_hooks': given} if given else {})
    add_training_hooks(cfg)
    return {name: hook and dict(hook) for name, hook in cfg.default_hooks.items()}


FINITE = {'type': 'mmvitdense.FiniteLossHook'}
OURS = {
    'repeatable': {'type': 'mmvitdense.RepeatableHook'},
    'finite_loss': FINITE,
    'work_dir': {'type': 'mmvitdense.WorkDirHook'},
    'processes': {'type': 'mmvitdense.ProcessesHook'},
}


def test_configs_of_other_projects_get_the_hooks_of_ours():
    checkpoint = {'type': 'mmvitdense.WholeCheckpointHook', 'interval': 1}
    assert hooks_of() == {**OURS, 'checkpoint': checkpoint}
    found = hooks_of(checkpoint={'type': 'CheckpointHook', 'interval': 7}, finite_loss={'max_skips': 3})
    assert found['checkpoint'] == {'type': 'mmvitdense.WholeCheckpointHook', 'interval': 7}
    assert found['finite_loss'] == {**FINITE, 'max_skips': 3}


def test_what_a_config_says_about_them_counts():
    own = {'type': 'OwnCheckpointHook'}
    expected = {**OURS, 'checkpoint': own}
    del expected['repeatable']
    assert hooks_of(checkpoint=own, repeatable=None) == expected
    assert hooks_of(checkpoint=None)['checkpoint'] is None


@pytest.mark.parametrize(('length', 'interval', 'expected'), [(30, 50, 3), (5, 50, 1), (50, 50, 50), (4, None, 1)])
def test_a_run_that_is_shorter_than_the_interval_of_the_log_is_logged(length, interval, expected):
    logger = {'type': 'LoggerHook', **({'interval': interval} if interval else {})}
    cfg = Config({'default_hooks': {'logger': logger}, 'train_cfg': {'max_iters': length}})
    add_training_hooks(cfg)
    assert cfg.default_hooks.logger.interval == expected
