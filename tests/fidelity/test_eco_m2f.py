"""The pixel decoder of ECO-M2F with its gate against the official code: depths, values, gradients, published size."""

import pytest
import torch

pytest.importorskip('mmdet')

from mmengine.config import ConfigDict

from mmvitdense.models.detection import EarlyExitPixelDecoder
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden
from tests.fidelity.pretraining import rename

OURS = (
    (r'^input_proj\.(\d)\.0\.', r'input_convs.\1.conv.'),
    (r'^input_proj\.(\d)\.1\.', r'input_convs.\1.gn.'),
    (r'^transformer\.level_embed$', 'level_encoding.weight'),
    (r'^transformer\.encoder\.gt\.', 'encoder.gate.'),
    (r'^transformer\.', ''),
    (r'\.norm([12])\.', lambda match: f'.norms.{int(match[1]) - 1}.'),
    (r'\.linear1\.', '.ffn.layers.0.0.'),
    (r'\.linear2\.', '.ffn.layers.1.'),
    (r'^adapter_1\.norm\.', 'lateral_convs.0.gn.'),
    (r'^adapter_1\.', 'lateral_convs.0.conv.'),
    (r'^layer_1\.norm\.', 'output_convs.0.gn.'),
    (r'^layer_1\.', 'output_convs.0.conv.'),
    (r'^mask_features\.', 'mask_feature.'),
)


def build(in_channels, conv_dim, mask_dim, nheads, dim_feedforward, groups):
    attention = {'embed_dims': conv_dim, 'num_heads': nheads, 'num_levels': 3, 'num_points': 4, 'batch_first': True}
    layer = {
        'self_attn_cfg': {**attention, 'dropout': 0.0},
        'ffn_cfg': {'embed_dims': conv_dim, 'feedforward_channels': dim_feedforward, 'ffn_drop': 0.0},
    }
    return EarlyExitPixelDecoder(
        **ConfigDict(
            in_channels=in_channels,
            feat_channels=conv_dim,
            out_channels=mask_dim,
            norm_cfg={'type': 'GN', 'num_groups': groups},
            positional_encoding={'num_feats': conv_dim // 2, 'normalize': True},
            encoder={'num_layers': 6, 'layer_cfg': layer, 'exit': 'gate'},
        )
    )


def test_gate_and_encoder():
    """Three images in one batch, which the gate stops after 2, 4 and 6 layers; officially each by itself."""
    golden = read_golden('eco_m2f')
    decoder = build(**golden['meta']['kwargs'], groups=4).eval()
    decoder.load_state_dict(rename(golden['sd'], *OURS))
    feats = [golden['in'][f'map{i}'].clone().requires_grad_() for i in range(4)]
    mask, levels = decoder(feats)
    assert decoder.encoder.last_depths == golden['meta']['depths'] == [2, 4, 6]
    out = {'mask': mask, **{f'level{i}': level for i, level in enumerate(levels)}, 'gates': decoder.exit_logits(feats)}
    for name, expected in golden['out'].items():
        assert_within(out[name], expected, OUTPUTS, name)
    sum((out[name] * cotangent).sum() for name, cotangent in golden['cot'].items()).backward()
    got = {name: parameter.grad for name, parameter in decoder.named_parameters()}
    wanted = rename(golden['grad'], *OURS)
    assert got.keys() == wanted.keys()
    for name, expected in wanted.items():
        assert_within(got[name], expected, GRADIENTS, name)
    for index, feat in enumerate(feats):
        assert_within(feat.grad, golden['grad_in'][f'map{index}'], GRADIENTS, f'map {index}')


def test_published_size():
    with torch.device('meta'):
        decoder = build([256, 512, 1024, 2048], 256, 256, 8, 1024, groups=32)
    assert sum(p.numel() for p in decoder.parameters()) == read_golden('eco_m2f')['meta']['parameters']
