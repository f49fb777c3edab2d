"""Every family of the table in every layout that there is of it gives the options and the features of its preset.

The names of the layouts are held against the libraries by ``tests/fidelity``; here they are written from ours.
"""

import pytest
import torch

from mmvitdense.checkpoints import detect
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.layers import half_pairing
from mmvitdense.models import PlainViT
from mmvitdense.pretrainings import PRETRAININGS
from tests.fidelity.agreement import redraw
from tests.fidelity.pretraining import rename

PLAIN = ('mae', 'deit', 'augreg', 'dino', 'ibot')
BEIT = ('beit', 'beitv2')
# A width that is not in the table has no options of its own. Heads are those of published models of this width.
SMALL = {'embed_dims': 192, 'num_layers': 2, 'num_heads': 3, 'feedforward_channels': 96, 'patch_size': 8}


def reference(family):
    """A small model with the options of the family, all parameters drawn anew."""
    options = {**PRETRAININGS[family].options, **SMALL, 'pretrain_img_size': 32, 'img_size': 32}
    options.setdefault('final_norm', 'last')
    if options.get('stem'):  # its patches have one size
        options['patch_size'] = 16
    if 'layer_scale_init' in next(iter(PRETRAININGS[family].sizes.values())):
        options['layer_scale_init'] = 0.1
    model = redraw(PlainViT(**options)).eval()
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


def beside(**others):
    return lambda weights: {**weights, **others}


MASK = {'mask_token': torch.zeros(1, 192)}
RADIO, PE_CORE = ('c-radiov3', 'c-radiov4'), ('pe-core',)
LAYOUTS = {
    'timm': (timm, (*PLAIN, 'deit3', *BEIT, 'dinov2-reg', 'tips', 'sam', 'clip', 'openclip', 'siglip')),
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
    'OpenCLIP': (openai, ('clip', 'openclip')),
    'transformers': (transformers_vit, (*PLAIN, *BEIT, 'dinov2', 'dinov2-reg', 'tips')),
    'transformers DINOv3': (transformers_dinov3, ('dinov3', 'lingbot-vision')),
    'transformers CLIP': (transformers_clip, ('clip', 'openclip', 'siglip')),
    'transformers SAM': (transformers_sam, ('sam',)),
    'Flax': (flax, ('augreg', 'siglip')),
    'mmpretrain': (mmpretrain, (*PLAIN, 'deit3', *BEIT, 'dinov2', 'sam', 'clip', 'openclip')),
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
    windows = options.get('window_size', 14)
    absent = {'pos_resize': None, 'act': 'gelu', 'norm_eps': 1e-6, 'num_heads': 3, 'window_size': windows}
    assert guesses.keys() <= absent.keys()
    settled = {key: options.get(key, absent[key]) for key in guesses}
    described = describe(form, weights, settled)
    assert described.guesses == {}
    told = described.options
    for key, default in (('pos_resize', None), ('act', 'gelu'), ('norm_eps', 1e-6), ('rope', None), ('qkv_bias', True)):
        assert told.get(key, default) == options.get(key, default)
    assert told.get('final_norm') == options.get('final_norm', 'last')
    ours = PlainViT(**told).eval()
    ours.load_state_dict({n: x for n, x in form.converted(weights, 3).items() if n in ours.state_dict()})
    image = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        (expected,), (got,) = model(image), ours(image)
    assert torch.allclose(got, expected, atol=1e-5 * expected.std().item())


def test_every_family_has_a_layout():
    """MoCo v3 has fixed positions, which make it known: see ``test_heads_of_moco_v3_small``."""
    assert {family for family, _ in CASES} == set(PRETRAININGS) - {'mocov3'}
