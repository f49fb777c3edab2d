"""The contract of a ViT: all that adapters, MIMDet and other holders know of one.

`PlainViT` keeps it, and `TimmViT` shows how a foreign model does. A class that has the attributes and the methods
of `ViT` works in every holder; `BaseViT` brings those methods that follow from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from mmvitdense.layers import QueryMask
from mmvitdense.models.initialized_module import InitializedModule

from .vit_sizes import block_indices


class ViT(Protocol):
    """What a holder may read and call; it changes nothing of a module that it is given.

    Attributes:
        embed_dims: Channels of a token.
        num_layers: Number of blocks.
        num_heads: Attention heads of a block.
        patch_size: Side of a patch in pixels.
        in_channels: Channels of the image.
        num_prefix_tokens: Class and register tokens, which come before those of the patches.
        norm_eps: Epsilon of the norms.
        drop_path_rate: Stochastic depth of the last block.
        final_norm: Which outputs are normed: 'all', 'last' or None.
        norm: The final norm of tokens, the identity where there is none.
    """

    embed_dims: int
    num_layers: int
    num_heads: int
    patch_size: int
    in_channels: int
    num_prefix_tokens: int
    norm_eps: float
    drop_path_rate: float
    final_norm: str | None
    norm: nn.Module

    def embed(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Turn an image, B x in_channels x H x W of any size, into tokens and their grid.

        Returns:
            Tokens as the first block takes them, B x (num_prefix_tokens + h*w) x embed_dims, and (h, w), which is
            H/patch_size and W/patch_size rounded up.
        """

    def positions(self, grid: tuple[int, int], extra: int = 0) -> Any:
        """What blocks need to know of a grid besides the tokens, for `run_blocks`; `extra` tokens without position
        come before all others. It serves blocks that run without these too, so that random positions of a training are
        drawn once for all blocks."""

    def run_blocks(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        start: int = 0,
        stop: int | None = None,
        positions: Any = None,
        with_cp: bool = False,
        mask: Tensor | QueryMask | None = None,
    ) -> Tensor:
        """Run blocks `start` to `stop` (exclusive; None for all that follow) on the tokens of `embed`.

        Args:
            tokens: B x N x embed_dims.
            grid: (h, w).
            start: First block.
            stop: The block after the last.
            positions: What the method of that name gave for `grid`, to have it once for several ranges of blocks.
            with_cp: Whether the blocks are recomputed in the backward pass.
            mask: Which tokens attend to which, see `mmvitdense.layers.Attention`.

        Returns:
            The shape of `tokens`.
        """

    def output_map(self, tokens: Tensor, grid: tuple[int, int], last: bool) -> Tensor:
        """The tokens as an output, B x embed_dims x h x w: normed where `final_norm` says so."""

    def to_map(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Drop class and register tokens and arrange the others as B x embed_dims x h x w."""

    def intermediate(
        self, image: Tensor, indices: int | Sequence[int] = 1, norm: bool = False, prefix: bool = False
    ) -> list[Tensor] | list[tuple[Tensor, Tensor]]:
        """Maps after some of the blocks, see `BaseViT`."""

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter and number of depths: 0 for the embedding, i + 1 for block i, the last for all else."""


@runtime_checkable
class StemlessViT(Protocol):
    """A `ViT` besides, whose tokens may come from another stem, and be a part of those of the image."""

    pos_grid: tuple[int, int]

    def place(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Make B x h*w x embed_dims what `embed` would return: positions, class and register tokens, first norm."""

    def bound_to_places(self) -> list[str]:
        """What of the model needs all patches, in their places, in words."""

    def without_patch_embedding(self) -> StemlessViT:
        """The same model, its layers shared, without patch embedding and with a table of positions of its own that is
        frozen; this one stays as it is."""


@runtime_checkable
class ViTWithPatchKernel(Protocol):
    """A `ViT` besides, whose patch embedding is one convolution."""

    def patch_kernel(self) -> tuple[Tensor, Tensor | None]:
        """The kernel, embed_dims x in_channels x patch_size x patch_size, and the bias, embed_dims or None."""


@runtime_checkable
class ViTWithKeys(Protocol):
    """A `ViT` besides, whose blocks show the keys of their attention."""

    def block_keys(self, tokens: Tensor, block: int) -> Tensor:
        """The keys of a block, B x N x embed_dims, one head after the other, for the tokens that enter it, B x N x
        embed_dims: the projection alone, neither normed nor rotated by positions."""


class BaseViT(InitializedModule):
    """The methods of a `ViT` that follow from `embed`, `positions` and `run_blocks`.

    Subclasses give the attributes of `ViT` and `out_indices`, the blocks whose output `forward` returns.
    """

    out_indices: tuple[int, ...]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map an image, B x in_channels x H x W, to one B x embed_dims x ceil(H/patch) x ceil(W/patch) per output."""
        states, grid = self._states(image, self.out_indices)
        last = self.out_indices[-1]
        return tuple(self.output_map(tokens, grid, last=index == last) for index, tokens in states)

    def intermediate(
        self, image: Tensor, indices: int | Sequence[int] = 1, norm: bool = False, prefix: bool = False
    ) -> list[Tensor] | list[tuple[Tensor, Tensor]]:
        """Maps after some of the blocks, as DINOv2's `get_intermediate_layers` and timm's `forward_intermediates`.

        Args:
            image: B x in_channels x H x W.
            indices: Blocks, negative ones from the end, or the number of last blocks.
            norm: Whether the final norm is applied to each, whatever `final_norm` says.
            prefix: Whether class and register tokens are returned too.

        Returns:
            One B x embed_dims x h x w for each block, in order of depth; with `prefix` (map, B x num_prefix_tokens x
            embed_dims).

        Raises:
            ValueError: There is no such block, or `norm` is asked of a ViT without final norm.
        """
        if norm and isinstance(self.norm, nn.Identity):
            raise ValueError(
                f'norm=True needs a ViT with a final norm, {type(self).__name__} has none: give norm=False, or '
                "build it with final_norm='all'"
            )
        states, grid = self._states(image, self._chosen(indices))
        states = [self.norm(tokens) if norm else tokens for _, tokens in states]
        if not prefix:
            return [self.to_map(tokens, grid) for tokens in states]
        return [(self.to_map(tokens, grid), tokens[:, : self.num_prefix_tokens]) for tokens in states]

    def output_map(self, tokens: Tensor, grid: tuple[int, int], last: bool) -> Tensor:
        """The tokens as an output, B x C x h x w: normed where `final_norm` says so."""
        normed = self.final_norm == 'all' or (self.final_norm == 'last' and last)
        return self.to_map(self.norm(tokens) if normed else tokens, grid)

    def to_map(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Drop class and register tokens and arrange the others as B x C x h x w."""
        return tokens[:, self.num_prefix_tokens :].transpose(1, 2).unflatten(2, grid).contiguous()

    def _states(self, image: Tensor, indices: Sequence[int]) -> tuple[list[tuple[int, Tensor]], tuple[int, int]]:
        """[(index, tokens after that block)] and the grid."""
        tokens, grid = self.embed(image)
        positions = self.positions(grid)
        states, start = [], 0
        for index in indices:
            tokens = self.run_blocks(tokens, grid, start, index + 1, positions)
            start = index + 1
            states.append((index, tokens))
        return states, grid

    def _chosen(self, indices: int | Sequence[int]) -> tuple[int, ...]:
        if not isinstance(indices, int):
            return block_indices('indices', indices, self.num_layers)
        if not 1 <= indices <= self.num_layers:
            raise ValueError(f'the number of last blocks must be 1 to {self.num_layers}, got {indices}')
        return tuple(range(self.num_layers - indices, self.num_layers))
