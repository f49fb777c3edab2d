"""CLIP under the names of OpenAI and OpenCLIP, in a file as each publishes it.

The oracle is the CLIP of `transformers`, whose weights are written under OpenAI's names.
"""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from mmvitdense.checkpoints import detect, fit_to_vit, read_checkpoint
from mmvitdense.checkpoints.formats.clip import FORMAT as CLIP
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw

_NAMES = (
    (r'^embeddings\.class_embedding$', 'class_embedding'),
    (r'^embeddings\.position_embedding\.weight$', 'positional_embedding'),
    (r'^embeddings\.patch_embedding', 'conv1'),
    (r'^pre_layrnorm', 'ln_pre'),
    (r'^post_layernorm', 'ln_post'),
    (r'^encoder\.layers', 'transformer.resblocks'),
    (r'layer_norm(\d)', r'ln_\1'),
    (r'self_attn\.out_proj', 'attn.out_proj'),
    (r'mlp\.fc1', 'mlp.c_fc'),
    (r'mlp\.fc2', 'mlp.c_proj'),
)


def openai_names(weights):
    renamed = {}
    for name, tensor in weights.items():
        for pattern, new in _NAMES:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    for name in [name for name in renamed if '.self_attn.q_proj.' in name]:
        parts = [renamed.pop(name.replace('q_proj', f'{part}_proj')) for part in 'qkv']
        renamed[name.replace('self_attn.q_proj.', 'attn.in_proj_')] = torch.cat(parts)
    return renamed


@pytest.fixture(params=['quick_gelu', 'gelu'])
def oracle(request):
    transformers = pytest.importorskip('transformers')
    config = transformers.CLIPVisionConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=40,
        patch_size=8,
        hidden_act=request.param,
    )
    return redraw(transformers.CLIPVisionModel(config)).eval()


def two_towers(vision):
    """Both towers and what joins them."""
    text = {f'transformer.resblocks.0.{name}': torch.zeros(3) for name in ('attn.in_proj_weight', 'ln_1.weight')}
    return {
        **{f'visual.{name}': tensor for name, tensor in vision.items()},
        **text,
        'visual.proj': torch.zeros(32, 16),
        'positional_embedding': torch.zeros(7, 16),
        'logit_scale': torch.zeros(()),
    }


class Parameters(nn.Module):
    """A module of TorchScript with the parameters of a state dict."""

    def __init__(self, weights):
        super().__init__()
        for name, tensor in weights.items():
            *path, last = name.split('.')
            module = self
            for part in path:
                if part not in dict(module.named_children()):
                    module.add_module(part, nn.Module())
                module = getattr(module, part)
            module.register_parameter(last, nn.Parameter(tensor))

    def forward(self, image: torch.Tensor):
        return image


@pytest.mark.parametrize('container', ['openai', 'open_clip'])
@pytest.mark.parametrize('size', [(40, 40), (64, 48)])
def test_features(tmp_path, oracle, container, size):
    weights = two_towers(openai_names(oracle.state_dict()))
    path = tmp_path / 'clip.pt'
    if container == 'openai':
        torch.jit.script(Parameters(weights)).save(str(path))
    else:
        torch.save({'epoch': 3, 'state_dict': {f'module.{name}': tensor for name, tensor in weights.items()}}, path)
    read = read_checkpoint(path)
    form = detect(read)
    name = form.name
    assert name == 'CLIP or OpenCLIP'
    # transformers does not smooth the table that it resizes, OpenCLIP does.
    given = {'num_heads': 4, 'act': oracle.config.hidden_act, 'pos_resize': None, 'final_norm': None}
    ours = redraw(PlainViT(**form.options(read, **given)), seed=1).eval()
    kept, report = fit_to_vit(form.convert(read), ours)
    assert not report.missing
    assert sorted(report.left_over) == ['norm.bias', 'norm.weight', 'proj']
    ours.load_state_dict(kept)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        wanted = oracle(image, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
        got = ours(image)[0]
    assert_within(got, wanted.transpose(1, 2).unflatten(2, got.shape[2:]), OUTPUTS, 'patches')


@pytest.mark.parametrize(
    ('extra', 'act'), [(('context_length',), 'quick_gelu'), ((), 'gelu')], ids=['openai', 'openclip']
)
def test_options(oracle, extra, act):
    """OpenAI's archives hold settings beside the weights; what is of OpenCLIP has mostly the exact GELU."""
    read = two_towers(openai_names(oracle.state_dict())) | {name: torch.tensor(77) for name in extra}
    described = describe(CLIP, read, {'num_heads': 4})
    options = described.options
    assert list(described.guesses) == ([] if extra else ['act'])
    expected = {'act': act, 'norm_eps': 1e-5, 'patch_bias': False, 'pre_norm': True, 'with_cls_token': True}
    assert expected.items() <= options.items()
    assert options['pos_resize'] == {'antialias': True}
