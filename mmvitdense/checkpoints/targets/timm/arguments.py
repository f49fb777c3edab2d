"""Arguments that the models of timm have in common."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.targets.contract import Code, Options
from mmvitdense.checkpoints.targets.parts import ratio

ACTIVATIONS = {'gelu': 'gelu', 'gelu_tanh': 'gelu_tanh', 'quick_gelu': 'quick_gelu'}
OPENS = 'timm.create_model({entry}, checkpoint_path={path}, {arguments})'
# The rule of timm wherever it resizes positions.
SMOOTH = {'by': 'size', 'antialias': True, 'mode': 'bicubic'}


def common(options: Options, size: str = 'pretrain_img_size') -> dict[str, Any]:
    """Sizes, and the epsilon of the norms; without a head.

    Args:
        options: All options.
        size: Which of them is the size of the image.
    """
    height, width = options[size]
    return {
        'img_size': height if height == width else (height, width),
        'patch_size': options['patch_size'],
        'in_chans': options['in_channels'],
        'num_classes': 0,
        'embed_dim': options['embed_dims'],
        'depth': options['num_layers'],
        'num_heads': options['num_heads'],
        'mlp_ratio': ratio(options),
        'norm_layer': Code(f'functools.partial(torch.nn.LayerNorm, eps={options["norm_eps"]!r})'),
        **({} if options['layer_scale_init'] is None else {'init_values': 1e-5}),
    }
