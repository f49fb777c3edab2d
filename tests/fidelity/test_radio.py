"""C-RADIOv3 and v4 against `transformers` and timm, in every layout that they are published in."""

from __future__ import annotations

import re

import pytest
import torch

from mmvitdense.checkpoints import detect, fit_to_vit, read_checkpoint
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw
from tests.fidelity.pretraining import timm_vit

PATCH, GRID, WIDTH = 8, 6, 32
# The table's own grid, a smaller, a larger and two oblong ones.
SIZES = [(48, 48), (24, 24), (72, 72), (16, 40), (64, 32)]
MEAN, DEVIATION = (0.3, 0.4, 0.5), (0.2, 0.3, 0.4)
EACH_SIZE = pytest.mark.parametrize('size', SIZES, ids=str)


def load(weights, name, **given):
    form = detect(weights)
    assert form.name == name
    model = PlainViT(**describe(form, weights, {'num_heads': 2, **given}).options).eval()
    kept, report = fit_to_vit(form.converted(weights), model)
    assert not report.missing + report.resized
    assert not [name for name in report.left_over if name.startswith(('blocks.', 'pos_embed', 'patch_embed'))]
    model.load_state_dict(kept)
    return model


def patches(model, image):
    with torch.no_grad():
        return model(image)[0].flatten(2).transpose(1, 2)


def normed(image, form, weights):
    """As the file says, with pixels in 0..1."""
    mean, deviation = (torch.tensor(part).reshape(-1, 1, 1) for part in form.pixels(weights))
    return (255 * image - mean) / deviation


@pytest.fixture(scope='module', params=[1, 3], ids=['v3', 'v4'])
def oracle(request):
    transformers = pytest.importorskip('transformers')
    config = transformers.RadioConfig(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=1.5,
        patch_size=PATCH,
        max_img_size=GRID * PATCH,
        num_cls_tokens=request.param,
        summary_idxs=[0],
        norm_mean=list(MEAN),
        norm_std=list(DEVIATION),
    )
    return redraw(transformers.RadioModel(config)).eval()


def of_nvidia(weights, container):
    """The hub's names, with gains by their name there; or those of a training, with the heads of the teachers."""
    prefix = {'hub': 'radio_model.model.', 'training': 'base_model.'}[container]
    found = {re.sub(r'^radio_model\.model\.', prefix, name): x for name, x in weights.items()}
    if container == 'training':
        found = {re.sub(r'^radio_model\.', '', name): x for name, x in found.items()}
        found['_heads.clip.0.weight'] = torch.zeros(2)
    found = {re.sub(r'layer_scale([12])\.lambda1', r'ls\1.grandma', name): x for name, x in found.items()}
    return {**found, 'radio_model.summary_idxs': torch.arange(2)}


@EACH_SIZE
@pytest.mark.parametrize('layout', ['memory', 'file', 'hub', 'training'])
def test_transformers(tmp_path, oracle, layout, size):
    weights, name = oracle.state_dict(), 'transformers RADIO'
    if layout != 'memory':
        oracle.save_pretrained(tmp_path)
        weights, name = read_checkpoint(tmp_path / 'model.safetensors'), 'RADIO'
    if layout in ('hub', 'training'):
        weights = of_nvidia(weights, layout)
    form = detect(weights)
    tokens = oracle.config.num_cls_tokens + oracle.config.num_registers
    assert form.families(weights) == ({8: 'c-radiov3', 10: 'c-radiov4'}[tokens],)
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        expected = oracle(image).features
    model = load(weights, name)
    assert_within(patches(model, normed(image, form, weights)), expected, OUTPUTS, 'patches')
    if size == (16, 40):  # as other models resize theirs
        model.pos_resize['square'] = False
        with pytest.raises(AssertionError, match='patches: off by'):
            assert_within(patches(model, normed(image, form, weights)), expected, OUTPUTS, 'patches')


