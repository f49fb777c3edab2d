"""The checkpoint that a run goes on from."""

import pytest
import torch
from mmengine.config import Config

from mmvitdense.apis.resume import latest_checkpoint, set_resume
from mmvitdense.checkpoints import CheckpointError


def save(folder, name, note=True):
    torch.save({'state_dict': {'weight': torch.zeros(3)}, 'meta': {}}, folder / name)
    if note:
        (folder / 'last_checkpoint').write_text(str(folder / name))


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


def test_the_checkpoint_that_mmengine_noted(tmp_path):
    save(tmp_path, 'iter_20.pth', note=False)
    save(tmp_path, 'iter_10.pth')
    assert latest_checkpoint(tmp_path) == (str(tmp_path / 'iter_10.pth'), [])


def test_a_run_killed_while_it_saved_goes_back_to_the_newest_whole_checkpoint(tmp_path):
    for step in (9, 10, 100):
        save(tmp_path, f'iter_{step}.pth')
    cut(tmp_path / 'iter_100.pth')
    path, (note,) = latest_checkpoint(tmp_path)
    assert path == str(tmp_path / 'iter_10.pth')
    assert 'iter_100.pth is cut short' in note


def test_a_noted_checkpoint_that_was_removed(tmp_path):
    save(tmp_path, 'iter_10.pth')
    save(tmp_path, 'iter_20.pth')
    (tmp_path / 'iter_20.pth').unlink()
    path, (note,) = latest_checkpoint(tmp_path)
    assert path == str(tmp_path / 'iter_10.pth')
    assert 'does not exist' in note


def test_nothing_to_resume(tmp_path):
    path, (note,) = latest_checkpoint(tmp_path / 'new')
    assert path is None
    assert 'starts from the beginning' in note


def test_nothing_that_can_be_read(tmp_path):
    save(tmp_path, 'iter_10.pth')
    cut(tmp_path / 'iter_10.pth')
    with pytest.raises(CheckpointError, match='None of the 1 checkpoint'):
        latest_checkpoint(tmp_path)


def test_option():
    def settings(resume):
        cfg = Config({'resume': False, 'load_from': 'pretrained.pth'})
        set_resume(cfg, resume)
        return cfg.resume, cfg.load_from

    assert settings(None) == (False, 'pretrained.pth')
    assert settings('auto') == (True, None)
    assert settings('iter_3.pth') == (True, 'iter_3.pth')
