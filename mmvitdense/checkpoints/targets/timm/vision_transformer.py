"""timm's `VisionTransformer`: a class token or none, registers, LayerScale, packed gated networks, a first norm."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import ANY, Code, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import with_patch_bias, without_class_row

from .arguments import ACTIVATIONS, OPENS, SMOOTH, common

_GATED = ((r'\.mlp\.w12\.', '.mlp.fc1.'), (r'\.mlp\.w3\.', '.mlp.fc2.'))
_TOKENS = ((r'^register_tokens$', 'reg_token'),)


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of the constructor."""
    found = {
        **common(options),
        'qkv_bias': options['qkv_bias'] is not False,
        'class_token': options['with_cls_token'],
        'global_pool': 'token' if options['with_cls_token'] else 'avg',
        'fc_norm': False,
        'no_embed_class': _leaves_class_row(options) or not options['with_cls_token'],
        'reg_tokens': options['num_registers'],
        'pre_norm': options['pre_norm'],
        'final_norm': options['final_norm'] is not None,
        'act_layer': ACTIVATIONS[options['act']],
        'dynamic_img_size': True,
    }
    if options['ffn'] == 'swiglu':
        packed = {**options, 'feedforward_channels': 2 * options['feedforward_channels']}
        found.update(
            mlp_ratio=common(packed)['mlp_ratio'],
            mlp_layer=Code('timm.layers.SwiGLUPacked'),
            act_layer=Code('torch.nn.SiLU'),
        )
    return found


def _leaves_class_row(options: Options) -> bool:
    """timm has no position of the class token beside registers."""
    return bool(options['num_registers']) or not options['pos_embed_cls_slot']


def write(weights: Weights, options: Options) -> Weights:
    """Rename; positions of the class token are added to it where timm has no row for them."""
    if _leaves_class_row(options) or not options['with_cls_token']:
        weights = without_class_row(weights, options)
    if not options['pre_norm']:
        weights = with_patch_bias(weights)
    return rename(weights, (*_TOKENS, *(_GATED if options['ffn'] == 'swiglu' else ())))


def refuses(weights: Weights, options: Options) -> str | None:
    """A bias of the patch embedding beside a first norm."""
    if options['pre_norm'] and options['patch_bias']:
        return 'has no bias of the patch embedding beside a norm before the blocks (pre_norm)'
    return None


TARGET = Target(
    name='VisionTransformer',
    first=True,
    library='timm',
    about=__doc__,
    expresses={
        'pos_embed': ('absolute',),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': ANY,
        'num_registers': ANY,
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'ffn': ('mlp', 'swiglu'),
        'act': tuple(ACTIVATIONS),
        'layer_scale_init': ANY,
        'pre_norm': ANY,
        'final_norm': ANY,
        'norm_eps': ANY,
    },
    entry='vit_base_patch16_224',
    arguments=arguments,
    write=write,
    read_by=('timm ViT', 'DINOv2', 'TIPS'),
    pos_resize=SMOOTH,
    refuses=refuses,
    opens=OPENS,
)
