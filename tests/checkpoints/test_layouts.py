"""Every family of the table in every layout that there is of it gives the options and the features of its preset.

The names of the layouts are held against the libraries by `tests/fidelity`; here they are written from ours.
"""

import pytest
import torch

from mmvitdense.apis.convert import convert_read
from mmvitdense.checkpoints import SinCosPositions, detect
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.layers import half_pairing, sincos_position_table
from mmvitdense.models import PlainViT
from mmvitdense.pretrainings import PRETRAININGS
from tests.fidelity.agreement import redraw
from tests.fidelity.pretraining import rename

PLAIN = ('mae', 'deit', 'augreg', 'dino', 'ibot', 'visualatom', 'exfractaldb')
BEIT = ('beit', 'beitv2')
CLIP = ('clip', 'openclip', 'datacomp')
# A width that is not in the table has no options of its own. Heads are those of published models of this width.
SMALL = {'embed_dims': 192, 'num_layers': 2, 'num_heads': 3, 'feedforward_channels': 96, 'patch_size': 8}
# Families that their sizes are a sign of, or whose heads follow from the width.
OF_FAMILY = {
    'mae-lite': {'num_layers': 12, 'num_heads': 12},
    **{family: {'embed_dims': 128, 'num_heads': 1} for family in ('aimv2', 'aimv2-native')},
}


def reference(family):
    """A small model with the options of the family, all parameters drawn anew."""
    options = {**PRETRAININGS[family].options, **SMALL, 'pretrain_img_size': 32, 'img_size': 32}
    options.update(OF_FAMILY.get(family, {}))
    options.setdefault('final_norm', 'last')
    if options.get('stem'):  # its patches have one size
        options['patch_size'] = 16
    if 'layer_scale_init' in next(iter(PRETRAININGS[family].sizes.values())):
        options['layer_scale_init'] = 0.1
    model = redraw(PlainViT(**options)).eval()
    if family == 'mae-lite':
        SinCosPositions()(model)
    if family.startswith('c-radio'):  # its own code has no bias there
        model.patch_embed.proj.bias.data.zero_()
    for block in model.blocks:
        if block.attn.without_key_bias:
            with torch.no_grad():
                block.attn.qkv.bias[192:384] = 0
    return model


def split(weights, parts, without_key_bias=False):
    """Queries, keys and values under names of their own."""
    found = {}
    for name, tensor in weights.items():
        if '.attn.qkv.' not in name:
            found[name] = tensor
            continue
        for part, value in zip(parts, tensor.chunk(3)):
            if not (without_key_bias and part == parts[1] and name.endswith('bias')):
                found[name.replace('attn.qkv', part)] = value
    return found


def fused_beit(weights):
    """One projection with biases of queries and values."""
    weights = split(weights, ('attn.q_bias', 'attn.k_bias', 'attn.v_bias'), without_key_bias=True)
    found = {}
    for name, tensor in weights.items():
        if name.endswith('_bias.weight'):
            whole = name.replace('q_bias', 'qkv').replace('k_bias', 'qkv').replace('v_bias', 'qkv')
            found[whole] = torch.cat([found[whole], tensor]) if whole in found else tensor
        else:
            found[name.removesuffix('.bias') if name.endswith('_bias.bias') else name] = tensor
    return found


def as_map(weights):
    return {name: x.unflatten(1, (4, 4)) if name == 'pos_embed' else x for name, x in weights.items()}


def timm(weights):
    """Positions of the class token go into it where registers follow; SAM has a map of positions."""
    weights = dict(weights)
    if 'register_tokens' in weights:
        weights['cls_token'] = weights['cls_token'] + weights['pos_embed'][:, :1]
        weights['pos_embed'] = weights['pos_embed'][:, 1:]
    if any(name.endswith('relative_position_bias_table') for name in weights):
        return rename(fused_beit(weights), (r'ls([12])\.gamma', r'gamma_\1'))
    weights = rename(weights, ('^register_tokens$', 'reg_token'))
    return as_map(weights) if 'blocks.0.attn.rel_pos_h' in weights else weights


def official_dinov3(weights):
    bias = torch.tensor([1.0, 0.0, 1.0]).repeat_interleave(192)
    masks = {f'blocks.{i}.attn.qkv.bias_mask': bias for i in range(2)}
    return {**rename(weights, ('^register_tokens$', 'storage_tokens')), **masks}


