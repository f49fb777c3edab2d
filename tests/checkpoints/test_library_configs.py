"""What config.json of transformers beside a file of weights settles."""

import json

import pytest
import torch

from mmvitdense.apis.convert import convert_file
from mmvitdense.checkpoints import CheckpointError, ViTPretrained
from mmvitdense.checkpoints.formats.transformers.settings import DEFAULTS
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import redraw

transformers = pytest.importorskip('transformers')

# A width that nobody published, with heads that no rule gives.
SMALL = {'hidden_size': 48, 'num_hidden_layers': 2, 'num_attention_heads': 6, 'intermediate_size': 64}
SQUARE = {**SMALL, 'image_size': 32, 'patch_size': 8}
WINDOWS = {'window_size': 3, 'num_hidden_layers': 4}
TEXT = {**SMALL, 'num_hidden_layers': 1}
MODELS = {
    'vit': ('ViT', {**SQUARE, 'hidden_act': 'quick_gelu', 'layer_norm_eps': 1e-4}, 'quick_gelu', 1e-4),
    'dinov2': ('Dinov2', {**SQUARE, 'hidden_act': 'gelu_pytorch_tanh'}, 'gelu_tanh', 1e-6),
    'dinov2 gated': ('Dinov2', {**SQUARE, 'use_swiglu_ffn': True}, None, 1e-6),
    'dinov3': ('DINOv3ViT', SQUARE, 'gelu', 1e-5),
    'dinov3 gated': ('DINOv3ViT', {**SQUARE, 'use_gated_mlp': True, 'hidden_act': 'silu'}, None, 1e-5),
    'beit': ('Beit', {**SQUARE, 'layer_norm_eps': 1e-5, 'use_relative_position_bias': True}, 'gelu', 1e-5),
    'both towers': ('CLIP', {'vision_config': {**SQUARE, 'hidden_act': 'gelu'}, 'text_config': TEXT}, 'gelu', 1e-5),
    'siglip': ('SiglipVision', SQUARE, 'gelu_tanh', 1e-6),
    'vitdet': ('VitDet', {**SQUARE, **WINDOWS, 'mlp_ratio': 2, 'window_block_indices': [0, 2]}, 'gelu', 1e-6),
    'sam': ('SamVision', {**SQUARE, **WINDOWS, 'mlp_dim': 64, 'global_attn_indexes': [1, 3]}, 'gelu', 1e-6),
    'aimv2': ('Aimv2Vision', SQUARE, None, 1e-5),
}


def saved(folder, kind, options):
    """A model of the library as it writes itself."""
    torch.manual_seed(0)
    model = getattr(transformers, f'{kind}Model')(getattr(transformers, f'{kind}Config')(**options))
    redraw(model).eval().save_pretrained(folder)
    return model


@pytest.mark.parametrize('name', MODELS)
def test_heads_activation_and_epsilon_are_no_guesses(name, tmp_path):
    kind, options, act, eps = MODELS[name]
    saved(tmp_path, kind, options)
    conversion = convert_file(tmp_path)
    found = conversion.options
    assert (found['num_heads'], found.get('act'), found['norm_eps']) == (6, act, eps)
    assert not {'num_heads', 'act', 'norm_eps', 'window_size', 'global_blocks'} & conversion.description.guesses.keys()
    if 'window_size' in options:
        assert (found['window_size'], found['global_blocks']) == (3, (1, 3))
    assert any('config.json' in note for note in conversion.notes)


def test_what_it_says_gives_the_features_of_the_library(tmp_path):
    kind, options, *_ = MODELS['vit']
    model = saved(tmp_path, kind, options)
    vit = PlainViT(**convert_file(tmp_path).options, init_cfg={'type': 'ViTPretrained', 'checkpoint': str(tmp_path)})
    vit.init_weights()
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = model(image).last_hidden_state[:, 1:].transpose(1, 2).unflatten(-1, (4, 4))
        torch.testing.assert_close(vit.eval()(image)[-1], expected, rtol=1e-4, atol=1e-4)


def test_the_user_knows_better_and_another_model_is_not_read(tmp_path):
    kind, options, *_ = MODELS['vit']
    saved(tmp_path, kind, options)
    assert convert_file(tmp_path, options={'act': 'gelu', 'num_heads': 4}).options['act'] == 'gelu'
    config = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps({**config, 'hidden_size': 64}))
    assert 'act' in convert_file(tmp_path, num_heads=6).description.guesses


def test_keys_that_a_file_lacks_have_the_defaults_of_the_library(tmp_path):
    saved(tmp_path, 'CLIP', MODELS['both towers'][1])
    config = json.loads((tmp_path / 'config.json').read_text())
    vision = {'model_type': 'clip_vision_model', 'num_attention_heads': 6, 'hidden_size': 48}
    (tmp_path / 'config.json').write_text(json.dumps({**config, 'vision_config': vision}))
    assert convert_file(tmp_path).families == ('clip',)
    assert convert_file(tmp_path).options['act'] == 'quick_gelu'
    for kind, expected in DEFAULTS.items():
        if kind not in transformers.CONFIG_MAPPING:
            continue
        theirs = transformers.CONFIG_MAPPING[kind]()
        eps = getattr(theirs, 'layer_norm_eps', None) or theirs.rms_norm_eps
        assert (theirs.num_attention_heads, theirs.hidden_act, eps) == expected, kind


@pytest.mark.parametrize(
    ('text', 'message'), [('{', 'is no JSON'), ('{"hidden_act": "relu", "model_type": "vit"}', "hidden_act='relu'")]
)
def test_what_cannot_be_read_or_computed_is_refused(text, message, tmp_path):
    saved(tmp_path, *MODELS['vit'][:2])
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(CheckpointError, match=message):
        convert_file(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        ViTPretrained(str(tmp_path))(PlainViT(embed_dims=48, num_layers=2, num_heads=6, patch_size=8, img_size=32))
