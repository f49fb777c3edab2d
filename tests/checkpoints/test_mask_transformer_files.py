"""Files of EoMT and PMT: official ones with their ViT, without it and with differences to it."""

import re

import pytest
import torch

from mmvitdense.apis.convert import convert_file
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.weight_files import write_checkpoint
from mmvitdense.checkpoints import CheckpointError, detect
from mmvitdense.models import PMT, EoMT
from tests.fidelity.agreement import redraw

SIZES = {'embed_dims': 32, 'num_layers': 3, 'num_heads': 2, 'feedforward_channels': 48}
VITS = {
    'dinov2': {'preset': 'dinov2-reg-small', 'patch_size': 16, 'pretrain_img_size': 64, **SIZES},
    'dinov2-gated': {'preset': 'dinov2-reg-giant', 'patch_size': 16, 'pretrain_img_size': 64, **SIZES},
    'dinov3': {'preset': 'dinov3-small', **SIZES},
}
VITS['dinov2'] |= {'pos_embed_cls_slot': False}
VITS['dinov2-gated'] |= {'pos_embed_cls_slot': False}
AROUND = (
    (r'^head\.query_embed\.', 'q.'),
    (r'^head\.cls_embed\.', 'class_head.'),
    (r'^head\.mask_embed\.', 'mask_head.'),
    (r'^head\.upscale\.', 'upscale.'),
    (r'^masking\.', ''),
)
OF_DECODER = (
    (r'^norm\.', 'decoder_norm.'),
    (r'^laterals\.(\d+)\.projection\.', r'lateral_projections.\1.'),
    (r'^laterals\.(\d+)\.gain$', r'scalers.\1'),
)
OF_TRANSFORMERS = (
    (r'\.attn\.proj\.', '.attention.o_proj.'),
    (r'\.ls([12])\.gamma$', r'.layer_scale\1.lambda1'),
    (r'\.mlp\.fc1\.', '.mlp.up_proj.'),
    (r'\.mlp\.fc2\.', '.mlp.down_proj.'),
)
OF_TIMM = (
    (r'^register_tokens$', 'reg_token'),
    (r'\.mlp\.w12\.', '.mlp.fc1.'),
    (r'\.mlp\.w3\.', '.mlp.fc2.'),
)


def renamed(weights, rules):
    result = {}
    for name, weight in weights.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        result[name] = weight
    return result


def split_qkv(weights):
    """As `transformers` has it, where keys have no bias."""
    result = {}
    for name, weight in weights.items():
        if '.attn.qkv.' not in name:
            result[name] = weight
            continue
        for part, rows in zip('qkv', weight.chunk(3)):
            if not (part == 'k' and name.endswith('bias')):
                result[name.replace('attn.qkv', f'attention.{part}_proj')] = rows
    return result


def official_trunk(vit, kind):
    """The names of timm, or those that official code makes of the DINOv3 of `transformers`."""
    if kind != 'dinov3':
        return renamed(vit, OF_TIMM)
    tokens = (
        (r'^(cls_token|register_tokens)$', r'patch_embed.\1'),
        (r'^patch_embed\.proj\.', 'patch_embed.patch_embeddings.'),
    )
    return split_qkv(renamed(vit, (*tokens, *OF_TRANSFORMERS)))


def parts_of(model):
    """{name: weight} of the ViT and of what is around it, without the biases of keys, which no file has."""
    weights = dict(redraw(model).state_dict())
    for name, weight in weights.items():
        if name.endswith('attn.qkv.bias') and not (
            name.startswith('vit.') and 'pos_embed' in dict(model.vit.named_parameters())
        ):
            weight.chunk(3)[1].zero_()
    vit = {name.removeprefix('vit.'): x for name, x in weights.items() if name.startswith('vit.')}
    return vit, {name: x for name, x in weights.items() if not name.startswith('vit.')}


def eomt_file(model, kind, difference=0.0):
    vit, around = parts_of(model)
    trunk = {name: x - difference for name, x in official_trunk(vit, kind).items()}
    return {
        **{f'network.encoder.backbone.{name}': x for name, x in trunk.items()},
        **{f'network.{name}': x for name, x in renamed(around, AROUND).items()},
        'network.encoder.pixel_mean': torch.zeros(1, 3, 1, 1),
        'criterion.empty_weight': torch.ones(8),
    }


def pmt_file(model, kind, with_vit):
    vit, around = parts_of(model)
    norms = {
        re.sub(r'^laterals\.(\d+)\.norm\.', r'bn.\1.', n): x
        for n, x in around.items()
        if '.norm.' in n and n[:3] == 'lat'
    }
    decoder = {name: x for name, x in around.items() if not (name.startswith('laterals.') and '.norm.' in name)}
    decoder = split_qkv(renamed(decoder, (*OF_DECODER, *AROUND, *OF_TRANSFORMERS)))
    trunk = {f'encoder.backbone.{n}': x for n, x in official_trunk(vit, kind).items()} if with_vit else {}
    return {**{f'decoder.{name}': x for name, x in decoder.items()}, **norms, **trunk}


def written(conversion, path):
    write_checkpoint(conversion.weights, path, conversion.record)
    return path


def assert_same(weights, model, prefix='backbone.'):
    expected = {f'{prefix}{name}': x for name, x in model.state_dict().items() if 'num_batches' not in name}
    weights = {name: x for name, x in weights.items() if 'num_batches' not in name}
    assert weights.keys() == expected.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], msg=lambda text, name=name: f'{name}: {text}')


