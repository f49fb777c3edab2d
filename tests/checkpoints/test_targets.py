"""Weights written for timm, transformers and detectron2: opened there, compared, and read again."""

import functools
import re

import pytest
import torch

from mmvitdense.apis.conversion import Conversion
from mmvitdense.apis.library_export import export_to
from mmvitdense.apis.weight_files import write_conversion
from mmvitdense.checkpoints import CheckpointError, detect, fit_to_vit
from mmvitdense.checkpoints.targets.choice import TARGETS
from mmvitdense.models import PlainViT
from mmvitdense.pretrainings import PRETRAININGS
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw

OWN = (32, 32)
OTHER = (48, 64)
PLAIN = ('mae', 'augreg', 'dino')
BEIT = ('beit', 'simmim', 'a2mim')
RADIO, PE = ('c-radiov3', 'c-radiov4'), ('pe-core', 'pe-lang', 'pe-spatial')
SINES = ('openvision', 'big-vision')
NOT_IN_TIMM = {
    'sam3': "kind='axial')",
    **dict.fromkeys(SINES, "pos_embed='sincos_bv'"),
    'ecvit': "stem=dict(kind='conv')",
    'aimv2': "proj_bias=False and ffn_bias=False and patch_norm=True and norm='rms'",
    'aimv2-native': "patch_norm=True and pos_embed='sincos_mae' and norm='rms'",
    'resformer': "cannot have pos_embed='sine_conv' and value_conv=3",
}
NOT_IN_TRANSFORMERS = {
    **NOT_IN_TIMM,
    'pe-core': "kind='axial')",
    **dict.fromkeys(('pe-lang', 'pe-spatial'), 'its Sam3ViTModel cannot have with_cls_token=True'),
    **dict.fromkeys(('aimv2', 'aimv2-native'), 'proj_bias=False and ffn_bias=False and patch_norm=True'),
    'eva02': "cannot have ffn='swiglu' and rope=dict(",
    'resformer': "pos_embed='sine_conv'",
}
# What each family is in the libraries; for others the option that these cannot express.
EXPECTED = {
    'timm': {
        **dict.fromkeys(
            (*PLAIN, *RADIO, 'deit3', 'dinov2', 'dinov2-reg', 'tips', 'clip', 'openclip', 'siglip', 'siglip2-naflex'),
            'VisionTransformer',
        ),
        **dict.fromkeys(BEIT, 'Beit'),
        **dict.fromkeys(('dinov3', 'eva02'), 'Eva'),
        **dict.fromkeys(PE, 'Eva of Perception Encoder'),
        'sam': 'VisionTransformerSAM',
        **NOT_IN_TIMM,
    },
    'transformers': {
        **dict.fromkeys(PLAIN, 'ViTModel'),
        **dict.fromkeys(BEIT, 'BeitModel'),
        'dinov2': 'Dinov2Model',
        'dinov2-reg': 'Dinov2WithRegistersModel',
        'tips': 'Tipsv2VisionModel',
        **dict.fromkeys(('dinov3', 'lingbot-vision'), 'DINOv3ViTModel'),
        'clip': 'CLIPVisionModel',
        'openclip': 'CLIPVisionModel',
        'siglip': 'SiglipVisionModel',
        'siglip2-naflex': 'SiglipVisionModel',
        'deit3': 'Dinov2Model',
        'sam': 'VitDetModel',
        **NOT_IN_TRANSFORMERS,
        **dict.fromkeys(RADIO, 'RadioModel'),
        'sam3': 'Sam3ViTModel',
    },
}


SMALL = {'embed_dims': 64, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 128, 'patch_size': 8}
TYPE = {'timm': 'file.safetensors', 'transformers': 'folder'}


def options_of(family):
    """Those of the family, of a small model."""
    options = {**PRETRAININGS[family].options, **SMALL, 'pretrain_img_size': 32, 'img_size': 32}
    if 'layer_scale_init' in next(iter(PRETRAININGS[family].sizes.values())):
        options['layer_scale_init'] = 0.1
    if options.get('stem'):  # its patches have one size
        options['patch_size'] = 16
    if family == 'sam3':
        spans = {'rope': {'kind': 'axial', 'pretrain_grid': 2}, 'pretrain_img_size': 16}
        return {**options, **spans, 'window_size': 2, 'global_blocks': (1,)}
    if family == 'sam':
        return {**options, 'window_size': 3, 'global_blocks': (1,)}
    return {'final_norm': 'last', **options}


def distinct():
    """Of families that compute the same function the first."""
    found = {}
    for family in PRETRAININGS:
        found.setdefault(repr(sorted(options_of(family).items())), family)
    return list(found.values())


