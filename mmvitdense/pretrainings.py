"""What published pre-trainings computed: one table, which presets, checkpoint formats, configs and docs read.

A family is a set of weights that compute the same function up to their sizes. Which family a file is of, a format says
(`mmvitdense.checkpoints.formats`); what that means is written here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

ARCHITECTURES = {
    # name: embed_dims, num_layers, num_heads, feedforward_channels
    'tiny': (192, 12, 3, 768),
    'small': (384, 12, 6, 1536),
    'base': (768, 12, 12, 3072),
    'large': (1024, 24, 16, 4096),
    'huge': (1280, 32, 16, 5120),
    'giant': (1408, 40, 16, 6144),
    'gigantic': (1664, 48, 16, 8192),
}
"""{name of an architecture: its sizes}."""

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
HALF = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
OPENAI = ((122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.3231626))
UNIT = ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
STRETCHED = ((0.0,), (255.0,))


@dataclass(frozen=True)
class Bands:
    """The channels of images that are not RGB, and their statistics in the data set of the pre-training.

    Attributes:
        names: In the order that the weights have them.
        mean: Of each, in the unit of the data set, for `StretchBands`.
        std: The deviation of each.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


# Of SSL4EO-S12 (zhu-xlab/SSL4EO-S12): top of the atmosphere in reflectance x 10000, and backscatter in decibel.
SENTINEL_2 = Bands(
    ('B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B9', 'B10', 'B11', 'B12'),
    (1612.9, 1397.6, 1322.3, 1373.1, 1561.0, 2108.4, 2390.7, 2318.7, 2581.0, 837.7, 22.0, 2195.2, 1537.4),
    (791.0, 854.3, 878.7, 1144.9, 1127.5, 1164.2, 1276.0, 1249.5, 1345.9, 577.5, 47.5, 1340.0, 1142.9),
)
SENTINEL_1 = Bands(('VV', 'VH'), (-12.59, -20.26), (5.26, 5.91))


@dataclass(frozen=True)
class Pretraining:
    """A family of pre-trained ViTs.

    Attributes:
        options: Options of `PlainViT` that all sizes have in common: tokens, positions and their rule of resizing,
            norms, activation.
        sizes: {name of a size: its own options}, which win over the common ones.
        pixels: Mean and standard deviation of the pixels, RGB in 0..255, for `data_preprocessor`; one number for all
            channels of images that are not RGB.
        licence: That of the published weights.
        source: Where they come from, owner/name on GitHub.
        checked_against: Implementations of others whose features `tests/fidelity` compares with ours.
        bands: {number of channels: what they are}, for images that are not RGB.
    """

    options: Mapping[str, Any]
    sizes: Mapping[str, Mapping[str, Any]]
    pixels: tuple[tuple[float, ...], tuple[float, ...]]
    licence: str
    source: str
    checked_against: tuple[str, ...] = ()
    bands: Mapping[int, Bands] = field(default_factory=dict)

    def of_size(self, size: str) -> dict[str, Any]:
        """All options of a size."""
        return {'patch_size': 16, 'pretrain_img_size': 224, **self.options, **self.sizes[size]}


def _archs(*names: str, **options: Any) -> dict[str, dict[str, Any]]:
    return {name: {'arch': name, **options} for name in names}


def _at_sides(name: str, options: dict[str, Any], first: int, *others: int) -> dict[str, dict[str, Any]]:
    """One size at several sides of the image, which all but the first have in their names."""
    names = {name: first, **{f'{name}-{side}': side for side in others}}
    return {name: {**options, 'pretrain_img_size': side} for name, side in names.items()}