def official_eva02(weights):
    order = half_pairing(64).argsort()
    turned = dict(weights)
    for name in [name for name in weights if '.attn.qkv.' in name]:
        query, key, value = weights[name].chunk(3)
        parts = [part.unflatten(0, (-1, 64))[:, order].flatten(0, 1) for part in (query, key)]
        turned[name] = torch.cat([*parts, value])
    return {**fused_beit(turned), 'mask_token': torch.zeros(1, 1, 192)}


def tokens_of_radio(weights):
    """The table of tokens, and the weights without them and without the bias that RADIO lacks."""
    tokens = torch.cat([weights['cls_token'], weights['register_tokens']], dim=1)[0]
    left_out = ('cls_token', 'register_tokens', 'patch_embed.proj.bias')
    return tokens, {name: x for name, x in weights.items() if name not in left_out}


def official_radio(weights):
    tokens, weights = tokens_of_radio(weights)
    kernel = weights.pop('patch_embed.proj.weight').flatten(1)
    parts = {'embedder.weight': kernel, 'pos_embed': weights.pop('pos_embed'), 'cls_token.token': tokens}
    weights = rename(weights, (r'\.gamma$', '.grandma')) | {f'patch_generator.{n}': x for n, x in parts.items()}
    adaptor = {'adaptors.clip.head_mlp.0.weight': torch.zeros(2)}
    return {**{f'radio_model.model.{name}': x for name, x in weights.items()}, **adaptor}


def naflex_radio(weights):
    weights = rename(weights, (r'^patch_embed\.proj', 'proj'), ('^register_tokens$', 'reg_token'))
    weights = rename(weights, (r'^(proj\.\w+|cls_token|reg_token|pos_embed)$', r'embeds.\1'))
    weights['embeds.proj.weight'] = weights['embeds.proj.weight'].permute(0, 2, 3, 1).flatten(1)
    weights['embeds.pos_embed'] = weights['embeds.pos_embed'].unflatten(1, (4, 4))
    return weights


def transformers_radio(weights):
    tokens, weights = tokens_of_radio(weights)
    kernel = weights.pop('patch_embed.proj.weight').flatten(1)
    parts = {'patch_projection.weight': kernel, 'position_embedding': weights.pop('pos_embed')}
    rules = (
        (r'^blocks\.', 'encoder.layer.'),
        (r'attn\.proj\.', 'attention.o_proj.'),
        (r'ls([12])\.gamma', r'layer_scale\1.lambda1'),
    )
    renamed = rename(split(weights, tuple(f'attention.{part}_proj' for part in 'qkv')), *rules)
    return {**renamed, **{f'embeddings.{n}': x for n, x in {**parts, 'cls_register_token': tokens}.items()}}


def official_pe(weights):
    return {f'visual.{name}': x for name, x in openai(weights).items()}


def official_pe_core(weights):
    return {**official_pe(weights), 'visual.attn_pool.probe': torch.zeros(1, 1, 192)}


def timm_pe(weights):
    return rename(weights, (r'\.ls([12])\.gamma', r'.gamma_\1'))


def timm_pe_core(weights):
    return {**timm_pe(weights), 'attn_pool.latent': torch.zeros(1, 1, 192)}


def official_ecvit(weights):
    periods = 100.0 ** (torch.arange(16) / 16)
    return {**rename(weights, ('register_tokens', 'register_token')), 'rope_embed.periods': periods}


def official_sam3(weights):
    weights = rename(weights, (r'^norm_pre\.', 'ln_pre.'))
    weights['pos_embed'] = torch.cat([torch.zeros(1, 1, 192), weights['pos_embed']], dim=1)
    return {f'detector.backbone.vision_backbone.trunk.{name}': x for name, x in weights.items()}


