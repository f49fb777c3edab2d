"""Encoder and decoder of Plain-DETR, of layers of mmcv and mmdet."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn.bricks.transformer import FFN, MultiheadAttention
from mmdet.models.layers import DetrTransformerDecoder, DetrTransformerEncoder, DetrTransformerEncoderLayer
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitdense.layers import BoxAttention, recomputed

from .boxes import decode
from .geometry import MapGeometry


class SelfAttention(MultiheadAttention):
    """mmcv's attention without the weights that nobody reads, of which there is one for each pair of tokens."""

    def forward(
        self, query: Tensor, query_pos: Tensor, identity: Tensor | None = None, key_padding_mask: Tensor | None = None
    ) -> Tensor:
        """Attend.

        Args:
            query: B x N x C.
            query_pos: The same, added to what is compared.
            identity: What the result is added to, `query` when None.
            key_padding_mask: B x N, true for tokens that are hidden.
        """
        placed, value = ((query + query_pos).transpose(0, 1), query.transpose(0, 1))
        found, _ = self.attn(placed, placed, value, key_padding_mask=key_padding_mask, need_weights=False)
        identity = query if identity is None else identity
        return identity + self.dropout_layer(self.proj_drop(found.transpose(0, 1)))


class PlainEncoderLayer(DetrTransformerEncoderLayer):
    """mmdet's layer with that attention: global attention and feed-forward network, each followed by a norm."""

    def _init_layers(self) -> None:
        super()._init_layers()
        self.self_attn = SelfAttention(**self.self_attn_cfg)

    def forward(self, query: Tensor, query_pos: Tensor, key_padding_mask: Tensor | None) -> Tensor:
        """Tokens, B x N x C, with their positions; padding B x N is true for tokens that are hidden."""
        query = self.norms[0](self.self_attn(query, query_pos, key_padding_mask=key_padding_mask))
        return self.norms[1](self.ffn(query))


class PlainEncoder(DetrTransformerEncoder):
    """mmdet's encoder with those layers; the first `num_cp` of them are computed again for the gradients."""

    def _init_layers(self) -> None:
        self.layers = nn.ModuleList(PlainEncoderLayer(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims

    def init_weights(self) -> None:
        """As published: matrices by Xavier."""
        super().init_weights()
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, query: Tensor, query_pos: Tensor, key_padding_mask: Tensor | None) -> Tensor:
        """See `PlainEncoderLayer`."""
        for index, layer in enumerate(self.layers):
            query = recomputed(layer, query, query_pos, key_padding_mask, when=self.training and index < self.num_cp)
        return query


class PlainDecoderLayer(BaseModule):
    """Attention among the queries, `BoxAttention` to the map, feed-forward network; a norm before each.

    Args:
        self_attn_cfg: Options of mmcv's `MultiheadAttention`.
        cross_attn_cfg: Options of `BoxAttention`.
        ffn_cfg: Options of mmcv's `FFN`.
    """

    def __init__(self, self_attn_cfg: dict, cross_attn_cfg: dict, ffn_cfg: dict, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.self_attn = SelfAttention(**{**self_attn_cfg, 'batch_first': True})
        self.cross_attn = BoxAttention(**cross_attn_cfg)
        self.ffn = FFN(**ffn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.norms = nn.ModuleList(nn.LayerNorm(self.embed_dims) for _ in range(3))

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        boxes: Tensor,
        key: Tensor,
        value: Tensor,
        geometry: MapGeometry,
        groups: tuple[int, ...],
    ) -> Tensor:
        """Run the layer.

        Args:
            query: B x Q x C.
            query_pos: The same.
            boxes: Those of the queries, left, upper, right and lower side in pixels, B x Q x 4.
            key: Tokens of the map with their positions, B x N x C.
            value: Without.
            geometry: That of the map.
            groups: Numbers of queries that see one another, in order; their sum is Q.
        """
        normed = self.norms[0](query).split(groups, dim=1)
        parts = zip(normed, query_pos.split(groups, dim=1), query.split(groups, dim=1))
        query = torch.cat([self.self_attn(part, position, identity) for part, position, identity in parts], dim=1)
        placed = self.norms[1](query) + query_pos
        grid, stride, padding = geometry.grid, geometry.stride, geometry.padding_of_tokens
        query = query + self.cross_attn(placed, boxes, key, value, grid, stride, padding)
        return self.ffn(self.norms[2](query), identity=query)


class PlainDecoder(DetrTransformerDecoder):
    """Those layers with one norm behind each, which refine boxes in pixels.

    Args:
        num_cp: Number of layers that are computed again for the gradients.
        kwargs: As for mmdet's `DetrTransformerDecoder`.

    Raises:
        ValueError: There are not so many layers.
    """

    def __init__(self, *args: Any, num_cp: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.num_cp = max(num_cp, 0)
        if self.num_cp > self.num_layers:
            raise ValueError(
                f'num_cp of the decoder got {num_cp} and it has {self.num_layers} layers; expected at most as many: '
                'lower num_cp.'
            )

    def _init_layers(self) -> None:
        self.layers = nn.ModuleList(PlainDecoderLayer(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims
        self.post_norm = nn.LayerNorm(self.embed_dims)

    def init_weights(self) -> None:
        """As published: linear layers from a normal distribution, query, key and value of `self_attn` by Xavier."""
        super().init_weights()
        for module in self.modules():
            if isinstance(module, nn.MultiheadAttention):
                nn.init.xavier_uniform_(module.in_proj_weight)
            elif isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        references: Tensor,
        memory: Tensor,
        memory_pos: Tensor,
        geometry: MapGeometry,
        groups: tuple[int, ...],
        reg_branches: nn.ModuleList,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run all layers.

        Args:
            query: B x Q x C.
            query_pos: The same.
            references: The first boxes, middle and size in pixels, B x Q x 4.
            memory: Tokens of the map, B x N x C.
            memory_pos: The same.
            geometry: That of the map.
            groups: See `PlainDecoderLayer`.
            reg_branches: What makes differences to the boxes, one for each layer.

        Returns:
            Normed queries after each layer, L x B x Q x C; L + 1 boxes, the first ones and those after each layer,
            whose gradients reach that layer alone; and the L differences between them.
        """
        key = memory + memory_pos
        states, boxes, differences = [], [references], []
        for index, (layer, regress) in enumerate(zip(self.layers, reg_branches)):
            given = boxes[-1].detach()
            corners, repeat = bbox_cxcywh_to_xyxy(given), self.training and index < self.num_cp
            query = recomputed(layer, query, query_pos, corners, key, memory, geometry, groups, when=repeat)
            states.append(self.post_norm(query))
            deltas = regress(states[-1]).to(given)
            boxes.append(decode(given, deltas, geometry.limits))
            differences.append(deltas)
        return torch.stack(states), boxes, differences