@pytest.fixture(params=sorted(VITS))
def kind(request):
    return request.param


def test_official_eomt(kind, tmp_path):
    """Whole files and files of differences give the same weights and options that build the same model."""
    model = EoMT(VITS[kind], num_classes=7, num_queries=5, num_query_blocks=2)
    trunk = None
    if kind == 'dinov3':
        trunk = tmp_path / 'dinov3.pth'
        torch.save(eomt_trunk(model, 0.25), trunk)
    torch.save(eomt_file(model, kind, 0.25 if trunk else 0.0), tmp_path / 'official.bin')
    converted = convert_file(tmp_path / 'official.bin', num_heads=2, trunk=trunk)
    assert_same(converted.weights, model)
    path = written(converted, tmp_path / 'own.pth')
    built = EoMT(**converted.options).eval()
    built.load_state_dict({n.removeprefix('backbone.'): x for n, x in converted.weights.items()})
    loaded = EoMT(**{**converted.options, 'init_cfg': {'type': 'ViTPretrained', 'checkpoint': str(path)}})
    loaded.init_weights()
    image = torch.randn(2, 3, 48, 80)
    with torch.no_grad():
        expected = model.eval()(image)
        for other in (built, loaded.eval()):
            for found, wanted in zip(other(image)[:2], expected[:2]):
                torch.testing.assert_close(found[0], wanted[0])


def eomt_trunk(model, value):
    """A published DINOv3 of `transformers` that has `value` everywhere, to which differences are made."""
    vit, _ = parts_of(model)
    rules = (
        (r'^(cls_token|register_tokens)$', r'embeddings.\1'),
        (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.'),
        (r'^blocks\.', 'layer.'),
    )
    names = split_qkv(renamed(vit, (*rules, *OF_TRANSFORMERS)))
    return {**{n: torch.full_like(x, value) for n, x in names.items()}, 'embeddings.mask_token': torch.zeros(1, 1, 32)}


def test_differences_need_what_they_are_made_with(tmp_path):
    model = EoMT(VITS['dinov3'], num_classes=7, num_queries=5, num_query_blocks=2)
    official, trunk = tmp_path / 'official.bin', tmp_path / 'trunk.pth'
    weights = eomt_file(model, 'dinov3')
    torch.save(weights, official)
    with pytest.raises(CheckpointError, match=r'--trunk FILE, or --trunk none'):
        convert_file(official, num_heads=2)
    assert_same(convert_file(official, num_heads=2, trunk='none').weights, model)
    model.init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(official)}
    with pytest.raises(CheckpointError, match=r'published as differences .* --trunk VIT'):
        model.init_weights()
    for change, words in (
        ({'feedforward_channels': 64}, r'blocks.0.mlp.fc1.weight is \(48, 32\) in the differences and \(64, 32\) in'),
        ({'num_layers': 2}, r'14 tensors are in one of the files alone, first backbone.vit.blocks.2.attn'),
    ):
        other = EoMT({**VITS['dinov3'], **change}, num_classes=7, num_queries=5, num_query_blocks=2)
        torch.save(eomt_trunk(other, 0.0), trunk)
        with pytest.raises(CheckpointError, match=words):
            convert_file(official, num_heads=2, trunk=trunk)


@pytest.mark.parametrize('with_vit', [True, False])
def test_official_pmt(kind, with_vit, tmp_path):
    """A decoder alone is joined to its ViT by the tool, or loaded beside the `init_cfg` of the ViT."""
    model = PMT(VITS[kind], num_classes=7, num_queries=5, num_blocks=2, tap_indices=(0, 2), feedforward_channels=40)
    torch.save(pmt_file(model, kind, with_vit), tmp_path / 'official.bin')
    vit = tmp_path / 'vit.pth'
    torch.save(official_trunk(parts_of(model)[0], 'timm') if kind != 'dinov3' else eomt_trunk_of(model), vit)
    known = {'num_heads': 2, 'tap_indices': (0, 2)}
    trunk = None if with_vit else vit
    converted = convert_file(tmp_path / 'official.bin', options=known, trunk=trunk)
    assert_same(converted.weights, model)
    assert PMT(**converted.options).state_dict().keys() == model.state_dict().keys()
    assert detect(converted.weights).name == 'PMT'
    if with_vit:
        with pytest.raises(InputError, match='leave out --trunk'):
            convert_file(tmp_path / 'official.bin', options=known, trunk=vit)
        return
    decoder = {'type': 'ViTPretrained', 'checkpoint': str(tmp_path / 'official.bin')}
    options = {**converted.options, 'init_cfg': decoder}
    without = PMT(**options)
    with pytest.raises(CheckpointError, match='give the ViT an init_cfg of its own'):
        without.init_weights()
    options['vit'] = {**options['vit'], 'init_cfg': {'type': 'ViTPretrained', 'checkpoint': str(vit)}}
    loaded = PMT(**options)
    loaded.init_weights()
    assert_same(loaded.state_dict(), model, '')


def eomt_trunk_of(model):
    vit, _ = parts_of(model)
    named = eomt_trunk(model, 0.0)
    rules = (
        (r'^(cls_token|register_tokens)$', r'embeddings.\1'),
        (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.'),
    )
    exact = split_qkv(renamed(vit, (*rules, (r'^blocks\.', 'layer.'), *OF_TRANSFORMERS)))
    return {**named, **exact}