@pytest.mark.parametrize('library', EXPECTED)
@pytest.mark.parametrize('family', distinct())
def test_family_in_a_library(family, library, tmp_path):
    """Written to files, opened by the library, compared at the size of the table and at another, and read again."""
    options = options_of(family)
    expected = EXPECTED[library].get(family, '')
    if expected not in {target.name for target in TARGETS}:
        with pytest.raises(CheckpointError, match=f'{library} has no model that computes .*{re.escape(expected)}'):
            exported(library, options)
        return
    model, conversion = exported(library, options)
    assert conversion.export.target.name == expected
    compare(open_there(conversion, tmp_path / TYPE[library]), model, conversion.export)
    read_again(conversion, model)


def exported(library, options, **given):
    """A model with these options, every parameter drawn anew, and its conversion."""
    model = redraw(PlainViT(**options)).eval()
    for block in model.blocks:
        if block.attn.without_key_bias:
            with torch.no_grad():
                block.attn.qkv.bias[64:128] = 0
    weights = dict(model.state_dict())
    export = export_to(library, weights, options, 'a file', given)
    return model, Conversion('mmvitdense', len(weights), weights, export.write, 'a file', export=export)


def open_there(conversion, path):
    """The model of the library, by the code that is printed."""
    (line,) = [line for line in write_conversion(conversion, path) if line.startswith('opens with: ')]
    library = conversion.export.library
    names = {library: pytest.importorskip(library), 'functools': functools, 'torch': torch}
    code = line.removeprefix('opens with: ')
    if library != 'transformers':
        return eval(code, names).eval()
    opened, info = eval(f'{code[:-1]}, output_loading_info=True)', names)
    assert not info['unexpected_keys']
    assert all(name.startswith('pooler.') for name in info['missing_keys'])
    return opened.eval()


def compare(opened, model, export):
    """The features of patches; at another size where no note says that they are others."""
    compare_at(OWN, opened, model, export)
    if not any(word in note for note in export.notes for word in ('resizes', 'builds tables')):
        compare_at(OTHER, opened, model, export)


def compare_at(size, opened, model, export):
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        (expected,) = model(image)
        if export.target.name == 'VisionTransformerSAM':
            found = opened.forward_intermediates(image, norm=bool(model.final_norm))[1][-1]
        else:
            kind = export.target.name + ('' if model.final_norm else ' without its norm')
            found = FEATURES.get(kind, FEATURES.get(export.target.name, FEATURES[export.library]))(opened, image)
        if found.ndim == 3:
            patches = expected.shape[2] * expected.shape[3]
            found = found[:, -patches:].transpose(1, 2).reshape(expected.shape)
        assert_within(found, expected, OUTPUTS, f'{export.target.name} at {size}')


def interpolating(opened, image):
    return opened(image, interpolate_pos_encoding=True).last_hidden_state


FEATURES = {
    'timm': lambda opened, image: opened.forward_features(image),
    'transformers': lambda opened, image: opened(image).last_hidden_state,
    'ViTModel': interpolating,
    'SiglipVisionModel': interpolating,
    'ViTModel without its norm': lambda opened, image: opened(
        image, interpolate_pos_encoding=True, output_hidden_states=True
    ).hidden_states[-1],
    'CLIPVisionModel': lambda opened, image: opened.post_layernorm(interpolating(opened, image)),
}


def read_again(conversion, model):
    """A format reads what was written, and gives the same features."""
    form = detect(conversion.weights)
    assert form.name in conversion.export.target.read_by
    again = form.converted(conversion.weights, 2)
    fitted, report = fit_to_vit(again, model)
    assert not report.missing
    assert not report.resized
    image = torch.randn(1, 3, *OWN)
    with torch.no_grad():
        (expected,) = model(image)
        model.load_state_dict(fitted)
        assert_within(model(image)[0], expected, OUTPUTS, 'read again')


CLS = {'with_cls_token': True, 'final_norm': 'last'}
GAINS = {'layer_scale_init': 0.1}
DINOV3 = {**CLS, **GAINS, 'pos_embed': None, 'num_registers': 2, 'qkv_bias': 'qv', 'norm_eps': 1e-5}
EVA02 = {**CLS, 'rope': {'kind': 'eva02', 'pretrain_grid': 4}, 'qkv_bias': 'qv', 'ffn': 'swiglu'}
RADIO_LIKE = {**CLS, 'final_norm': None, 'pos_resize': {'mode': 'bilinear', 'square': True}}
SAM3 = {
    'rope': {'kind': 'axial', 'pretrain_grid': 2},
    'pre_norm': True,
    'window_size': 2,
    'global_blocks': (1,),
    'img_size': 64,
}
DETECTOR = {'rel_pos': 'decomposed', 'window_size': 3, 'global_blocks': (1,), 'img_size': 64}


