"""Loading the weights of an oracle through the formats of checkpoints, and comparing features of patches."""

import inspect
import re
from functools import partial

import pytest
import torch
from torch import nn

from mmvitdense.checkpoints import detect, fit_to_vit
from mmvitdense.checkpoints.fit.options import FitOptions
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw

TINY = {'patch_size': 8, 'embed_dim': 192, 'depth': 2, 'num_heads': 3, 'num_classes': 0}
NORM = partial(nn.LayerNorm, eps=1e-6)
SIZES = [(32, 32), (40, 56)]
SMOOTH = {'pos_resize': {'by': 'size', 'antialias': True}}


def load(weights, name, **overrides):
    """A model with the options that the format reads off the weights, with these weights."""
    form = detect(weights)
    assert name == form.name
    described = describe(form, weights, overrides)
    assert described.guesses.keys() <= inspect.signature(PlainViT).parameters.keys()
    assert not described.guesses.keys() & overrides.keys()
    model = PlainViT(**described.options).eval()
    told = FitOptions(pos_grid=model.pos_grid if 'pretrain_img_size' in overrides else None)
    kept, report = fit_to_vit(form.convert(weights), model, told)
    assert not report.missing
    assert not [line for line in report.resized if 'computed at each grid' not in line]
    model.load_state_dict(kept)
    return model, report


def compare(oracle, weights, name, size, left_over=(), **overrides):
    """Load `weights` and compare with what `oracle` computes for all patches."""
    model, report = load(weights, name, **overrides)
    assert sorted(report.left_over) == sorted(left_over)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        tokens = oracle(image)
        patches = size[0] // model.patch_size * (size[1] // model.patch_size)
        expected = tokens[:, -patches:].transpose(1, 2).unflatten(2, (size[0] // model.patch_size, -1))
        assert_within(model(image)[-1], expected, OUTPUTS, 'patch features')
    return model


def rename(weights, *rules):
    renamed = {}
    for name, tensor in weights.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    return renamed


def timm_vit(**options):
    vit = pytest.importorskip('timm.models.vision_transformer')
    options = {'img_size': 32, 'norm_layer': NORM, 'dynamic_img_size': True, **options}
    return redraw(vit.VisionTransformer(**{**TINY, **options})).eval()
