"""Pixels of a config against those of its preset."""

import logging

import pytest
import torch
from mmengine.config import Config

from mmvitdense.apis import build
from mmvitdense.apis.convert import convert_file
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.pixels import warn_of_loaded_pixels, warn_of_pixels
from mmvitdense.apis.weight_files import write_checkpoint
from mmvitdense.checkpoints import ViTPretrained
from mmvitdense.models import PlainViT

IMAGENET = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'bgr_to_rgb': True}


def config(preset, **preprocessor):
    vit = {'type': 'mmvitdense.PlainViT', 'preset': preset}
    return Config({'model': {'backbone': {'vit': vit}, 'data_preprocessor': preprocessor}})


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr('mmvitdense.apis.pixels.print_log', lambda text, level, **_: found.append((level, text)))
    return found


@pytest.mark.parametrize(
    ('preset', 'changes'),
    [
        ('mae-base', {}),
        ('dinov2-reg-small', {'mean': [103.53, 116.28, 123.675], 'std': [57.375, 57.12, 58.395], 'bgr_to_rgb': False}),
        ('siglip-base-patch16', {'mean': [127.5] * 3, 'std': [127.5] * 3}),
        ('augreg-base', {'mean': [127.5] * 4, 'std': [127.5] * 4}),
        ('softcon-base-s2', {'mean': [0.0], 'std': [255.0]}),
        ('no-such-preset', {}),
    ],
)
def test_nothing_to_tell(warnings, preset, changes):
    warn_of_pixels(config(preset, **{**IMAGENET, **changes}))
    assert warnings == []


@pytest.mark.parametrize('name', ['mean', 'std'])
def test_statistics_of_other_channels_are_refused(warnings, name):
    """Those of RGB; one number is that of all channels."""
    given = {'mean': [0.0], 'std': [255.0]}
    cfg = config('dinov2-small', **given)
    cfg.model.backbone.vit.in_channels = 13
    warn_of_pixels(cfg)
    cfg.model.data_preprocessor[name] = [1.0] * 3
    with pytest.raises(InputError, match=f'has {name} of 3 channels, the ViT has in_channels=13: give one number'):
        warn_of_pixels(cfg)


@pytest.mark.parametrize('naf', [{}, {'mean': [127.5] * 3, 'std': [127.5] * 3}])
def test_naf_takes_pixels_for_those_of_imagenet(warnings, naf):
    """Whatever the ViT wants, unless it is given what they are."""
    cfg = config('augreg-base', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)
    cfg.model.backbone.lift = {'type': 'mmvitdense.NAF', **naf}
    warn_of_pixels(cfg)
    assert [text.endswith('what the data_preprocessor has') for _, text in warnings] == ([] if naf else [True])


@pytest.mark.parametrize(
    ('preset', 'changes', 'shown'),
    [
        ('augreg-base', {}, ('[123.675, 116.28, 103.53]', '[127.5, 127.5, 127.5]')),
        ('clip-base-patch16', {}, ('[58.395, 57.12, 57.375]', '[68.501, 66.632, 70.323]')),
        ('mae-base', {'mean': None, 'std': None}, ('[0.0, 0.0, 0.0]', '[123.675, 116.28, 103.53]')),
        ('mae-base', {'bgr_to_rgb': False}, ('[103.53, 116.28, 123.675]', '[123.675, 116.28, 103.53]')),
    ],
)
def test_both_are_told_once(warnings, preset, changes, shown):
    warn_of_pixels(config(preset, **{**IMAGENET, **changes}))
    ((level, text),) = warnings
    assert level == logging.WARNING
    assert repr(preset) in text
    assert all(part in text for part in shown)


def test_when_a_model_is_built(warnings, monkeypatch):
    monkeypatch.setattr(build, 'enter_scope', lambda cfg: None)
    monkeypatch.setattr(build.MODELS, 'build', lambda model: model)
    build.build_model(config('augreg-base', **IMAGENET))
    assert len(warnings) == 1


SMALL = {
    'embed_dims': 192,
    'num_layers': 1,
    'num_heads': 3,
    'feedforward_channels': 24,
    'patch_size': 8,
    'img_size': 32,
}
SIGNS = {'ibot': {'masked_embed': torch.zeros(1)}, 'plain': {}}
UNIT = {'mean': [0.0] * 3, 'std': [255.0] * 3}
HALF = {'mean': [127.5] * 3, 'std': [127.5] * 3}


@pytest.fixture
def loaded(tmp_path):
    """A model without preset that loaded a file of a family, as it is or converted, in a detector."""

    def load(sign, convert=False, preset=None):
        vit = PlainViT(**SMALL, with_cls_token=True, final_norm='last', preset=preset)
        path = tmp_path / 'official.pth'
        torch.save({**vit.state_dict(), **SIGNS[sign]}, path)
        if convert:
            conversion = convert_file(path)
            path = tmp_path / 'converted.pth'
            write_checkpoint(conversion.weights, path, conversion.record)
        ViTPretrained(path, unused=() if convert else list(SIGNS[sign]))(vit)
        return torch.nn.ModuleDict({'backbone': vit})

    return load


@pytest.mark.parametrize(
    ('sign', 'changes', 'shown'),
    [
        ('ibot', HALF, 'had mean=[123.675, 116.28, 103.53] and std=[58.395, 57.12, 57.375] (ibot)'),
        (
            'plain',
            UNIT,
            'ibot, visualatom, exfractaldb) or mean=[127.5, 127.5, 127.5] and std=[127.5, 127.5, 127.5] (augreg)',
        ),
        ('ibot', {}, None),
        ('plain', HALF, None),
        ('plain', {'mean': [1.0] * 4, 'std': [1.0] * 4}, None),
    ],
)
@pytest.mark.parametrize('convert', [False, True], ids=['as it is', 'converted'])
def test_of_a_file_whose_family_is_known(warnings, loaded, convert, sign, changes, shown):
    """Once, with both; where it may be of several families, one of them suffices."""
    warn_of_loaded_pixels(loaded(sign, convert), config(None, **{**IMAGENET, **changes}))
    assert len(warnings) == (shown is not None)
    for _, text in warnings:
        assert shown in text
        assert f'mean={changes["mean"]}' in text


def test_a_preset_is_compared_when_the_model_is_built(warnings, loaded):
    warn_of_loaded_pixels(loaded('plain', preset='mae-base'), config(None, **HALF))
    assert warnings == []


def test_a_runner_compares_once_before_it_loads_or_resumes(warnings, loaded, monkeypatch):
    calls = []

    class Runner:
        model = loaded('ibot')

        @classmethod
        def from_cfg(cls, cfg):
            runner = cls()
            runner.cfg = cfg
            return runner

        def load_or_resume(self):
            calls.append(len(warnings))

        def register_hook(self, hook):
            pass

    monkeypatch.setattr(build.RUNNERS, 'get', lambda name: Runner)
    runner = build.build_runner(config(None, **{**IMAGENET, **HALF}))
    runner.load_or_resume()
    runner.load_or_resume()
    assert calls == [1, 1]
