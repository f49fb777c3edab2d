"""ViT-Adapter (arXiv 2205.08534): a plain ViT that exchanges with a spatial prior by deformable attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmvitdense.layers import constructed_undrawn
from mmvitdense.layers.fusing import Fusing, fuses
from mmvitdense.option_types import Count, CountOrZero, DropRate, Positive
from mmvitdense.registry import MODELS

from .adapters import VIT_LEVEL, DeformableExchange, Extractor, InteractionBackbone, Sampling, TokenLevels
from .vit import ViT


@MODELS.register_module()
class ViTAdapter(InteractionBackbone):
    """ViT-Adapter: before each stage of a plain ViT its patches collect from three maps of a convolutional stem, and
    after each stage these collect from the patches.

    The detection code has `vit_feature='last'`, the segmentation code 'stagewise' (`vit_adapter.py` of both). The
    adapter of DINOv3 (`dinov3/eval/segmentation/models/backbone/dinov3_adapter.py`) leaves a frozen ViT as it is::

        dict(
            type='mmvitdense.ViTAdapter',
            vit=dict(preset='dinov3-large', frozen_stages='all'),
            interaction_indexes=[[0, 4], [5, 11], [12, 17], [18, 23]],  # four equal ones in all other sizes
            use_injector=False,
            extract_normed=True,
            vit_feature='stagewise',
            deform_num_heads=16,
            deform_ratio=0.5,
            norm_eps=1e-6,
            drop_path_rate=0.3,
            norm_cfg=dict(type='SyncBN'),
        )

    Args:
        vit: See `InteractionBackbone`. The released models have `window_pad='qkv'` and `layer_scale_init=1.0`.
        interaction_indexes: First and last block of each stage; None for four equal ones.
        conv_inplane: Channels of the stem.
        n_points: Sampling points of the deformable attention for each head and level.
        deform_num_heads: Its heads.
        deform_ratio: Channels of its values as a share of those of the ViT.
        cffn_ratio: Channels inside the convolutional networks, as a share; None for none of these.
        use_injector: Whether the ViT collects from the branch.
        extract_normed: Whether the branch collects from patches after the final norm of the ViT, which needs
            `vit=dict(final_norm='all', ...)`, and not from patches as they leave the blocks.
        num_extra_extractors: How many more times the branch collects from the ViT at the end.
        gamma_init: Gain at the start of what is added to the ViT; 0 leaves it as it was pre-trained.
        vit_feature: See `InteractionBackbone`.
        norm_eps: Epsilon of the norms of injectors and extractors; that of the ViT if None.
        drop_path_rate: Stochastic depth of the extractors, the same in all; that of the last block of the ViT if None.
        norm_cfg: See `InteractionBackbone`.
        out_vit_map: See `InteractionBackbone`.
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
        use_injector: bool = True,
        extract_normed: bool = False,
        num_extra_extractors: CountOrZero = 2,
        gamma_init: float = 0.0,
        vit_feature: str | None = 'last',
        norm_eps: Positive | None = None,
        drop_path_rate: DropRate | None = None,
        norm_cfg: dict | None = None,
        out_vit_map: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        in_channels: Count | None = None,
    ):
        super().__init__(
            vit, interaction_indexes, conv_inplane, vit_feature, norm_cfg, out_vit_map, with_cp, init_cfg, in_channels
        )
        attention = {
            'num_heads': deform_num_heads,
            'num_points': n_points,
            'value_ratio': deform_ratio,
            'norm_eps': self.vit.norm_eps if norm_eps is None else norm_eps,
        }
        if extract_normed and self.vit.final_norm != 'all':
            raise ValueError(
                'extract_normed=True needs a ViT that norms all its maps, got '
                f"final_norm={self.vit.final_norm!r}: give vit=dict(final_norm='all', ...)"
            )
        self.extract_normed = extract_normed
        drop_path_rate = self.vit.drop_path_rate if drop_path_rate is None else drop_path_rate

        def extractor() -> Extractor:
            network = {'cffn_ratio': cffn_ratio, 'drop_path_rate': drop_path_rate}
            return Extractor(self.embed_dims, num_levels=1, **attention, **network)

        for index in range(len(self.stages)):
            injector = Injector(self.embed_dims, gamma_init, num_levels=3, **attention) if use_injector else None
            extra = num_extra_extractors if index == len(self.stages) - 1 else 0
            self.interactions.append(AdapterStage(injector, extractor(), [extractor() for _ in range(extra)]))

    def features(self, tokens: Tensor) -> Tensor:
        """What the extractors read: the tokens, normed or as they are."""
        return self.vit.norm(tokens) if self.extract_normed else tokens


class AdapterStage(nn.Module):
    """What surrounds the blocks of a stage; there may be no injector."""

    def __init__(self, injector: Injector | None, extractor: Extractor, extra_extractors: list[Extractor]):
        super().__init__()
        self.injector, self.extractor = injector, extractor
        self.extra_extractors = nn.ModuleList(extra_extractors)

    def inject(self, patches: Tensor, conv: Tensor, levels: TokenLevels) -> tuple[Tensor, Tensor]:
        """Before the blocks: update the patches, B x h*w x C, from the tokens of the branch, B x N x C."""
        if self.injector is None:
            return patches, conv
        centres = levels.centres.split(levels.lengths, dim=1)[VIT_LEVEL]
        return self.injector(patches, conv, Sampling(centres, levels.grids)), conv

    def extract(self, patches: Tensor, conv: Tensor, levels: TokenLevels) -> Tensor:
        """After the blocks: update the tokens of the branch."""
        sampling = Sampling(levels.centres, levels.grids[VIT_LEVEL : VIT_LEVEL + 1])
        for extractor in (self.extractor, *self.extra_extractors):
            conv = extractor(conv, patches, levels, sampling)
        return conv


class Injector(DeformableExchange):
    """Patches that collect from the maps of the branch, with a gain for each channel.

    Args:
        embed_dims: Channels of a token.
        gamma_init: The gain at the start.
        attention: The options of `DeformableExchange`.
    """

    joined = False
    """Whether the gain and the sum with the patches are in the last product."""

    def __init__(self, embed_dims: int, gamma_init: float, **attention: float):
        super().__init__(embed_dims, **attention)
        self.gamma_init = float(gamma_init)
        self.gamma = nn.Parameter(torch.full((embed_dims,), self.gamma_init))

    def reset_parameters(self) -> None:
        """Start with the gain that was given."""
        nn.init.constant_(self.gamma, self.gamma_init)

    def forward(self, patches: Tensor, conv: Tensor, sampling: Sampling) -> Tensor:
        """Update the patches, B x h*w x C, by what they sample of `conv`, B x N x C."""
        if self.joined:
            return self.attend(patches, conv, sampling, patches)
        return patches + self.gamma * self.attend(patches, conv, sampling)


@fuses(Injector)
def _fuse_injector(injector: Injector, fusing: Fusing) -> None:
    """The gain goes into the last product, and the sum with the patches too."""
    if fusing.is_free_linear(injector.attn.output_proj):
        fusing.scale(injector.attn.output_proj, injector.gamma)
        injector.joined = True