@pytest.mark.parametrize(
    ('target', 'options'),
    [
        ('timm VisionTransformer', {**CLS, **GAINS, 'ffn': 'swiglu', 'feedforward_channels': 88}),
        ('timm VisionTransformer', {**CLS, 'num_registers': 3, 'pretrain_img_size': (24, 40)}),
        (
            'timm VisionTransformer',
            {'num_registers': 2, 'pos_embed_cls_slot': True, 'act': 'gelu_tanh'},
        ),
        ('timm VisionTransformer', {**CLS, 'patch_bias': False, 'qkv_bias': False}),
        ('timm Eva', {**DINOV3, 'rope': {'kind': 'dinov3', 'base': 50.0}, 'ffn': 'swiglu'}),
        ('timm Eva', {**DINOV3, 'rope': {'kind': 'dinov3'}, 'ffn': 'swiglu', 'feedforward_channels': 91}),
        ('timm Eva', {**EVA02, 'ffn_norm': True, 'feedforward_channels': 90}),
        ('timm Eva', {**EVA02, 'attn_inner_norm': True, 'final_norm': None, 'num_registers': 1}),
        ('timm Beit', {**CLS, 'rel_pos': 'bias', 'qkv_bias': False}),
        ('timm VisionTransformerSAM', {**DETECTOR, 'final_norm': 'last', **GAINS}),
        ('timm VisionTransformerSAM', {**DETECTOR, 'pos_embed_cls_slot': True, 'qkv_bias': False}),
        ('transformers ViTModel', {'with_cls_token': True}),
        ('transformers RadioModel', {**RADIO_LIKE, 'num_registers': 2, 'qkv_bias': False}),
        ('transformers Dinov2Model', {**CLS, **GAINS, 'ffn': 'swiglu'}),
        ('transformers DINOv3ViTModel', {**DINOV3, 'rope': {'kind': 'dinov3'}, 'ffn': 'swiglu'}),
        ('transformers DINOv3ViTModel', {**DINOV3, 'rope': {'kind': 'dinov3'}, 'qkv_bias': True}),
        ('transformers DINOv3ViTModel', {**DINOV3, 'rope': {'kind': 'dinov3'}, 'qkv_bias': False, 'patch_bias': False}),
        ('transformers BeitModel', {**CLS, 'rel_pos': 'bias_shared', 'qkv_bias': 'qv'}),
        ('transformers VitDetModel', {**DETECTOR, 'conv_blocks': (0,), 'pos_embed_cls_slot': True}),
        ('transformers VitDetModel', {'window_size': 3, 'pos_embed': None, 'qkv_bias': False, 'act': 'gelu_tanh'}),
    ],
)
def test_options_in_a_library(target, options, tmp_path):
    """What no published size of a family has, at the size of the table and at another."""
    library, name = target.split()
    own = {**SMALL, 'pretrain_img_size': 32, 'img_size': 32, **options}
    if library == 'transformers' or 'rel_pos' in own:
        own.setdefault('pos_resize', None)
    elif own.get('pos_embed', 'absolute'):
        own['pos_resize'] = {'antialias': True}
    model, conversion = exported(library, own)
    assert conversion.export.target.name == name
    size = own['img_size'] if own.get('rel_pos') == 'decomposed' else own['pretrain_img_size']
    opened = open_there(conversion, tmp_path / TYPE[library])
    compare_at((size, size) if isinstance(size, int) else size, opened, model, conversion.export)
    if own.get('rel_pos') is None:
        compare_at(OTHER, opened, model, conversion.export)


@pytest.mark.parametrize(
    'options',
    [
        {**CLS, 'act': 'quick_gelu', 'pre_norm': True, 'patch_bias': False},
        {**CLS, **GAINS, 'pos_embed_cls_slot': False, 'norm_eps': 1e-5},
        {'pos_embed_cls_slot': True, 'qkv_bias': False},
        {**CLS, **GAINS, 'ffn': 'swiglu'},
    ],
)
def test_mmpretrain(options, tmp_path):
    """Its model takes what is written, and computes the same; mmpretrain is installed by hand."""
    model, conversion = exported('mmpretrain', {**SMALL, 'pretrain_img_size': 32, 'img_size': 32, **options})
    read_again(conversion, model)
    pytest.importorskip('mmpretrain.models.backbones', exc_type=ImportError)
    *_, line = write_conversion(conversion, tmp_path / 'vit.pth')
    assert '.load_state_dict(torch.load(' in line
    from mmpretrain.models import VisionTransformer

    opened = VisionTransformer(**conversion.export.arguments)
    opened.load_state_dict(torch.load(tmp_path / 'vit.pth')['state_dict'])
    opened.eval()
    for size in (OWN, OTHER):
        image = torch.randn(2, 3, *size)
        with torch.no_grad():
            assert_within(opened(image)[-1], model(image)[0], OUTPUTS, f'mmpretrain at {size}')