_CLS = {'with_cls_token': True}
# The rule that timm and OpenCLIP resize positions by.
_SMOOTH = {'pos_resize': {'antialias': True}}
_SCALED = {'pos_resize': {'by': 'scale'}}
_BEIT = {**_CLS, 'pos_embed': None, 'rel_pos': 'bias', 'qkv_bias': 'qv'}
_DINOV2 = {**_CLS, 'patch_size': 14, 'pretrain_img_size': 518, 'layer_scale_init': 1e-5, 'final_norm': 'all'}
_CLIP = {**_CLS, **_SMOOTH, 'patch_bias': False, 'pre_norm': True, 'norm_eps': 1e-5}
_GIANT = {'embed_dims': 1536, 'num_layers': 40, 'num_heads': 24, 'feedforward_channels': 4096, 'ffn': 'swiglu'}
_GIANT_OF_SIGLIP = {'embed_dims': 1536, 'num_layers': 40, 'num_heads': 16, 'feedforward_channels': 6144}
_AIMV2 = {
    'patch_size': 14,
    'patch_norm': True,
    'norm': 'rms',
    'norm_eps': 1e-5,
    'qkv_bias': False,
    'proj_bias': False,
    'ffn_bias': False,
    'ffn': 'swiglu',
}
_LARGE_OF_AIMV2 = {'embed_dims': 1024, 'num_layers': 24, 'num_heads': 8, 'feedforward_channels': 2816}
_HUGE_OF_AIMV2 = {'embed_dims': 1536, 'num_layers': 24, 'num_heads': 12, 'feedforward_channels': 4096}
_1B_OF_AIMV2 = {'embed_dims': 2048, 'num_layers': 24, 'num_heads': 16, 'feedforward_channels': 5632}
_3B_OF_AIMV2 = {'embed_dims': 3072, 'num_layers': 24, 'num_heads': 24, 'feedforward_channels': 8192}
_SMALL_OF_A2MIM = {'embed_dims': 768, 'num_layers': 8, 'num_heads': 8, 'feedforward_channels': 2304}
_SO400M = {'embed_dims': 1152, 'num_layers': 27, 'num_heads': 16, 'feedforward_channels': 4304}
_DINOV3 = {
    **_CLS,
    'num_registers': 4,
    'pos_embed': None,
    'rope': {'kind': 'dinov3'},
    'qkv_bias': 'qv',
    'layer_scale_init': 1e-5,
    'norm_eps': 1e-5,
    'final_norm': 'all',
}
_RADIO = {
    **_CLS,
    'pretrain_img_size': 2048,
    'pos_embed_cls_slot': False,
    'pos_resize': {'mode': 'bilinear', 'square': True},
    'final_norm': None,
}
_RADIO_ALIGNED = {**_RADIO['pos_resize'], 'align_corners': True}
_PE = {
    **_CLS,
    'patch_bias': False,
    'pos_resize': {'mode': 'bilinear'},
    'rope': {'kind': 'axial', 'offset': 1},
    'pre_norm': True,
    'norm_eps': 1e-5,
    'final_norm': None,
}
_PE_GIGANTIC = {
    'embed_dims': 1536,
    'num_layers': 50,
    'num_heads': 16,
    'feedforward_channels': 8960,
    'patch_size': 14,
    'pretrain_img_size': 448,
    'with_cls_token': False,
    'rope': {'kind': 'axial'},
}
_SEVEN_BILLION = {'embed_dims': 4096, 'num_layers': 40, 'num_heads': 32, 'feedforward_channels': 8192, 'ffn': 'swiglu'}

