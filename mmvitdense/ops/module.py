"""The attention layer around the op."""

import math

import torch
from torch import Tensor, nn

from .functions import ms_deform_attn_fused
from .linear_layer import Linear, apply_linear, is_plain, linear
from .recording import runs_here

SpatialShapes = list[tuple[int, int]] | Tensor


class MultiScaleDeformableAttention(nn.Module):
    """Multi-scale deformable attention with mmcv's parameters, state-dict names and results, as in Deformable DETR
    (Zhu et al. 2021) and, with `value_proj_ratio`, in ViT-Adapter (Chen et al. 2023).

    Args:
        embed_dims: channels of queries and output.
        num_heads: attention heads; `embed_dims` and `value_proj_ratio * embed_dims` are multiples of it.
        num_levels: levels of the value.
        num_points: sampling points for each head and level.
        im2col_step: accepted for mmcv's sake and ignored, any batch size works.
        dropout: on the output, before `identity` is added.
        batch_first: queries and values are B x N x C; mmcv's default is N x B x C.
        value_proj_ratio: channels of the projected value, as a share of `embed_dims`.

    Raises:
        ValueError: channels that do not divide by the heads.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        im2col_step: int = 64,
        dropout: float = 0.1,
        batch_first: bool = False,
        value_proj_ratio: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value in (('num_heads', num_heads), ('num_levels', num_levels), ('num_points', num_points)):
            if value < 1:
                raise ValueError(f'{name} of deformable attention must be at least 1, got {value}')
        value_dims = int(embed_dims * value_proj_ratio)
        if value_dims < 1:
            raise ValueError(
                f'value_proj_ratio={value_proj_ratio} leaves no channels of {embed_dims}: give one above 0'
            )
        if embed_dims % num_heads or value_dims % num_heads:
            raise ValueError(
                f'embed_dims={embed_dims} and value_proj_ratio * embed_dims={value_dims} must be multiples of '
                f'num_heads={num_heads}'
            )
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.embed_dims, self.batch_first = embed_dims, batch_first
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = Linear(embed_dims, samples * 2)
        self.attention_weights = Linear(embed_dims, samples)
        self.value_proj = Linear(embed_dims, value_dims)
        self.output_proj = Linear(value_dims, embed_dims)
        self.dropout = nn.Dropout(dropout)
        self.init_weights()

    def init_weights(self) -> None:
        """Points in a ring, one direction for each head, further out one after the other; equal weights.

        On the meta device, whose tensors have no values, nothing.
        """
        if self.output_proj.weight.is_meta:
            return
        angles = torch.arange(self.num_heads, dtype=torch.float32) * (2 * math.pi / self.num_heads)
        directions = torch.stack((angles.cos(), angles.sin()), dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, self.num_points + 1, dtype=torch.float32)
        offsets = directions[:, None, None] * steps[:, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.expand(-1, self.num_levels, -1, -1).flatten())
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def reset_parameters(self) -> None:
        """As `init_weights`, under torch's name for it."""
        self.init_weights()

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: SpatialShapes | None = None,
        level_start_index: Tensor | None = None,
        **kwargs: object,
    ) -> Tensor:
        """Arguments, order and result as in mmcv's module.

        Args:
            query: Q x B x C (B x Q x C with `batch_first`).
            key: ignored.
            value: S x B x C (or B x S x C); `query` if None.
            identity: added to the result; `query`, before `query_pos`, if None.
            query_pos: added to the query.
            key_padding_mask: B x S, True where the value is padding and counts as zero.
            reference_points: (B or 1) x Q x (levels or 1) x (2 or 4), in 0..1.
            spatial_shapes: (H, W) of the levels, as ints or as a tensor. Ints spare a synchronisation.
            level_start_index: ignored, levels follow each other.

        Returns:
            Q x B x C (or B x Q x C).
        """
        for name, argument in (('reference_points', reference_points), ('spatial_shapes', spatial_shapes)):
            if argument is None:
                raise ValueError(f'{name} is None; deformable attention needs it')
        value = query if value is None else value
        identity = query if identity is None else identity
        query = query if query_pos is None else query + query_pos
        output = attend(self, query, value, key_padding_mask, reference_points, spatial_shapes)
        return self.dropout(output) + identity


def attend(
    module: nn.Module,
    query: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    reference_points: Tensor,
    spatial_shapes: SpatialShapes,
    residual: Tensor | None = None,
) -> Tensor:
    """From projections to projection: what lies between `query_pos` and the dropout. `module` is ours or mmcv's.

    `residual`, B x Q x C, is added to the projection of a module with `batch_first`.
    """
    if not module.batch_first:
        query, value = query.transpose(0, 1), value.transpose(0, 1)
    heads, sizes = module.num_heads, (module.num_heads, module.num_levels, module.num_points)
    projected = apply_linear(module.value_proj, value)
    if key_padding_mask is not None:
        projected = projected.masked_fill(key_padding_mask[..., None], 0.0)
    offsets, logits = _offsets_and_logits(module, query)
    output = ms_deform_attn_fused(
        projected.unflatten(-1, (heads, projected.size(-1) // heads)),
        spatial_shapes,
        reference_points,
        offsets.unflatten(-1, (*sizes, 2)),
        logits.unflatten(-1, sizes),
    )
    output = apply_linear(module.output_proj, output, residual)
    return output if module.batch_first else output.transpose(0, 1)


def _offsets_and_logits(module: nn.Module, query: Tensor) -> tuple[Tensor, Tensor]:
    """Both projections of the queries, on a CPU as one product: narrow ones are slower, and each reads the queries."""
    both = module.sampling_offsets, module.attention_weights
    samples = module.num_heads * module.num_levels * module.num_points
    if isinstance(both[1], nn.Identity):
        joined = apply_linear(both[0], query)
    elif all(type(layer) is nn.Linear and is_plain(layer) for layer in both) and runs_here(query, both[0].weight):
        joined = linear(query, *joined_parameters(*both))
    else:
        return apply_linear(both[0], query), apply_linear(both[1], query)
    return joined.split([2 * samples, samples], dim=-1)


def joined_parameters(*layers: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer whose outputs are those of some layers with a bias, one after the other."""
    return torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
