"""The examples of docs/extending.md do what they say."""

import re
import types
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmvitdense.checkpoints.formats import detect as detection
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.models import PlainViT, TimmViT
from mmvitdense.registry import MODELS
from tests.fidelity.agreement import redraw

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
TEXT = (ROOT / 'docs' / 'extending.md').read_text()
HOLDER, LAYOUT, CONFIG, OVERLAY = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)
VIT = {'embed_dims': 32, 'num_layers': 2, 'num_heads': 2, 'img_size': 32, 'patch_size': 16}


def run(source, name):
    module = types.ModuleType(name)
    exec(compile(source, name, 'exec'), module.__dict__)
    module.__doc__ = module.__dict__.get('__doc__')
    return module


@pytest.fixture(scope='module')
def holder():
    run(HOLDER, 'doubled_vit')
    yield MODELS.get('mmvitdense.DoubledViT')
    MODELS.module_dict.pop('DoubledViT')


def test_a_model_around_a_vit(holder, tmp_path):
    model = redraw(MODELS.build({'type': 'mmvitdense.DoubledViT', 'vit': VIT})).eval()
    (out,) = model(torch.randn(2, 3, 40, 33))
    assert out.shape == (2, 32, 5, 5)
    out.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model.get_layer_depth('vit.blocks.1.attn.proj.weight') == (2, 4)
    assert model.get_layer_depth('join.weight') == (3, 4)
    # A file of the whole model gives a ViT inside its weights, without an edit elsewhere.
    path = tmp_path / 'doubled.pth'
    torch.save(model.state_dict(), path)
    other = holder({**VIT, 'init_cfg': {'type': 'ViTPretrained', 'checkpoint': str(path)}})
    other.init_weights()
    for name, value in other.vit.state_dict().items():
        assert torch.equal(value, model.vit.state_dict()[name]), name
    with pytest.raises(ValueError, match='holds a plain ViT, not a DoubledViT'):
        holder(VIT, init_cfg={'type': 'ViTPretrained', 'checkpoint': str(path)}).init_weights()


def test_around_a_vit_of_timm(holder):
    timm = pytest.importorskip('timm')
    vit = timm.create_model('vit_tiny_patch16_224', depth=1, num_classes=0, dynamic_img_size=True)
    (out,) = holder(TimmViT(vit))(torch.randn(1, 3, 48, 32))
    assert out.shape == (1, 192, 6, 4)


def test_a_layout_of_weights(monkeypatch):
    form = run(LAYOUT, 'somebody').FORMAT
    assert isinstance(form, Format)
    vit = redraw(PlainViT(**VIT, with_cls_token=True))
    names = (('blocks.', 'layer'), ('patch_embed.proj.', 'patches.'), ('.attn.', '.attention.'), ('.mlp.', '.network.'))
    theirs = {}
    for name, value in vit.state_dict().items():
        for ours, other in names:
            name = name.replace(ours, other)
        theirs[f'trunk.{name}'] = value
    with pytest.raises(ValueError, match='no known ViT format'):
        detection.detect(theirs)
    monkeypatch.setattr(detection, 'FORMATS', (*detection.FORMATS, form))
    assert detection.detect(theirs) is form
    converted = form.converted(theirs)
    assert converted.keys() == vit.state_dict().keys()
    options = form.options(theirs, num_heads=2)
    assert options['with_cls_token'] is True
    twin = PlainViT(**options).eval()
    twin.load_state_dict(converted, strict=False)
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(twin.intermediate(image)[0], vit.eval().intermediate(image)[0])


def test_a_family_of_configs(tmp_path):
    path = tmp_path / 'own.py'
    path.write_text(CONFIG)
    config = Config.fromfile(path)
    assert config.model.backbone.preset == 'clip-base-patch16'
    assert config.model.backbone.init_cfg.checkpoint.endswith('ViT-B-16.pt')
    assert config.model.data_preprocessor.mean[0] == pytest.approx(122.7709383)
    assert config.model.roi_head.type.endswith('RoIHead')


def test_an_overlay(tmp_path):
    path = tmp_path / 'own.py'
    path.write_text(OVERLAY)
    published = Config.fromfile(CONFIGS / 'vitdet/vitdet-l-mae_mask-rcnn_lsj-100e_coco.py')
    config = Config.fromfile(path)
    assert (config.model, config.optim_wrapper) == (published.model, published.optim_wrapper)


def test_overlays_are_listed():
    """All of sizes, whose names the table writes with a star; those of pre-trainings have their family's name."""
    listed = re.findall(r'`(?:_base_/sizes/)?(\w+-)\*\.py`', TEXT)
    assert {path.stem.partition('-')[0] + '-' for path in (CONFIGS / '_base_/sizes').glob('*.py')} == set(listed)