PRETRAININGS: Mapping[str, Pretraining] = MappingProxyType(
    {
        'mae': Pretraining(
            _CLS,
            {**_archs('base', 'large'), **_archs('huge', patch_size=14)},
            IMAGENET,
            'CC-BY-NC-4.0',
            'facebookresearch/mae',
            checked_against=('timm', 'transformers', 'mmpretrain'),
        ),
        # With narrow heads, and a decoder of one block.
        'mae-lite': Pretraining(
            _CLS,
            _archs('tiny', num_heads=12),
            IMAGENET,
            'Apache-2.0',
            'wangsr126/mae-lite',
            checked_against=('the official code', 'transformers'),
        ),
        'deit': Pretraining(
            _CLS,
            _archs('tiny', 'small', 'base'),
            IMAGENET,
            'Apache-2.0',
            'facebookresearch/deit',
            checked_against=('timm', 'transformers', 'mmpretrain'),
        ),
        # These two are pre-trained on drawn shapes, without a photograph; ExFractalDB comes with RCDB.
        'visualatom': Pretraining(
            _CLS,
            _archs('tiny', 'base'),
            IMAGENET,
            'MIT',
            'masora1030/CVPR2023-FDSL-on-VisualAtom',
            checked_against=('timm',),
        ),
        'exfractaldb': Pretraining(
            _CLS,
            _archs('base'),
            IMAGENET,
            'MIT',
            'masora1030/CVPR2022-Pretrained-ViT-PyTorch',
            checked_against=('timm',),
        ),
        'deit3': Pretraining(
            {**_CLS, 'pos_embed_cls_slot': False, 'layer_scale_init': 1e-6},
            {**_archs('small', 'base', 'large'), **_archs('huge', patch_size=14)},
            IMAGENET,
            'Apache-2.0',
            'facebookresearch/deit',
            checked_against=('timm',),
        ),
        # Trained and fine-tuned with Flax, whose GELU is by default the one approximated by tanh
        # (`vit_jax/models_vit.py`, `jax.nn.gelu`). timm and transformers compute the exact one with the same
        # weights, up to 5e-4 away in each activation.
        'augreg': Pretraining(
            {**_CLS, **_SMOOTH, 'act': 'gelu_tanh'},
            _archs('tiny', 'small', 'base', 'large'),
            HALF,
            'Apache-2.0',
            'google-research/vision_transformer',
            checked_against=('timm', 'transformers'),
        ),
        'dino': Pretraining(
            {**_CLS, **_SCALED},
            _archs('small', 'base'),
            IMAGENET,
            'Apache-2.0',
            'facebookresearch/dino',
            checked_against=('timm',),
        ),
        'ibot': Pretraining(
            {**_CLS, **_SCALED},
            _archs('small', 'base', 'large'),
            IMAGENET,
            'Apache-2.0',
            'bytedance/ibot',
            checked_against=('timm',),
        ),
        'mocov3': Pretraining(
            _CLS,
            {**_archs('small', num_heads=12), **_archs('base')},
            IMAGENET,
            'CC-BY-NC-4.0',
            'facebookresearch/moco-v3',
            checked_against=('the official code', 'timm'),
        ),
        'resformer': Pretraining(
            {**_CLS, 'pos_embed': 'sine_conv', 'value_conv': 3},
            _archs('tiny', 'small', 'base'),
            IMAGENET,
            'MIT',
            'ruitian12/resformer',
            checked_against=('the official code',),
        ),
        'simmim': Pretraining(
            {**_BEIT, 'rel_pos': 'bias_shared', 'layer_scale_init': 0.1},
            _archs('base'),
            IMAGENET,
            'MIT',
            'microsoft/SimMIM',
            checked_against=('the official code', 'timm', 'mmpretrain'),
        ),
        'beit': Pretraining(
            _BEIT,
            {**_archs('base', layer_scale_init=0.1), **_archs('large', layer_scale_init=1e-5)},
            HALF,
            'MIT',
            'microsoft/unilm',
            checked_against=('timm', 'transformers', 'mmpretrain'),
        ),
        'beitv2': Pretraining(
            _BEIT,
            {**_archs('base', layer_scale_init=0.1), **_archs('large', layer_scale_init=1e-5)},
            IMAGENET,
            'MIT',
            'microsoft/unilm',
            checked_against=('timm', 'transformers', 'mmpretrain'),
        ),
        'ccvit': Pretraining(
            _BEIT,
            {**_archs('base', layer_scale_init=0.1), **_archs('large', layer_scale_init=1e-5)},
            IMAGENET,
            'none stated',
            'Cakeyan/CCViT_Public',
            checked_against=('the official code',),
        ),
        # Also the SimMIM of OpenMixup. 'small' is as wide as 'base' and less deep.
        'a2mim': Pretraining(
            {**_BEIT, 'pos_embed': 'absolute', 'layer_scale_init': 0.1},
            {**_archs('base', 'large'), 'small': _SMALL_OF_A2MIM},
            IMAGENET,
            'Apache-2.0',
            'Westlake-AI/A2MIM',
            checked_against=('the official code',),
        ),
        'dinov2': Pretraining(
            {**_DINOV2, **_SCALED},
            {**_archs('small', 'base', 'large'), 'giant': _GIANT},
            IMAGENET,
            'Apache-2.0',
            'facebookresearch/dinov2',
            checked_against=('timm', 'transformers', 'mmpretrain'),
        ),
        'dinov2-reg': Pretraining(
            {**_DINOV2, **_SMOOTH, 'num_registers': 4},
            {**_archs('small', 'base', 'large'), 'giant': _GIANT},
            IMAGENET,
            'Apache-2.0',
            'facebookresearch/dinov2',
            checked_against=('timm', 'transformers'),
        ),
        # DINOv2 trained further on the bands of satellites: Sentinel-2, and the radar of Sentinel-1.
        'softcon': Pretraining(
            {**_DINOV2, **_SCALED, 'pretrain_img_size': 224},
            {
                f'{arch}-{satellite}': {'arch': arch, 'in_channels': channels}
                for satellite, channels in (('s2', 13), ('s1', 2))
                for arch in ('small', 'base')
            },
            STRETCHED,
            'Apache-2.0',
            'zhu-xlab/softcon',
            checked_against=('timm',),
            bands=MappingProxyType({13: SENTINEL_2, 2: SENTINEL_1}),
        ),
        # Its second class token is a register: nothing reads it, and it has no position.
        'tips': Pretraining(
            {
                **_DINOV2,
                'pos_resize': {'mode': 'bilinear', 'antialias': True},
                'num_registers': 1,
                'pretrain_img_size': 448,
                'layer_scale_init': 1.0,
            },
            {**_archs('small', 'base', 'large'), 'so400m': _SO400M, 'giant': _GIANT},
            UNIT,
            'Apache-2.0',
            'google-deepmind/tips',
            checked_against=('timm', 'transformers'),
        ),
        'dinov3': Pretraining(
            _DINOV3,
            {
                **_archs('small', 'base', 'large'),
                'small-plus': {'arch': 'small', 'ffn': 'swiglu'},
                'huge-plus': {'arch': 'huge', 'num_heads': 20, 'ffn': 'swiglu'},
                '7b': {**_SEVEN_BILLION, 'qkv_bias': False},
            },
            IMAGENET,
            'DINOv3 License',
            'facebookresearch/dinov3',
            checked_against=('timm', 'transformers'),
        ),
        # DINOv3's function, trained by others under a licence that is permissive.
        'lingbot-vision': Pretraining(
            {**_DINOV3, 'pretrain_img_size': 512},
            {**_archs('small', 'base', 'large'), 'giant': {**_GIANT, 'qkv_bias': False}},
            IMAGENET,
            'Apache-2.0',
            'Robbyant/lingbot-vision',
            checked_against=('timm',),
        ),
        # The published code of the base and huge model of version 3 aligns corners where it resizes positions, that of
        # the others does not.
        'c-radiov3': Pretraining(
            {**_RADIO, 'num_registers': 7},
            {
                **_archs('base', layer_scale_init=1e-5, pos_resize=_RADIO_ALIGNED),
                **_archs('large', layer_scale_init=1e-5),
                **_archs('huge', pos_resize=_RADIO_ALIGNED),
                'giant': {**_GIANT, 'feedforward_channels': 6144, 'ffn': 'mlp'},
            },
            OPENAI,
            'NVIDIA Open Model License',
            'NVlabs/RADIO',
            checked_against=('timm', 'transformers'),
        ),
        'c-radiov4': Pretraining(
            {**_RADIO, 'num_registers': 9},
            {'so400m': _SO400M, **_archs('huge')},
            OPENAI,
            'NVIDIA Open Model License',
            'NVlabs/RADIO',
            checked_against=('timm', 'transformers'),
        ),
        'pe-core': Pretraining(
            {**_PE, 'final_norm': 'last'},
            {
                **_archs('tiny', 'small', pretrain_img_size=384),
                **_archs('base'),
                **_archs('large', patch_size=14, pretrain_img_size=336),
                'gigantic': _PE_GIGANTIC,
            },
            HALF,
            'Apache-2.0',
            'facebookresearch/perception_models',
            checked_against=('timm', 'the official code'),
        ),
        'pe-lang': Pretraining(
            {**_PE, 'layer_scale_init': 0.1},
            {
                **_archs('large', num_layers=23, patch_size=14, pretrain_img_size=448),
                'gigantic': {**_PE_GIGANTIC, 'num_layers': 47},
            },
            HALF,
            'Apache-2.0',
            'facebookresearch/perception_models',
            checked_against=('timm', 'the official code'),
        ),
        'pe-spatial': Pretraining(
            _PE,
            {
                **_archs('tiny', 'small', 'base', pretrain_img_size=512),
                **_archs('large', patch_size=14, pretrain_img_size=448),
                'gigantic': {**_PE_GIGANTIC, 'layer_scale_init': 0.1},
            },
            HALF,
            'Apache-2.0',
            'facebookresearch/perception_models',
            checked_against=('timm', 'the official code'),
        ),
        # One register and no class token; upstream averages the maps of the last two blocks.
        'ecvit': Pretraining(
            {
                'num_registers': 1,
                'pos_embed': None,
                'rope': {'kind': 'dinov3'},
                'stem': {'kind': 'conv'},
                'pretrain_img_size': 640,
                'final_norm': None,
            },
            {
                **_archs('tiny'),
                'tiny-plus': {'embed_dims': 256, 'num_layers': 12, 'num_heads': 4, 'feedforward_channels': 1024},
                **_archs('small'),
                'small-plus': {'arch': 'small', 'feedforward_channels': 2304},
            },
            IMAGENET,
            'Apache-2.0',
            'Intellindust-AI-Lab/EdgeCrafter',
            checked_against=('the official code',),
        ),
        'sam': Pretraining(
            {'img_size': 1024, 'pretrain_img_size': 1024, 'window_size': 14, 'rel_pos': 'decomposed'},
            _archs('base', 'large', 'huge'),
            IMAGENET,
            'Apache-2.0',
            'facebookresearch/segment-anything',
            checked_against=('timm', 'transformers', 'mmpretrain'),
        ),
        # Windows of the grid of its positions, which repeat.
        'sam3': Pretraining(
            {
                'img_size': 1008,
                'pretrain_img_size': 336,
                'patch_size': 14,
                'patch_bias': False,
                'pos_resize': {'by': 'tile'},
                'rope': {'kind': 'axial', 'pretrain_grid': 24},
                'pre_norm': True,
                'norm_eps': 1e-5,
                'window_size': 24,
                'final_norm': None,
            },
            {'large-plus': {'embed_dims': 1024, 'num_layers': 32, 'num_heads': 16, 'feedforward_channels': 4736}},
            HALF,
            'SAM License',
            'facebookresearch/sam3',
            checked_against=('transformers',),
        ),
        'clip': Pretraining(
            {**_CLIP, 'act': 'quick_gelu'},
            {
                'base-patch16': {'arch': 'base'},
                'base-patch32': {'arch': 'base', 'patch_size': 32},
                'large-patch14': {'arch': 'large', 'patch_size': 14},
                'large-patch14-336': {'arch': 'large', 'patch_size': 14, 'pretrain_img_size': 336},
            },
            OPENAI,
            'MIT',
            'openai/CLIP',
            checked_against=('timm', 'transformers', 'mmpretrain'),
        ),
        'openclip': Pretraining(
            _CLIP,
            {
                'base-patch16': {'arch': 'base'},
                'base-patch32': {'arch': 'base', 'patch_size': 32},
                'large-patch14': {'arch': 'large', 'patch_size': 14},
                'huge-patch14': {'arch': 'huge', 'patch_size': 14},
                'giant-patch14': {'arch': 'giant', 'patch_size': 14},
                'gigantic-patch14': {'arch': 'gigantic', 'patch_size': 14},
            },
            OPENAI,
            'MIT',
            'mlfoundations/open_clip',
            checked_against=('timm', 'transformers'),
        ),
        'siglip': Pretraining(
            {'act': 'gelu_tanh'},
            {
                'base-patch16': {'arch': 'base'},
                'large-patch16': {'arch': 'large', 'pretrain_img_size': 256},
                'so400m-patch14': {**_SO400M, 'patch_size': 14, 'pretrain_img_size': 384},
                'giant-patch16': {**_GIANT_OF_SIGLIP, 'pretrain_img_size': 256},
            },
            HALF,
            'Apache-2.0',
            'google-research/big_vision',
            checked_against=('timm', 'transformers'),
        ),
        # The same function as SigLIP's, at more sizes. timm has the exact GELU for some of them; transformers and
        # big_vision the one approximated by tanh for all.
        'siglip2': Pretraining(
            {'act': 'gelu_tanh'},
            {
                'base-patch32': {'arch': 'base', 'patch_size': 32, 'pretrain_img_size': 256},
                **_at_sides('base-patch16', {'arch': 'base'}, 224, 256, 384, 512),
                **_at_sides('large-patch16', {'arch': 'large'}, 256, 384, 512),
                **_at_sides('so400m-patch14', {**_SO400M, 'patch_size': 14}, 224, 384),
                **_at_sides('so400m-patch16', _SO400M, 256, 384, 512),
                **_at_sides('giant-patch16', _GIANT_OF_SIGLIP, 256, 384),
            },
            HALF,
            'Apache-2.0',
            'google-research/big_vision',
            checked_against=('timm', 'transformers'),
        ),
        # Images keep their shape: the table is resized to the grid of each.
        'siglip2-naflex': Pretraining(
            {
                'act': 'gelu_tanh',
                'pos_resize': {'mode': 'bilinear', 'antialias': True},
                'pretrain_img_size': 256,
            },
            {'base-patch16': {'arch': 'base'}, 'so400m-patch16': _SO400M},
            HALF,
            'Apache-2.0',
            'google-research/big_vision',
            checked_against=('timm', 'transformers'),
        ),
        # Trained with images of one size each; timm's rule for others.
        'aimv2': Pretraining(
            {**_AIMV2, **_SMOOTH},
            {
                **_at_sides('large', _LARGE_OF_AIMV2, 224, 336, 448),
                **_at_sides('huge', _HUGE_OF_AIMV2, 224, 336, 448),
                **_at_sides('1b', _1B_OF_AIMV2, 224, 336, 448),
                **_at_sides('3b', _3B_OF_AIMV2, 224, 336, 448),
            },
            OPENAI,
            'Apple Sample Code License',
            'apple/ml-aim',
            checked_against=('the official code', 'timm', 'transformers'),
        ),
        'aimv2-native': Pretraining(
            {**_AIMV2, 'pos_embed': 'sincos_mae'},
            {'large': _LARGE_OF_AIMV2},
            OPENAI,
            'Apple Sample Code License',
            'apple/ml-aim',
            checked_against=('the official code', 'transformers'),
        ),
        # `pos_resize` is for pos_embed='absolute', with which the port to PyTorch resizes the table of the file.
        'openvision': Pretraining(
            {**_CLS, **_SMOOTH, 'pos_embed': 'sincos_bv', 'patch_bias': False},
            {
                **{
                    f'{arch}-patch{patch}': {'arch': arch, 'patch_size': patch}
                    for arch in ('tiny', 'small', 'base')
                    for patch in (16, 8)
                },
                **{f'{arch}-patch14': {'arch': arch, 'patch_size': 14} for arch in ('large', 'huge', 'giant')},
                'so400m-patch14': {**_SO400M, 'patch_size': 14},
            },
            IMAGENET,
            'Apache-2.0',
            'UCSC-VLAA/OpenVision',
            checked_against=('the official code', 'timm'),
        ),
        # Better plain ViT baselines (arXiv 2205.01580): neither a class token nor a table of positions.
        'big-vision': Pretraining(
            {'pos_embed': 'sincos_bv', 'act': 'gelu_tanh'},
            _archs('small'),
            HALF,
            'Apache-2.0',
            'google-research/big_vision',
            checked_against=('timm',),
        ),
        'datacomp': Pretraining(
            _CLIP,
            {
                'base-patch16': {'arch': 'base'},
                'base-patch32': {'arch': 'base', 'patch_size': 32},
                'base-patch32-256': {'arch': 'base', 'patch_size': 32, 'pretrain_img_size': 256},
                'large-patch14': {'arch': 'large', 'patch_size': 14},
            },
            OPENAI,
            'MIT',
            'mlfoundations/datacomp',
            checked_against=('timm', 'transformers'),
        ),
        'eva02': Pretraining(
            {**_CLS, 'patch_size': 14, 'rope': {'kind': 'eva02'}, 'qkv_bias': 'qv', 'ffn': 'swiglu'},
            {
                **_archs('tiny', feedforward_channels=512),
                **_archs('small', feedforward_channels=1024),
                **_archs('base', feedforward_channels=2048, ffn_norm=True),
                **_archs('large', feedforward_channels=2730, ffn_norm=True),
            },
            OPENAI,
            'MIT',
            'baaivision/EVA',
            checked_against=('timm', 'mmpretrain'),
        ),
    }
)
"""{family: what its pre-training computed}."""

PRESETS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        f'{family}-{size}': pretraining.of_size(size)
        for family, pretraining in PRETRAININGS.items()
        for size in pretraining.sizes
    }
)
"""{family-size, such as 'dinov2-base': options of `PlainViT` that compute what the pre-training computed}."""


def family_of(preset: str) -> str:
    """The family of a preset."""
    return next(name for name, table in PRETRAININGS.items() if preset in {f'{name}-{size}' for size in table.sizes})
