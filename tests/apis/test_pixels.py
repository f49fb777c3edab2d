"""Pixels of a config against those of its preset."""

import logging

import pytest
from mmengine.config import Config

from mmvitdense.apis import build
from mmvitdense.apis.pixels import warn_of_pixels

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
        ('no-such-preset', {}),
    ],
)
def test_nothing_to_tell(warnings, preset, changes):
    warn_of_pixels(config(preset, **{**IMAGENET, **changes}))
    assert warnings == []


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
