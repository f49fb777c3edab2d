"""The seed and the hooks that every run is given."""

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
