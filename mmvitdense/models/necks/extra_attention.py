"""Attention over the smallest map before a feature pyramid network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmvitdense.layers import Attention, Mlp, TransformerBlock, constructed_undrawn, draw_vit_linear, recomputed
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.registry import MODELS


@MODELS.register_module()
class ExtraAttention(InitializedModule):
    """One transformer block over the last map, with a norm behind it; the other maps pass.

    HTC++ of ViT-Adapter has it before its pyramid (`detection/mmdet_custom/models/necks/extra_attention.py` of
    czczup/ViT-Adapter), where the last map has stride 32. There are no positions. A feature pyramid network follows as
    a second neck: `neck=[dict(type='mmvitdense.ExtraAttention', ...), dict(type='FPN', ...)]`.

    Args:
        in_channels: Channels of each map.
        num_heads: Heads of the attention; divides the channels of the last map.
        ffn_ratio: Channels inside the feed-forward network, as a multiple of those of the map.
        drop_path_rate: Probability with which an image skips a branch of the block in training.
        layer_scale_init: Gain of both branches at the start; None for branches without LayerScale.
        final_norm: Whether there is a norm behind the block.
        norm_eps: Epsilon of the norms.
        with_cp: Whether activations are computed again in the backward pass, to save memory.
        init_cfg: As in mmengine.
    """

    layer_rules = {nn.Linear: draw_vit_linear}

    @constructed_undrawn
    def __init__(
        self,
        in_channels: Sequence[int],
        num_heads: int,
        ffn_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        layer_scale_init: float | None = None,
        final_norm: bool = True,
        norm_eps: float = 1e-5,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels = tuple(in_channels)
        self.with_cp = with_cp
        channels = self.in_channels[-1]
        self.block = TransformerBlock(
            Attention(channels, num_heads),
            Mlp(channels, int(channels * ffn_ratio)),
            channels,
            drop_path_rate=drop_path_rate,
            layer_scale_init=layer_scale_init,
            norm_eps=norm_eps,
        )
        self.final_norm = nn.LayerNorm(channels, eps=norm_eps) if final_norm else nn.Identity()

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Attend over the last map.

        Args:
            maps: B x C x H x W each, as many as `in_channels`.

        Returns:
            The same shapes.

        Raises:
            ValueError: There are more or fewer maps.
        """
        if len(maps) != len(self.in_channels):
            raise ValueError(
                f'ExtraAttention takes {len(self.in_channels)} maps, as many as in_channels, got {len(maps)}: give the '
                'channels of every map of the backbone'
            )
        *others, last = maps
        tokens = last.flatten(2).transpose(1, 2)
        tokens = recomputed(self.block, tokens, tuple(last.shape[2:]), when=self.with_cp)
        return *others, self.final_norm(tokens).transpose(1, 2).reshape(last.shape)
