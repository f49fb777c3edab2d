"""EoMT against the two ports of ``transformers``, its published sizes, rates and schedules, and its losses by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.models import EoMT
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within, redraw
from tests.fidelity.pretraining import rename

WIDTH, HEADS, QUERIES, CLASSES = 48, 3, 5, 7
PORTS = {
    'dinov2': ('eomt', 'EomtForUniversalSegmentation', 'EomtConfig', {}),
    'dinov2-swiglu': ('eomt', 'EomtForUniversalSegmentation', 'EomtConfig', {'use_swiglu_ffn': True}),
    'dinov3': ('eomt_dinov3', 'EomtDinov3ForUniversalSegmentation', 'EomtDinov3Config', {'intermediate_size': 96}),
}
VITS = {
    'dinov2': {'feedforward_channels': 4 * WIDTH},
    'dinov2-swiglu': {'feedforward_channels': 128, 'ffn': 'swiglu'},
    'dinov3': {
        'feedforward_channels': 96,
        'pos_embed': None,
        'rope': {'kind': 'dinov3'},
        'qkv_bias': 'qv',
        'norm_eps': 1e-5,
    },
}


def build_port(kind, blocks=2):
    transformers = pytest.importorskip('transformers')
    _, model, config, options = PORTS[kind]
    if not hasattr(transformers, model):
        pytest.skip(f'this transformers has no {model}')
    config = getattr(transformers, config)(
        hidden_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=HEADS,
        image_size=64,
        patch_size=16,
        num_blocks=blocks,
        num_queries=QUERIES,
        num_labels=CLASSES,
        num_upscale_blocks=2,
        layer_norm_eps=VITS[kind].get('norm_eps', 1e-6),
        attn_implementation='eager',
        **options,
    )
    return redraw(getattr(transformers, model)(config)).eval()


def build_ours(kind, blocks=2):
    vit = {
        'embed_dims': WIDTH,
        'num_layers': 3,
        'num_heads': HEADS,
        'img_size': 64,
        'with_cls_token': True,
        'num_registers': 4,
        'pos_embed_cls_slot': False,
        'layer_scale_init': 1.0,
        **VITS[kind],
    }
    return EoMT(vit, num_classes=CLASSES, num_queries=QUERIES, num_query_blocks=blocks)


def to_ours(weights):
    """Names of the ports, of weights or gradients, to ours."""
    rules = (
        (r'^embeddings\.(cls_token|register_tokens)$', r'vit.\1'),
        (r'^embeddings\.patch_embeddings\.(projection\.)?', 'vit.patch_embed.proj.'),
        (r'^embeddings\.position_embeddings\.weight$', 'vit.pos_embed'),
        (r'^layers\.(\d+)\.attention\.(out|o)_proj\.', r'vit.blocks.\1.attn.proj.'),
        (r'^layers\.', 'vit.blocks.'),
        (r'layer_scale([12])\.lambda1', r'ls\1.gamma'),
        (r'mlp\.(up_proj|weights_in)\.', 'mlp.fc1.'),
        (r'mlp\.(down_proj|weights_out)\.', 'mlp.fc2.'),
        (r'^layernorm\.', 'vit.norm.'),
        (r'^query\.', 'head.query_embed.'),
        (r'^class_predictor\.', 'head.cls_embed.'),
        (r'^upscale_block\.block\.', 'head.upscale.'),
        (r'layernorm2d\.', 'norm.'),
        (r'^mask_head\.fc1\.', 'head.mask_embed.0.'),
        (r'^mask_head\.fc2\.', 'head.mask_embed.2.'),
        (r'^mask_head\.fc3\.', 'head.mask_embed.4.'),
        (r'^attn_mask_probs$', 'masking.attn_mask_probs'),
    )
    ours = rename(weights, *rules)
    for name in [name for name in ours if name.endswith('attention.q_proj.weight')]:
        start = name.removesuffix('q_proj.weight')
        block = start.removesuffix('attention.')
        for part in ('weight', 'bias'):
            values = [ours.pop(f'{start}{letter}_proj.{part}', None) for letter in 'qkv']
            zero = torch.zeros_like(values[0])
            ours[f'{block}attn.qkv.{part}'] = torch.cat([zero if value is None else value for value in values])
    for name in [name for name in ours if '.mlp.gate_proj.' in name]:
        linear = name.replace('gate_proj', 'fc1')
        ours[name.replace('gate_proj', 'w12')] = torch.cat([ours.pop(name), ours.pop(linear)])
        ours[name.replace('gate_proj', 'w3')] = ours.pop(name.replace('gate_proj', 'fc2'))
    if 'vit.pos_embed' in ours:
        ours['vit.pos_embed'] = ours['vit.pos_embed'][None]
    left_out = ('embeddings.mask_token', 'criterion.', 'embeddings.position_ids', 'rope')
    return {name: value for name, value in ours.items() if not name.startswith(left_out)}


@pytest.mark.parametrize('masked', [True, False])
@pytest.mark.parametrize('kind', PORTS)
class TestAgainstTransformers:
    def compare(self, kind, masked, dtype, outputs, gradients):
        port, ours = build_port(kind).to(dtype), build_ours(kind).to(dtype)
        port.attn_mask_probs.fill_(float(masked))
        ours.load_state_dict(to_ours(port.state_dict()))
        ours.train(masked)
        images = [torch.randn(2, 3, 64, 64, dtype=dtype).requires_grad_()]
        images.append(images[0].detach().clone().requires_grad_())
        got, expected = ours(images[0]), port(pixel_values=images[1])
        pairs = [(got.classes[-1], expected.class_queries_logits), (got.masks[-1], expected.masks_queries_logits)]
        assert len(got.classes) == len(got.masks) == (3 if masked else 1)
        for what, (actual, wanted) in zip(('classes', 'masks'), pairs):
            assert_within(actual, wanted, outputs, what)
        directions = [torch.randn_like(wanted) for _, wanted in pairs]
        sum((actual * way).sum() for (actual, _), way in zip(pairs, directions)).backward()
        sum((wanted * way).sum() for (_, wanted), way in zip(pairs, directions)).backward()
        assert_within(images[0].grad, images[1].grad, gradients, 'gradient of the image')
        wanted = to_ours({name: p.grad for name, p in port.named_parameters() if p.grad is not None})
        found = {name: p.grad for name, p in ours.named_parameters()}
        assert wanted.keys() == found.keys()
        for name, gradient in wanted.items():
            assert_within(found[name], gradient, gradients, f'gradient of {name}')

    def test_float64(self, kind, masked):
        # Softmax and the angles of rotary positions are float32 in the ports.
        close = 1e-5
        self.compare(kind, masked, torch.float64, close, 10 * close)

    def test_float32(self, kind, masked):
        self.compare(kind, masked, torch.float32, OUTPUTS, GRADIENTS)