OFFICIAL_LAYERS = ('norm1', 'norm2', 'attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2')
OFFICIAL_BLOCK = {f'{name}.{part}' for name in OFFICIAL_LAYERS for part in ('weight', 'bias')}
OFFICIAL_TOP = {f'{name}.{part}' for name in ('patch_embed.proj', 'norm') for part in ('weight', 'bias')}


@pytest.mark.parametrize('family', ['mae', 'deit', 'augreg', 'dinov2', 'dinov2-reg'])
def test_official_names(family, tmp_path):
    """The names that the constructors of the repositories give, no others, and the arguments that give them."""
    options = options_of(family)
    if family == 'augreg':
        with pytest.raises(CheckpointError, match="official has no model .*cannot have act='gelu_tanh'"):
            exported('official', options)
        return
    model, conversion = exported('official', options)
    read_again(conversion, model)
    is_dino = family.startswith('dinov2')
    block = OFFICIAL_BLOCK | ({'ls1.gamma', 'ls2.gamma'} if is_dino else set())
    top = OFFICIAL_TOP | {'cls_token', 'pos_embed'} | ({'mask_token'} if is_dino else set())
    top |= {'register_tokens'} if family == 'dinov2-reg' else set()
    assert conversion.weights.keys() == top | {f'blocks.{index}.{name}' for index in range(2) for name in block}
    *_, line = write_conversion(conversion, tmp_path / 'vit.pth')
    saved = torch.load(tmp_path / 'vit.pth')
    assert (saved if is_dino else saved['model']).keys() == conversion.weights.keys()
    arguments = conversion.export.arguments
    assert f'img_size=32, patch_size=8, in_chans=3, {"" if is_dino else "num_classes=0, "}embed_dim=64' in line
    if is_dino:
        rule = (arguments['interpolate_antialias'], arguments['interpolate_offset'])
        assert rule == ((False, 0.1) if family == 'dinov2' else (True, 0.0))
    else:
        timm = pytest.importorskip('timm')  # the class that the official one is made of
        options = {name: value for name, value in arguments.items() if name not in ('norm_layer', 'global_pool')}
        own = timm.models.vision_transformer.VisionTransformer(**options, global_pool='')
        own.load_state_dict(saved['model'])


@pytest.mark.parametrize(
    ('library', 'options', 'message'),
    [
        ('timm', {'conv_blocks': (0,)}, 'VisionTransformer cannot have conv_blocks=(0,)'),
        ('timm', {**CLS, 'window_size': 2, 'global_blocks': ()}, 'window_size=(2, 2)'),
        ('timm', {**CLS, 'pre_norm': True}, 'no bias of the patch embedding beside a norm before the blocks'),
        ('timm', {**CLS, 'rel_pos': 'bias', 'pos_embed': None}, 'has no bias of the keys'),
        ('timm', {**DINOV3, 'rope': {'kind': 'dinov3', 'normalize': 'max'}}, "and these have 'max'"),
        ('timm', {'attn_inner_norm': True}, 'attn_inner_norm=True'),
        ('timm', {**DETECTOR, 'window_size': (2, 3), 'global_blocks': None}, 'has windows of one size'),
        ('transformers', {**CLS, 'pretrain_img_size': (24, 40)}, 'has square tables of positions alone'),
        ('transformers', {**CLS, 'feedforward_channels': 96, **GAINS}, 'a multiple of its 64 channels, not of 96'),
        ('transformers', {'final_norm': 'last', 'norm_eps': 1e-5, 'final_norm_eps': 1e-6}, 'final_norm_eps=1e-06'),
        ('transformers', {'with_cls_token': True, **DETECTOR}, 'VitDetModel cannot have with_cls_token=True'),
        ('transformers', {**SAM3, 'pos_resize': {'by': 'size'}}, "repeats its positions (pos_resize by 'tile')"),
        ('transformers', {**SAM3, 'rope': {'kind': 'axial'}}, 'has rotary positions that span a window'),
        ('mmpretrain', {**CLS, 'num_registers': 1}, 'VisionTransformer cannot have num_registers=1'),
        ('official', {**CLS, **GAINS, 'norm_eps': 1e-5}, 'has norms of epsilon 1e-06 alone, and these have 1e-05'),
        ('detectron2', CLS, "cannot have with_cls_token=True and final_norm='last'"),
        ('detectron2', {'act': 'gelu_tanh'}, "cannot have act='gelu_tanh'"),
    ],
)
def test_what_a_library_cannot_express(library, options, message):
    with pytest.raises(
        CheckpointError, match=rf'^{library} has no model that .*{re.escape(message)}.* Write the layout'
    ):
        exported(library, {**SMALL, 'pretrain_img_size': 32, 'img_size': 32, **options})
