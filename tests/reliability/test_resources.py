"""A run uses up nothing; `tools/stress.py --resources` looks at real models for longer."""

from tests.engine.tiny_runs import options, train

from .resources import UseHook, growth_of_training, own_temporary_files


def test_memory_threads_descriptors_and_files_stay_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    with own_temporary_files():
        train(**options(tmp_path, workers=1, length=40, save=5, hooks=(UseHook(8),)))
    assert len(UseHook.seen) == 4
    assert not growth_of_training(megabytes=10)