def transformers_sam3(weights):
    rules = (
        (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.projection.'),
        ('^pos_embed$', 'embeddings.position_embeddings'),
        (r'^norm_pre\.', 'layer_norm.'),
        (r'^blocks\.', 'layers.'),
        (r'\.norm([12])\.', r'.layer_norm\1.'),
        (r'attn\.proj\.', 'attention.o_proj.'),
    )
    weights = split(weights, tuple(f'attention.{part}_proj' for part in 'qkv'))
    return {f'detector_model.vision_encoder.backbone.{name}': x for name, x in rename(weights, *rules).items()}


def transformers_vit(weights):
    rules = (
        (r'^(cls_token|register_tokens)$', r'embeddings.\1'),
        (r'^pos_embed$', 'embeddings.position_embeddings'),
        (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.projection.'),
        (r'^norm\.', 'layernorm.'),
        (r'^blocks\.', 'encoder.layer.'),
        (r'attn\.proj\.', 'attention.output.dense.'),
    )
    parts = tuple(f'attention.attention.{part}' for part in ('query', 'key', 'value'))
    biased = any(name.endswith('relative_position_bias_table') for name in weights)
    weights = rename(split(weights, parts, without_key_bias=biased), *rules)
    if any(name.endswith('ls1.gamma') for name in weights) and not biased:
        return rename(weights, (r'ls([12])\.gamma', r'layer_scale\1.lambda1'))
    return rename(
        weights,
        (r'norm1\.', 'layernorm_before.'),
        (r'norm2\.', 'layernorm_after.'),
        (r'mlp\.fc1\.', 'intermediate.dense.'),
        (r'mlp\.fc2\.', 'output.dense.'),
        (r'ls([12])\.gamma', r'lambda_\1'),
        (r'attn\.relative_position', 'attention.attention.relative_position_bias.relative_position'),
    )


def transformers_dinov3(weights):
    parts = tuple(f'attention.{part}_proj' for part in 'qkv')
    rules = (
        (r'^(cls_token|register_tokens)$', r'embeddings.\1'),
        (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.'),
        (r'^blocks\.', 'layer.'),
        (r'attn\.proj\.', 'attention.o_proj.'),
        (r'ls([12])\.gamma', r'layer_scale\1.lambda1'),
        (r'mlp\.fc1\.', 'mlp.up_proj.'),
        (r'mlp\.fc2\.', 'mlp.down_proj.'),
    )
    return rename(split(weights, parts, without_key_bias=True), *rules)


def transformers_clip(weights):
    rules = (
        ('^cls_token$', 'embeddings.class_embedding'),
        ('^pos_embed$', 'embeddings.position_embedding.weight'),
        (r'^patch_embed\.proj\.', 'embeddings.patch_embedding.'),
        (r'^norm_pre\.', 'pre_layrnorm.'),
        (r'^norm\.', 'post_layernorm.'),
        (r'^blocks\.', 'encoder.layers.'),
        (r'\.norm([12])\.', r'.layer_norm\1.'),
        (r'attn\.proj\.', 'self_attn.out_proj.'),
    )
    renamed = rename(split(weights, tuple(f'self_attn.{part}_proj' for part in 'qkv')), *rules)
    return {name: x[0] if name.endswith('position_embedding.weight') else x for name, x in renamed.items()}


def openai(weights):
    rules = (
        ('^cls_token$', 'class_embedding'),
        ('^pos_embed$', 'positional_embedding'),
        (r'^patch_embed\.proj\.', 'conv1.'),
        (r'^norm_pre\.', 'ln_pre.'),
        (r'^norm\.', 'ln_post.'),
        (r'^blocks\.', 'transformer.resblocks.'),
        (r'\.norm([12])\.', r'.ln_\1.'),
        (r'attn\.qkv\.', 'attn.in_proj_'),
        (r'attn\.proj\.', 'attn.out_proj.'),
        (r'mlp\.fc1\.', 'mlp.c_fc.'),
        (r'mlp\.fc2\.', 'mlp.c_proj.'),
    )
    renamed = rename(weights, *rules)
    return {name: x[0] if name == 'positional_embedding' else x for name, x in renamed.items()}


def transformers_sam(weights):
    rules = (
        (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
        (r'^blocks\.', 'layers.'),
        (r'\.norm([12])\.', r'.layer_norm\1.'),
        (r'mlp\.fc', 'mlp.lin'),
    )
    return as_map(rename(weights, *rules))


def mmpretrain(weights):
    rules = (
        (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
        (r'^norm_pre\.', 'pre_norm.'),
        (r'^norm\.', 'ln1.'),
        (r'^(blocks\.\d+)\.norm([12])\.', r'\1.ln\2.'),
        (r'mlp\.fc1\.', 'ffn.layers.0.0.'),
        (r'mlp\.fc2\.', 'ffn.layers.1.'),
        (r'mlp\.w', 'ffn.w'),
        (r'^blocks\.', 'layers.'),
    )
    if any(name.endswith('relative_position_bias_table') for name in weights):
        return rename(fused_beit(weights), *rules, (r'ls([12])\.gamma', r'gamma_\1'))
    if 'blocks.0.attn.rel_pos_h' in weights:
        return {
            name: x.unflatten(1, (4, 4)) if name == 'pos_embed' else x for name, x in rename(weights, *rules).items()
        }
    attention = ((r'attn\.qkv\.', 'attn.attn.in_proj_'), (r'attn\.proj\.', 'attn.attn.out_proj.'))
    gains = ((r'ls1\.gamma', 'attn.gamma1.weight'), (r'ls2\.gamma', 'ffn.gamma2.weight'))
    return rename(weights, *attention, *gains, *rules)


def flax(weights):
    rules = (
        (r'^patch_embed\.proj\.', 'embedding/'),
        (r'^cls_token$', 'cls'),
        (r'^pos_embed$', 'Transformer/posembed_input/pos_embedding'),
        (r'^norm\.', 'Transformer/encoder_norm/'),
        (r'^blocks\.(\d+)\.', r'Transformer/encoderblock_\1/'),
        (r'norm1\.', 'LayerNorm_0/'),
        (r'norm2\.', 'LayerNorm_2/'),
        (r'attn\.proj\.', 'MultiHeadDotProductAttention_1/out/'),
        (r'mlp\.fc1\.', 'MlpBlock_3/Dense_0/'),
        (r'mlp\.fc2\.', 'MlpBlock_3/Dense_1/'),
        (r'((?:n|N)orm_?\d?/)weight$', r'\1scale'),
        (r'weight$', 'kernel'),
    )
    parts = tuple(f'MultiHeadDotProductAttention_1/{part}' for part in ('query', 'key', 'value'))
    renamed = rename(split(weights, parts), (r'(query|key|value)\.', r'\1/'), *rules)
    found = {}
    for name, x in renamed.items():
        if name == 'embedding/kernel':
            x = x.permute(2, 3, 1, 0)
        elif name.endswith(('query/kernel', 'key/kernel', 'value/kernel')):
            x = x.T.unflatten(1, (3, 64))
        elif name.endswith(('query/bias', 'key/bias', 'value/bias')):
            x = x.unflatten(0, (3, 64))
        elif name.endswith('out/kernel'):
            x = x.T.unflatten(0, (3, 64))
        elif name.endswith('kernel'):
            x = x.T
        found[name] = x
    return found


def linear_patches(weight):
    return weight.permute(0, 2, 3, 1).flatten(1)


def transformers_naflex(weights):
    name = 'embeddings.patch_embedding.weight'
    weights = transformers_clip(weights)
    return {**weights, name: linear_patches(weights[name])}


def timm_naflex(weights):
    weights = rename(weights, (r'^patch_embed\.', 'embeds.'), ('^pos_embed', 'embeds.pos_embed'))
    table = weights['embeds.pos_embed'].unflatten(1, (4, 4))
    return {
        **{f'visual.trunk.{name}': x for name, x in weights.items()},
        'visual.trunk.embeds.proj.weight': linear_patches(weights['embeds.proj.weight']),
        'visual.trunk.embeds.pos_embed': table,
        'visual.trunk.attn_pool.latent': torch.zeros(1, 1, 192),
    }


def flax_naflex(weights):
    found = {name.replace('Transformer/posembed_input/', ''): x for name, x in flax(weights).items()}
    kernel = found['embedding/kernel'].flatten(0, 2)
    return {**found, 'embedding/kernel': kernel, 'pos_embedding': found['pos_embedding'][0].unflatten(0, (4, 4))}


def openvision(weights):
    table = sincos_position_table((4, 4), 192, 'sincos_bv')
    weights = openai({**weights, 'pos_embed': torch.cat([torch.zeros(1, 1, 192), table], dim=1)})
    return {f'visual.{name}': x for name, x in weights.items()}


def split_gate(weights, gate, value):
    """The two halves of gated networks under names of their own."""
    found = {}
    for name, x in weights.items():
        if '.mlp.w12.' in name:
            found[name.replace('w12', gate)], found[name.replace('w12', value)] = x.chunk(2)
        else:
            found[name] = x
    return found


def official_aimv2(weights):
    rules = (
        (r'^patch_embed\.', 'preprocessor.patchifier.'),
        ('^pos_embed$', 'preprocessor.pos_embed'),
        (r'^norm\.', 'trunk.post_trunk_norm.'),
        (r'^blocks\.', 'trunk.blocks.'),
        (r'\.norm([12])\.', r'.norm_\1.'),
        (r'\.w3\.', '.fc2.'),
    )
    renamed = rename(split_gate(weights, 'fc1', 'fc3'), *rules)
    return {f'image_encoder.{name}': x for name, x in renamed.items()}


def timm_aimv2(weights):
    return rename(split_gate(weights, 'fc1_g', 'fc1_x'), (r'\.w3\.', '.fc2.'))


def transformers_aimv2(weights):
    rules = (
        (r'^patch_embed\.proj\.', 'embeddings.patch_embed.'),
        (r'^patch_embed\.norm\.', 'embeddings.rms_norm.'),
        ('^pos_embed$', 'embeddings.position_embedding.weight'),
        (r'^norm\.', 'rms_norm.'),
        (r'^blocks\.', 'encoder.layers.'),
        (r'\.norm([12])\.', r'.rms_norm\1.'),
        (r'attn\.proj\.', 'attention.out_proj.'),
        (r'\.mlp\.(gate|value|w3)\.', lambda match: f'.ffn.{DOWN[match[1]]}_proj.'),
    )
    weights = split_gate(split(weights, tuple(f'attention.{part}_proj' for part in 'qkv')), 'gate', 'value')
    renamed = rename(weights, *rules)
    return {f'vision_model.{n}': x[0] if n.endswith('position_embedding.weight') else x for n, x in renamed.items()}


def official_mae_lite(weights):
    """The student of a distillation beside its teacher."""
    student = {**weights, 'decoder_embed.weight': torch.zeros(96, 192), 'mask_token': torch.zeros(1, 1, 96)}
    teacher = {name: torch.zeros(1) for name in weights}
    return {**{f'model.{n}': x for n, x in student.items()}, **{f'tch_model.{n}': x for n, x in teacher.items()}}


def official_ccvit(weights):
    return {**timm(weights), 'cls_pt_lm_head.weight': torch.zeros(192, 192), **MASK}


def beside(**others):
    return lambda weights: {**weights, **others}


DOWN = {'gate': 'gate', 'value': 'up', 'w3': 'down'}
MASK = {'mask_token': torch.zeros(1, 192)}
RADIO, PE_CORE = ('c-radiov3', 'c-radiov4'), ('pe-core',)
LAYOUTS = {
    'timm': (timm, (*PLAIN, 'deit3', *BEIT, 'dinov2-reg', 'tips', 'sam', *CLIP, 'siglip', 'siglip2')),
    'official': (beside(**MASK), ('dinov2', 'dinov2-reg', 'tips')),
    'official DINOv3': (official_dinov3, ('dinov3', 'lingbot-vision')),
    'official RADIO': (official_radio, RADIO),
    'timm RADIO': (lambda weights: rename(weights, ('^register_tokens$', 'reg_token')), RADIO),
    'timm RADIO of any size': (naflex_radio, RADIO),
    'transformers RADIO': (transformers_radio, RADIO),
    'official Perception Encoder': (official_pe, ('pe-lang', 'pe-spatial')),
    'official PE-core': (official_pe_core, PE_CORE),
    'timm Perception Encoder': (timm_pe, ('pe-lang', 'pe-spatial')),
    'timm PE-core': (timm_pe_core, PE_CORE),
    'official ECViT': (official_ecvit, ('ecvit',)),
    'official SAM 3': (official_sam3, ('sam3',)),
    'transformers SAM 3': (transformers_sam3, ('sam3',)),
    'official EVA-02': (official_eva02, ('eva02',)),
    'official ResFormer': (
        lambda weights: rename(weights, (r'^sine_conv\.conv', 'pos_embed.embed_layer'), ('value_conv', 'get_v')),
        ('resformer',),
    ),
    'official SimMIM': (
        lambda weights: {f'encoder.{n}': x for n, x in timm(weights).items()} | {'decoder.0.weight': torch.zeros(1)},
        ('simmim',),
    ),
    'official MAE-Lite': (official_mae_lite, ('mae-lite',)),
    'official CCViT': (official_ccvit, ('ccvit',)),
    'official AIMv2': (official_aimv2, ('aimv2', 'aimv2-native')),
    'timm AIMv2': (timm_aimv2, ('aimv2',)),
    'transformers AIMv2': (transformers_aimv2, ('aimv2', 'aimv2-native')),
    'transformers NaFlex': (transformers_naflex, ('siglip2-naflex',)),
    'timm NaFlex': (timm_naflex, ('siglip2-naflex',)),
    'Flax NaFlex': (flax_naflex, ('siglip2-naflex',)),
    'official OpenVision': (openvision, ('openvision',)),
    'OpenCLIP': (openai, CLIP),
    'transformers': (transformers_vit, (*PLAIN, 'mae-lite', *BEIT, 'dinov2', 'dinov2-reg', 'tips')),
    'transformers DINOv3': (transformers_dinov3, ('dinov3', 'lingbot-vision')),
    'transformers CLIP': (transformers_clip, (*CLIP, 'siglip', 'siglip2')),
    'transformers SAM': (transformers_sam, ('sam',)),
    'Flax': (flax, ('augreg', 'siglip', 'siglip2', 'big-vision')),
    'mmpretrain': (mmpretrain, (*PLAIN, 'deit3', *BEIT, 'a2mim', 'dinov2', 'sam', *CLIP)),
}
CASES = [(family, layout) for layout, (_, families) in LAYOUTS.items() for family in families]


@pytest.mark.parametrize(('family', 'layout'), CASES, ids=[f'{family}-{layout}' for family, layout in CASES])
def test_layout_of_a_family(family, layout):
    """What a file does not determine is a guess, which the family settles; all else is as in the table."""
    model = reference(family)
    weights = LAYOUTS[layout][0](dict(model.state_dict()))
    form = detect(weights)
    assert family in form.families(weights)
    options = PRETRAININGS[family].options
    guesses = describe(form, weights).guesses
    # Weights that no width of the table has do not determine heads, windows are a guess in SAM of one size.
    absent = {'act': 'gelu', 'norm_eps': 1e-6, 'num_heads': model.num_heads, 'pos_embed': 'absolute'}
    absent |= {'pos_resize': None, 'window_size': options.get('window_size', 14)}
    assert guesses.keys() <= absent.keys()
    settled = {key: options.get(key, absent[key]) for key in guesses}
    described = describe(form, weights, settled)
    assert described.guesses == {}
    told = described.options
    defaults = {'act': 'gelu', 'norm_eps': 1e-6, 'rope': None, 'qkv_bias': True, 'num_heads': model.num_heads}
    defaults['pos_embed'] = 'absolute'
    if model.pos_embed is not None:
        defaults['pos_resize'] = None
    for key, default in defaults.items():
        assert told.get(key, default) == options.get(key, default)
    assert told.get('final_norm') == options.get('final_norm', 'last')
    ours = PlainViT(**told).eval()
    ours.load_state_dict({n: x for n, x in form.converted(weights, 3).items() if n in ours.state_dict()})
    image = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        (expected,), (got,) = model(image), ours(image)
    assert torch.allclose(got, expected, atol=1e-5 * expected.std().item())
    check_written(weights, model.num_heads)


def check_written(weights, num_heads):
    """What is converted is read again, whatever is beside the ViT."""
    written = convert_read(weights, 'file', options={'num_heads': num_heads}).weights
    written.update({'mask_token': torch.zeros(1, 192), 'head.weight': torch.zeros(3, 192)})
    read = detect(written).converted(written, num_heads)
    assert all(torch.equal(read[name], tensor) for name, tensor in written.items())


def test_every_family_has_a_layout():
    """MoCo v3 has fixed positions, which make it known: see `test_heads_of_moco_v3_small`; SoftCon takes bands."""
    assert {family for family, _ in CASES} == set(PRETRAININGS) - {'mocov3', 'softcon'}


@pytest.mark.parametrize('arch', ['base', 'large'])
def test_simmim_fine_tuned(arch):
    """Without its decoder, and with tables in the blocks, it has the names and the size of BEiT's base model."""
    with torch.device('meta'):
        model = PlainViT(arch, with_cls_token=True, pos_embed=None, rel_pos='bias', layer_scale_init=0.1)
        weights = timm(rename(model.state_dict(), (r'^norm\.', 'fc_norm.')))
    assert detect(weights).name == 'BEiT'
    assert ('simmim' in detect(weights).families(weights)) == (arch == 'base')


@pytest.mark.parametrize('tables', [False, True])
def test_mae_lite_fine_tuned(tables):
    """Nothing but its size and the norm of the mean says that its heads are twelve; with tables these do."""
    options = {'rel_pos': 'bias', 'qkv_bias': 'qv'} if tables else {}
    with torch.device('meta'):
        model = PlainViT('tiny', num_heads=12, with_cls_token=True, final_norm='last', **options)
        weights = rename(model.state_dict(), (r'^norm\.', 'fc_norm.'))
        weights = fused_beit(weights) if tables else weights
    form = detect(weights)
    assert form.families(weights)[0] == 'mae-lite'
    found = describe(form, weights).options
    assert found['num_heads'] == 12
    assert found.get('qkv_bias', True) == options.get('qkv_bias', True)
    with torch.device('meta'):
        assert PlainViT(**found).state_dict().keys() == form.convert(weights).keys()