@EACH_SIZE
@pytest.mark.parametrize('align_corners', [False, True])
def test_timm_for_any_size(size, align_corners):
    """Kernels of patches are matrices over (row, column, channel) there; in the other order nothing is right."""
    naflex = pytest.importorskip('timm.models.naflexvit')
    cfg = naflex.NaFlexVitCfg(
        patch_size=PATCH,
        embed_dim=WIDTH,
        depth=2,
        num_heads=2,
        mlp_ratio=1.5,
        reg_tokens=7,
        init_values=0.1,
        class_token=True,
        final_norm=False,
        global_pool='token',
        pos_embed_grid_size=(GRID, GRID),
        pos_embed_interp_mode='bilinear',
        pos_embed_antialias=False,
        pos_embed_ar_preserving=True,
        pos_embed_align_corners=align_corners,
    )
    oracle = redraw(naflex.NaFlexVit(cfg, num_classes=0)).eval()
    rule = {'mode': 'bilinear', 'square': True, 'align_corners': align_corners}
    model = load(oracle.state_dict(), 'timm RADIO of any size', pos_resize=rule)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = oracle.forward_features(image)
        expected = (expected['patches'] if isinstance(expected, dict) else expected)[:, 8:]
    assert_within(patches(model, image), expected, OUTPUTS, 'patches')


def test_timm_at_one_size():
    """Its table is that of one size, which a note says."""
    oracle = timm_vit(no_embed_class=True, reg_tokens=9, final_norm=False)
    weights = oracle.state_dict()
    form = detect(weights)
    assert (form.name, form.families(weights)) == ('timm ViT', ('c-radiov4',))
    assert 'take the file of NVIDIA' in form.notes(weights)[0]
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = oracle.forward_features(image)[:, 10:]
    assert_within(patches(load(weights, 'timm ViT', num_heads=3), image), expected, OUTPUTS, 'patches')


def test_what_the_file_says(oracle, tmp_path):
    oracle.save_pretrained(tmp_path)
    weights = read_checkpoint(tmp_path / 'model.safetensors')
    form = detect(weights)
    assert form.notes(weights) == ()
    mean, deviation = form.pixels(weights)
    assert mean == pytest.approx([255 * value for value in MEAN], rel=1e-6)
    assert deviation == pytest.approx([255 * value for value in DEVIATION], rel=1e-6)
    weights['radio_model._feature_normalizer.mean'] = torch.zeros(WIDTH)
    assert 'these are the features before it' in form.notes(weights)[0]
    unsure = describe(form, weights, {'num_heads': 2}).guesses
    assert list(unsure) == ([] if form.families(weights) == ('c-radiov4',) else ['pos_resize'])


def test_gains_of_one_are_none(oracle):
    """transformers has LayerScale in all models; the huge ones were published without."""
    weights = {name: torch.ones_like(x) if 'lambda1' in name else x for name, x in oracle.state_dict().items()}
    form = detect(weights)
    assert 'layer_scale_init' not in describe(form, weights, {'num_heads': 2}).options
    image = torch.rand(2, 3, 48, 24)
    with torch.no_grad():
        expected = torch.func.functional_call(oracle, weights, (image,)).features
    found = patches(load(weights, 'transformers RADIO'), normed(image, form, weights))
    assert_within(found, expected, OUTPUTS, 'patches')


def test_an_earlier_release_is_of_no_family():
    """Its licence is another, and its base model has no LayerScale."""
    sizes = {'embed_dims': 768, 'num_heads': 2, 'num_layers': 1, 'feedforward_channels': 8, 'pretrain_img_size': 32}
    with torch.device('meta'):
        weights = PlainViT(preset='c-radiov3-base', layer_scale_init=None, **sizes).state_dict()
    own = {f'base_model.{name}': x for name, x in weights.items() if name.startswith('blocks.')}
    parts = {'embedder.weight': torch.zeros(768, 768), 'pos_embed': weights['pos_embed']}
    parts['cls_token.token'] = torch.zeros(8, 768)
    own.update({f'base_model.patch_generator.{name}': x for name, x in parts.items()})
    form = detect(own)
    assert (form.name, form.families(own)) == ('RADIO', ())
    assert form.options(own)['pos_resize'] == {'mode': 'bilinear', 'square': True}
