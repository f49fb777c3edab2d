"""The convolutional decoder of DPT on maps of a ViT, for segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmvitdense.layers import UpConv2d
from mmvitdense.option_types import Count
from mmvitdense.registry import MODELS

READOUTS = ('ignore', 'add', 'project')
_LEVELS = 4

Tap = Tensor | tuple[Tensor, Tensor]
"""A map, B x C x h x w, or a pair of it and the class token, B x C."""


class Reassemble(nn.Module):
    """Four maps of a ViT at one stride as a pyramid: class token, norm, width, and 4, 2, 1 and 1/2 times the size.

    Args:
        in_channels: Channels of each map.
        out_channels: Channels of each level.
        readout: What becomes of the class token: 'ignore'; 'add' to every place; 'project', a layer with GELU on each
            place and the token.
        norm_cfg: Norm of the maps, before they are brought to their width; None for none.
    """

    def __init__(
        self, in_channels: Sequence[int], out_channels: Sequence[int], readout: str, norm_cfg: dict | None = None
    ):
        super().__init__()
        self.readout = readout
        first, second, _, last = out_channels
        self.projects = nn.ModuleList(
            ConvModule(width, new_width, 1, act_cfg=None) for width, new_width in zip(in_channels, out_channels)
        )
        self.resize_layers = nn.ModuleList(
            [
                UpConv2d(first, first, 4),
                UpConv2d(second, second),
                nn.Identity(),
                nn.Conv2d(last, last, 3, stride=2, padding=1),
            ]
        )
        if readout == 'project':
            self.readout_projects = nn.ModuleList(
                nn.Sequential(nn.Linear(2 * width, width), nn.GELU()) for width in in_channels
            )
        self.batchnorm_layers = nn.ModuleList(
            build_norm_layer(norm_cfg, width)[1] if norm_cfg else nn.Identity() for width in in_channels
        )

    def forward(self, taps: Sequence[Tap]) -> list[Tensor]:
        """Make four maps with strides of 1/4, 1/2, 1 and 2 patches."""
        levels = []
        for index, tap in enumerate(taps):
            features = self.batchnorm_layers[index](self._read(index, tap))
            levels.append(self.resize_layers[index](self.projects[index](features)))
        return levels

    def _read(self, index: int, tap: Tap) -> Tensor:
        features, token = tap if isinstance(tap, tuple | list) else (tap, None)
        if self.readout == 'ignore':
            return features
        if token is None:
            raise ValueError(
                f'readout={self.readout!r} reads the class token, but the backbone gives maps alone: give it '
                "with_cls_token=True, or the head readout='ignore'."
            )
        if self.readout == 'add':
            return features + token[..., None, None]
        places = features.flatten(2).mT
        both = torch.cat([places, token[:, None].expand_as(places)], dim=-1)
        return self.readout_projects[index](both).mT.unflatten(2, features.shape[-2:])


class ResidualConvUnit(nn.Module):
    """Two 3 x 3 convolutions, each after a ReLU, around which the input is added."""

    def __init__(self, channels: int, norm_cfg: dict | None, bias: bool):
        super().__init__()
        layer = dict(padding=1, bias=bias, norm_cfg=norm_cfg, order=('act', 'conv', 'norm'), inplace=False)
        self.conv1 = ConvModule(channels, channels, 3, **layer)
        self.conv2 = ConvModule(channels, channels, 3, **layer)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv2(self.conv1(features))


class FusionBlock(nn.Module):
    """What was fused so far and the next finer level, at twice the size."""

    def __init__(self, channels: int, norm_cfg: dict | None, bias: bool, first: bool):
        super().__init__()
        self.project = ConvModule(channels, channels, 1, act_cfg=None)
        self.res_conv_unit1 = None if first else ResidualConvUnit(channels, norm_cfg, bias)
        self.res_conv_unit2 = ResidualConvUnit(channels, norm_cfg, bias)

    def forward(self, features: Tensor, finer: Tensor | None = None) -> Tensor:
        if finer is not None:
            if finer.shape[-2:] != features.shape[-2:]:
                finer = F.interpolate(finer, features.shape[-2:], mode='bilinear', align_corners=False)
            features = features + self.res_conv_unit1(finer)
        features = self.res_conv_unit2(features)
        return self.project(F.interpolate(features, scale_factor=2, mode='bilinear', align_corners=True))


class DPTDecoder(nn.Module):
    """Four maps of a ViT to one at 8 times their resolution (DPT, arXiv 2103.13413).

    Names of parameters are those of mmseg's `DPTHead` and of DINOv3 (`dinov3/eval/depth/models/dpt_head.py`).

    Args:
        in_channels: Channels of each map.
        post_channels: Channels of each level of the pyramid.
        channels: Channels of the decoder.
        readout: 'ignore', 'add' or 'project', see `Reassemble`.
        tap_norm_cfg: Norm of the maps before anything else (DINOv3); None for none.
        norm_cfg: Norm of the fusion and of the last convolution; None for none.
        fusion_bias: Whether convolutions of the fusion have a bias.
        project: Whether a 3 x 3 convolution with ReLU is at the end.
    """

    def __init__(
        self,
        in_channels: Sequence[Count],
        post_channels: Sequence[int],
        channels: Count = 256,
        readout: str = 'ignore',
        tap_norm_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        fusion_bias: bool = False,
        project: bool = True,
    ):
        super().__init__()
        if readout not in READOUTS:
            raise ValueError(f'readout must be one of {", ".join(map(repr, READOUTS))}, got {readout!r}.')
        if len(in_channels) != _LEVELS or len(post_channels) != _LEVELS:
            raise ValueError(
                f'DPT takes four maps: expected four in_channels and post_channels, got {list(in_channels)} and '
                f'{list(post_channels)}.'
            )
        self.reassemble_blocks = Reassemble(in_channels, post_channels, readout, tap_norm_cfg)
        self.convs = nn.ModuleList(
            ConvModule(width, channels, 3, padding=1, act_cfg=None, bias=False) for width in post_channels
        )
        self.fusion_blocks = nn.ModuleList(
            FusionBlock(channels, norm_cfg, fusion_bias, first=index == 0) for index in range(_LEVELS)
        )
        self.project = ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg) if project else nn.Identity()

    def forward(self, taps: Sequence[Tap]) -> Tensor:
        """Decode four B x C x h x w, or pairs with the class token, to B x channels x 8h x 8w.

        An odd h or w is rounded up to an even one first, as the coarsest level has half a cell more.
        """
        levels = [conv(level) for conv, level in zip(self.convs, self.reassemble_blocks(taps))]
        fused = self.fusion_blocks[0](levels[-1])
        for block, level in zip(self.fusion_blocks[1:], reversed(levels[:-1])):
            fused = block(fused, level)
        return self.project(fused)


@MODELS.register_module()
class DPTSegHead(BaseDecodeHead):
    """DPT for segmentation on maps of DINOv2 or DINOv3: `DPTDecoder`, dropout, a 1 x 1 convolution.

    The backbone is `ViTTaps`, with class tokens unless they are ignored. mmseg's `DPTHead` computes the same where
    it has the options, and has the names of `decoder` and `conv_seg` in one.

    Args:
        in_channels: Channels of each of the four maps.
        channels: Channels of the decoder.
        num_classes: Number of classes.
        post_channels: Channels of each level; by default an eighth, a quarter, a half and all of `in_channels`, as
            DINOv2 has them.
        readout, tap_norm_cfg, fusion_bias, project: See `DPTDecoder`.
        norm_cfg: Norm of the fusion and of the last convolution; None for none.
        in_index: Which maps of the backbone are read, the first four by default.
        **options: Of mmseg's `BaseDecodeHead`, such as `dropout_ratio` and `loss_decode`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        *,
        num_classes: Count,
        post_channels: Sequence[Count] | None = None,
        readout: str = 'project',
        tap_norm_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        fusion_bias: bool = False,
        project: bool = True,
        in_index: Sequence[int] = (0, 1, 2, 3),
        **options: Any,
    ):
        super().__init__(
            in_channels=list(in_channels),
            channels=channels,
            num_classes=num_classes,
            in_index=list(in_index),
            input_transform='multiple_select',
            norm_cfg=norm_cfg,
            **options,
        )
        if post_channels is None:
            post_channels = [width // share for width, share in zip(in_channels, (8, 4, 2, 1))]
        self.decoder = DPTDecoder(
            in_channels, post_channels, channels, readout, tap_norm_cfg, norm_cfg, fusion_bias, project
        )

    def forward(self, inputs: Sequence[Tap]) -> Tensor:
        """Score each class, B x classes x 8h x 8w for maps of h x w with even sides."""
        return self.cls_seg(self.decoder(self._transform_inputs(inputs)))
