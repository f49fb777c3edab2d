"""A layer of PEM's decoder: queries that each take one place of a map for each head (arXiv 2402.19422, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import build_norm2d, without_autocast


class PrototypeAttention(nn.Module):
    """Cross-attention without softmax and values: of each head the one key most like the query, their product, a gain.

    After `pem_transformer_decoder.py:PEM_CA`. The product is normalised over the queries, not over the channels, as
    the published code does. Gradients reach the keys that were taken alone. Which those are is computed in float32
    under autocast too.

    Args:
        embed_dims: Channels.
        num_heads: Heads.
        norm_cfg: Norm of the map, see `build_norm2d`.
        reset_per_query: Whether a query whose mask leaves nothing sees all, as in Mask2Former. In the published code
            it sees all where that is so of all queries of an image, and else takes the first place.
    """

    def __init__(self, embed_dims: int, num_heads: int, norm_cfg: dict, reset_per_query: bool):
        super().__init__()
        self.num_heads, self.reset_per_query = num_heads, reset_per_query
        self.map_norm = build_norm2d(norm_cfg, embed_dims)
        self.local = nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims)
        self.key = nn.Linear(embed_dims, embed_dims)
        self.query_norm = nn.LayerNorm(embed_dims)
        self.query = nn.Linear(embed_dims, embed_dims)
        self.project = nn.Linear(embed_dims, embed_dims)
        self.output = nn.Linear(embed_dims, embed_dims)
        self.gain = nn.Parameter(torch.ones(embed_dims))

    def reset_parameters(self) -> None:
        """Start with gains of one."""
        nn.init.ones_(self.gain)

    def forward(self, queries: Tensor, maps: Tensor, blocked: Tensor) -> Tensor:
        """Attend.

        Args:
            queries: With their positions, B x Q x embed_dims.
            maps: With their positions, B x embed_dims x h x w.
            blocked: B x Q x h x w, True where a query may not look.

        Returns:
            B x Q x embed_dims, to be added to the queries.
        """
        keys = self.key(self.local(self.map_norm(maps)).flatten(2).mT)
        keys = F.normalize(keys, dim=-1)
        queries = F.normalize(self.query(self.query_norm(queries)), dim=-1)
        taken = self._most_alike(keys, queries, blocked.flatten(2))
        return self.output(F.normalize(self.project(taken * queries), dim=1) * self.gain + taken)

    def _most_alike(self, keys: Tensor, queries: Tensor, blocked: Tensor) -> Tensor:
        """Of B x N x C keys one for each query and head, B x Q x C."""
        keys, split = (x.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x in (keys, queries))
        with torch.no_grad(), without_autocast(keys):
            alike = split.float() @ keys.float().mT
            nothing = blocked.all(dim=2, keepdim=True)
            if not self.reset_per_query:
                nothing = nothing.all(dim=1, keepdim=True)
            index = alike.masked_fill_((blocked & ~nothing)[:, None], float('-inf')).argmax(dim=-1, keepdim=True)
        taken = keys.gather(2, index.expand(-1, -1, -1, keys.shape[-1]))
        return taken.transpose(1, 2).flatten(2)


class PEMLayer(nn.Module):
    """Prototype attention, self-attention of the queries, a network of two layers; each is added to the queries.

    Args:
        embed_dims: Channels.
        num_heads: Heads of both attentions.
        feedforward_channels: Of the network.
        norm_cfg: See `PrototypeAttention`.
        reset_per_query: See `PrototypeAttention`.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, feedforward_channels: int, norm_cfg: dict, reset_per_query: bool
    ):
        super().__init__()
        self.cross_attn = PrototypeAttention(embed_dims, num_heads, norm_cfg, reset_per_query)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.fc1, self.fc2 = nn.Linear(embed_dims, feedforward_channels), nn.Linear(feedforward_channels, embed_dims)

    def reset_parameters(self) -> None:
        """Draw matrices by Glorot's rule, as DETR does."""
        self.self_attn._reset_parameters()
        for matrix in (self.self_attn.out_proj.weight, self.fc1.weight, self.fc2.weight):
            nn.init.xavier_uniform_(matrix)

    def forward(self, queries: Tensor, query_positions: Tensor, maps: Tensor, blocked: Tensor) -> Tensor:
        """Map B x Q x embed_dims to the same shape; arguments as in `PrototypeAttention`."""
        queries = queries + self.cross_attn(queries + query_positions, maps, blocked)
        normed = self.norm1(queries)
        placed = normed + query_positions
        queries = queries + self.self_attn(placed, placed, normed, need_weights=False)[0]
        return queries + self.fc2(F.relu(self.fc1(self.norm2(queries))))
