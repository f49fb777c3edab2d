"""ViT-CoMer (arXiv 2403.07392): a plain ViT that fuses with convolutional features of several receptive fields."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from mmvitdense.layers import build_norm2d, constructed_undrawn
from mmvitdense.layers.fusing import Fusing, fuses
from mmvitdense.ops import Linear, apply_linear
from mmvitdense.ops.linear_layer import is_plain, is_unwatched
from mmvitdense.ops.recording import runs_here
from mmvitdense.ops.token_maps import DepthwiseTokens, can_convolve, can_convolve_here, convolve_levels
from mmvitdense.option_types import Count, CountOrZero, DropRate, Positive
from mmvitdense.registry import MODELS

from .adapters import (
    VIT_LEVEL,
    ConvFFN,
    Extractor,
    InteractionBackbone,
    Sampling,
    TokenLevels,
    depthwise_conv,
    per_stage,
)
from .vit import ViT


@MODELS.register_module()
class ViTCoMer(InteractionBackbone):
    """ViT-CoMer: before each stage of a plain ViT the features of a convolutional branch, mixed in receptive fields of
    3 and 5 pixels, are added to its patches, and after each stage the patches to the branch.

    Follows the released code where the paper differs: the queries of both directions are the tokens of the branch, to
    which the patches are added before (`comer_modules.py`). Its two copies differ in two options: detection has
    `vit_feature='last'` and `mrfp_ratio=0.5`; segmentation has `vit_feature='stagewise'` and a ratio of its own
    for each size.

    Args:
        vit: See `InteractionBackbone`. The released models have `window_pad='qkv'` and `layer_scale_init=1.0`.
        interaction_indexes: First and last block of each stage; None for four equal ones.
        conv_inplane: Channels of the stem.
        n_points: Sampling points of the deformable attention for each head and level.
        deform_num_heads: Its heads.
        deform_ratio: Channels of its values as a share of those of the ViT.
        cffn_ratio: Channels inside the convolutional networks, as a share; None for none of these.
        with_cffn: False leaves the convolutional network where the branch is added to the ViT, and has none elsewhere,
            as the released code does with this name.
        mrfp_ratio: Channels inside the multi-receptive-field module, as a multiple of those of the ViT.
        use_cti_tov: Whether the branch is added to the ViT, for all stages or for each.
        use_cti_toc: Whether the ViT is added to the branch, for all stages or for each.
        cnn_feature_interaction: Whether the levels of the branch attend to each other after that, for all stages or
            for each. (The released code defaults to no, the released models were trained with yes.)
        num_extra_cti: How many more times the ViT is added to the branch at the end.
        gamma_init: Gain at the start of what is added to the ViT; 0 leaves it as it was pre-trained.
        vit_feature: See `InteractionBackbone`.
        drop_path_rate: Stochastic depth of the interactions, the same in all; that of the ViT's last block if None.
        norm_cfg: See `InteractionBackbone`.
        mrfp_norm_cfg: Norm inside the multi-receptive-field modules; not synchronised in the released code.
        out_vit_map: See `InteractionBackbone`; for Co-DETR's pyramid.
        with_cp: See `InteractionBackbone`.
        init_cfg: See `InteractionBackbone`.
        in_channels: See `InteractionBackbone`.
    """

    @constructed_undrawn
    def __init__(
        self,
        vit: dict | ViT,
        interaction_indexes: Sequence[Sequence[int]] | None = None,
        conv_inplane: Count = 64,
        n_points: Count = 4,
        deform_num_heads: Count = 6,
        deform_ratio: Positive = 1.0,
        cffn_ratio: Positive | None = 0.25,
        with_cffn: bool = True,
        mrfp_ratio: Positive = 0.5,
        use_cti_tov: bool | Sequence[bool] = True,
        use_cti_toc: bool | Sequence[bool] = True,
        cnn_feature_interaction: bool | Sequence[bool] = True,
        num_extra_cti: CountOrZero = 4,
        gamma_init: float = 0.0,
        vit_feature: str | None = 'last',
        drop_path_rate: DropRate | None = None,
        norm_cfg: dict | None = None,
        mrfp_norm_cfg: dict | None = None,
        out_vit_map: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        in_channels: Count | None = None,
    ):
        super().__init__(
            vit, interaction_indexes, conv_inplane, vit_feature, norm_cfg, out_vit_map, with_cp, init_cfg, in_channels
        )
        options = {
            'num_heads': deform_num_heads,
            'num_levels': 3,
            'num_points': n_points,
            'value_ratio': deform_ratio,
            'norm_eps': self.vit.norm_eps,
            'cffn_ratio': cffn_ratio,
            'drop_path_rate': self.vit.drop_path_rate if drop_path_rate is None else drop_path_rate,
        }
        elsewhere = options if with_cffn else {**options, 'cffn_ratio': None}
        count = len(self.stages)
        to_vit, to_conv = per_stage('use_cti_tov', use_cti_tov, count), per_stage('use_cti_toc', use_cti_toc, count)
        interact = per_stage('cnn_feature_interaction', cnn_feature_interaction, count)
        mrfp_norm_cfg = mrfp_norm_cfg or {'type': 'BN'}
        for index in range(count):
            stage = CTIStage(
                MRFP(self.embed_dims, int(self.embed_dims * mrfp_ratio), mrfp_norm_cfg) if to_vit[index] else None,
                CTIToViT(self.embed_dims, gamma_init, **options) if to_vit[index] else None,
                CTIToConv(self.embed_dims, interact[index], **elsewhere) if to_conv[index] else None,
                [
                    ExtraCTI(self.embed_dims, interact[index], **elsewhere)
                    for _ in range(num_extra_cti if index == count - 1 else 0)
                ],
            )
            self.interactions.append(stage)


class CTIStage(nn.Module):
    """What surrounds the blocks of a stage; any part but the list may be None."""

    def __init__(self, mrfp: MRFP | None, cti_tov: CTIToViT | None, cti_toc: CTIToConv | None, extra: list[ExtraCTI]):
        super().__init__()
        self.mrfp, self.cti_tov, self.cti_toc = mrfp, cti_tov, cti_toc
        self.extra_CTIs = nn.ModuleList(extra)

    def inject(self, patches: Tensor, conv: Tensor, levels: TokenLevels) -> tuple[Tensor, Tensor]:
        """Before the blocks: update both the patches, B x h*w x C, and the tokens of the branch, B x N x C."""
        if self.cti_tov is None:
            return patches, conv
        conv = levels.add_to(self.mrfp(conv, levels), VIT_LEVEL, patches)
        return self.cti_tov(patches, conv, levels), conv

    def extract(self, patches: Tensor, conv: Tensor, levels: TokenLevels) -> Tensor:
        """After the blocks: update the tokens of the branch."""
        if self.cti_toc is not None:
            conv = self.cti_toc(patches, conv, levels)
        for extra in self.extra_CTIs:
            conv = extra(patches, conv, levels)
        return conv


class MRFP(nn.Module):
    """Multi-receptive-field feature pyramid: depth-wise convolutions of 3 and 5 pixels on each level, between two
    linear layers. It replaces the tokens; there is no residual connection.

    Args:
        embed_dims: Channels in and out.
        hidden_channels: Channels between, an even number.
        norm_cfg: Norm after the convolutions.
    """

    activated = False
    """Whether both GELUs are done with the convolutions, see `mmvitdense.layers.fusing`."""

    def __init__(self, embed_dims: int, hidden_channels: int, norm_cfg: dict):
        super().__init__()
        self.fc1 = Linear(embed_dims, hidden_channels)
        self.dwconv = MultiDWConv(hidden_channels, norm_cfg)
        self.fc2 = Linear(hidden_channels, embed_dims)

    def forward(self, conv: Tensor, levels: TokenLevels) -> Tensor:
        """Map B x N x embed_dims to the same shape."""
        mixed = self.dwconv(apply_linear(self.fc1, conv), levels)
        # The second of two GELUs in a row, as released.
        return apply_linear(self.fc2, mixed if self.activated else F.gelu(mixed))


class MultiDWConv(nn.Module):
    """For each of three levels a 3x3 convolution of the first half of the channels and a 5x5 of the second, norm, GELU.

    Args:
        channels: An even number.
        norm_cfg: The norm.
    """

    def __init__(self, channels: int, norm_cfg: dict):
        super().__init__()
        if channels % 2:
            raise ValueError(f'the channels inside MRFP must be even, got {channels}: change mrfp_ratio')
        half = channels // 2
        self.dwconv1, self.dwconv3, self.dwconv5 = (depthwise_conv(half, 3) for _ in range(3))
        self.dwconv2, self.dwconv4, self.dwconv6 = (depthwise_conv(half, 5) for _ in range(3))
        self.bn1, self.bn2, self.bn3 = (build_norm2d(norm_cfg, channels) for _ in range(3))

    def layers(self) -> list[tuple[nn.Module, nn.Module, nn.Module]]:
        """Of each level the convolutions of 3 and of 5 pixels, and the norm."""
        small, large = (self.dwconv1, self.dwconv3, self.dwconv5), (self.dwconv2, self.dwconv4, self.dwconv6)
        return list(zip(small, large, (self.bn1, self.bn2, self.bn3)))

    def forward(self, conv: Tensor, levels: TokenLevels) -> Tensor:
        """Map B x N x channels to the same shape."""
        convs = [layer for *pair, _ in self.layers() for layer in pair]
        if can_convolve_here(convs, conv):
            mixed = levels.maps(convolve_levels(convs, conv, levels.grids))
            return levels.join([F.gelu(norm(level)) for level, (*_, norm) in zip(mixed, self.layers())])
        maps = []
        for level, (narrow, wide, norm) in zip(levels.maps(conv), self.layers()):
            first, second = level.chunk(2, dim=1)
            # Joined as B x h x w x C, which keeps the memory in the order of the tokens.
            mixed = torch.cat(
                [layer(half).permute(0, 2, 3, 1) for layer, half in ((narrow, first), (wide, second))], -1
            )
            maps.append(F.gelu(norm(mixed.permute(0, 3, 1, 2))))
        return levels.join(maps)


@fuses(MultiDWConv)
def _fuse_convs(convs: MultiDWConv, fusing: Fusing) -> None:
    """Each norm goes into the two convolutions before it."""
    for level, (*pair, norm) in enumerate(convs.layers(), 1):
        if all(fusing.can_fold(conv, norm) for conv in pair):
            half = pair[0].out_channels
            for conv, channels in zip(pair, (slice(half), slice(half, None))):
                fusing.fold_norm(conv, norm, channels)
            setattr(convs, f'bn{level}', nn.Identity())


@fuses(MRFP)
def _fuse_mrfp(mrfp: MRFP, fusing: Fusing) -> None:
    """The convolutions of all levels are one kernel, with both GELUs."""
    if type(mrfp.dwconv) is not MultiDWConv or not fusing.is_free(mrfp.dwconv):
        return
    _fuse_convs(mrfp.dwconv, fusing)
    layers = mrfp.dwconv.layers()
    if all(type(norm) is nn.Identity for *_, norm in layers) and all(
        fusing.is_free(conv) and can_convolve(conv) for *pair, _ in layers for conv in pair
    ):
        mrfp.dwconv, mrfp.activated = DepthwiseTokens([pair for *pair, _ in layers], gelus=2), True


class CTIToViT(Extractor):
    """From the branch to the ViT: the levels attend to each other, and their sum at the grid of the ViT is added.

    Args:
        embed_dims: Channels of a token.
        gamma_init: Gain of what is added, at the start.
        options: Those of `Extractor`.
    """

    def __init__(self, embed_dims: int, gamma_init: float, **options: float):
        super().__init__(embed_dims, **options)
        self.gamma_init = float(gamma_init)
        self.gamma = nn.Parameter(torch.full((embed_dims,), self.gamma_init))

    def reset_parameters(self) -> None:
        """Start with the gain that was given."""
        nn.init.constant_(self.gamma, self.gamma_init)

    def forward(self, patches: Tensor, conv: Tensor, levels: TokenLevels) -> Tensor:
        """Return new patches, B x h*w x C."""
        mixed = self.attend(conv, conv, Sampling(levels.centres, levels.grids))
        if self._sums_first(mixed):
            # The last layer of the network is linear: three times that of the mean of the levels is the sum of them.
            hidden = _sum_at_grid(self.ffn.hidden(self.ffn_norm(mixed), levels), levels) / len(levels.grids)
            added = self.drop_path(apply_linear(self.ffn.fc2, hidden))
            return patches + self.gamma * torch.add(_sum_at_grid(mixed, levels), added, alpha=len(levels.grids))
        return patches + self.gamma * _sum_at_grid(self.feed_forward(mixed, levels), levels)

    def _sums_first(self, tokens: Tensor) -> bool:
        """Whether levels are added before the last layer of the network, which spares it four of five tokens: where
        nobody looks at what it makes of all."""
        network = self.ffn
        return type(network) is ConvFFN and is_unwatched(network) and is_plain(network.fc2) and runs_here(tokens)


def _sum_at_grid(tokens: Tensor, levels: TokenLevels) -> Tensor:
    """The three levels resized to the grid of the ViT and added: B x N x C to B x h*w x C."""
    eighth, sixteenth, last = levels.maps(tokens)
    # Bilinear resizing to half the size is the mean of four pixels.
    total = sixteenth + F.avg_pool2d(eighth, 2) + F.interpolate(last, scale_factor=2, mode='bilinear')
    return total.permute(0, 2, 3, 1).flatten(1, 2)


class CTIToConv(nn.Module):
    """From the ViT to the branch: the patches are added to the level of their grid, then all levels attend to all.

    The norms before the attention replace the tokens: what goes on is normed, in the residual connection too.

    Args:
        embed_dims: Channels of a token.
        interact: Whether the levels attend to each other.
        options: Those of `Extractor`.
    """

    def __init__(self, embed_dims: int, interact: bool, **options: float):
        super().__init__()
        self.cfinter = None
        if interact:
            self.query_norm = nn.LayerNorm(embed_dims, eps=options['norm_eps'])
            self.feat_norm = nn.LayerNorm(embed_dims, eps=options['norm_eps'])
            self.cfinter = Extractor(embed_dims, **options)

    def forward(self, patches: Tensor, conv: Tensor, levels: TokenLevels) -> Tensor:
        """Return new tokens of the branch, B x N x C."""
        conv = levels.add_to(conv, VIT_LEVEL, patches)
        return self.interact(conv, levels)

    def interact(self, conv: Tensor, levels: TokenLevels) -> Tensor:
        """Let the levels attend to each other, if they are to: B x N x C to the same shape."""
        if self.cfinter is None:
            return conv
        sampling = Sampling(levels.centres, levels.grids)
        return self.cfinter(self.query_norm(conv), self.feat_norm(conv), levels, sampling)


class ExtraCTI(CTIToConv):
    """As `CTIToConv`, with a convolutional network of its own between the two steps (`Extractor_CTI`)."""

    def __init__(self, embed_dims: int, interact: bool, **options: float):
        super().__init__(embed_dims, interact, **options)
        self.ffn = None
        if options['cffn_ratio'] is not None:
            self.ffn = ConvFFN(embed_dims, int(embed_dims * options['cffn_ratio']))
            self.ffn_norm = nn.LayerNorm(embed_dims, eps=options['norm_eps'])
            self.drop_path = StochasticDepth(options['drop_path_rate'], mode='row')

    def forward(self, patches: Tensor, conv: Tensor, levels: TokenLevels) -> Tensor:
        """Return new tokens of the branch, B x N x C."""
        conv = levels.add_to(conv, VIT_LEVEL, patches)
        if self.ffn is not None:
            if self.ffn.joins():
                conv = self.ffn(self.ffn_norm(conv), levels, conv)
            else:
                conv = conv + self.drop_path(self.ffn(self.ffn_norm(conv), levels))
        return self.interact(conv, levels)
