"""Sizes of plain ViTs by name, of grids and of ranges of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

from mmvitdense.pretrainings import ARCHITECTURES


def resolve_sizes(arch: str | None, *sizes: int | None) -> tuple[int, int, int, int]:
    """Complete (embed_dims, num_layers, num_heads, feedforward_channels), None where not given, from `arch`."""
    if arch is None:
        arch = 'base'
    if arch not in ARCHITECTURES:
        raise ValueError(f"arch must be one of {', '.join(ARCHITECTURES)} or None, got '{arch}'")
    embed_dims, *others, feedforward_channels = sizes
    defaults = ARCHITECTURES[arch]
    if feedforward_channels is None and embed_dims is not None:
        feedforward_channels = 4 * embed_dims
    given = (embed_dims, *others, feedforward_channels)
    return tuple(default if size is None else size for size, default in zip(given, defaults))


def patch_grid(name: str, img_size: int | Sequence[int], patch_size: int) -> tuple[int, int]:
    """Height and width in patches of an image of `img_size` pixels, the option `name`."""
    sides = (img_size, img_size) if isinstance(img_size, Integral) else img_size
    if not isinstance(sides, Sequence) or len(sides) != 2 or not all(isinstance(side, Integral) for side in sides):
        raise ValueError(f'{name} must be a whole number of pixels or (height, width), got {img_size!r}')
    height, width = sides
    if height < patch_size or width < patch_size:
        raise ValueError(f'{name} must be at least one patch ({patch_size} pixels) a side, got {img_size}')
    return height // patch_size, width // patch_size


def evenly_spaced(num_layers: int, count: int = 4) -> tuple[int, ...]:
    """The last block of each of `count` parts of the depth."""
    return tuple(sorted({-(-num_layers * (i + 1) // count) - 1 for i in range(count)}))


def block_indices(name: str, indices: int | Sequence[int], num_layers: int) -> tuple[int, ...]:
    """Indices of blocks, the option `name`, from 0 and in order; negative ones count from the end."""
    indices = (indices,) if isinstance(indices, int) else tuple(indices)
    if any(not -num_layers <= index < num_layers for index in indices):
        raise ValueError(
            f'{name} must be between {-num_layers} and {num_layers - 1} for {num_layers} blocks, got {indices}'
        )
    return tuple(sorted({index % num_layers for index in indices}))


def window_sizes(
    window_size: int | Sequence[int], global_blocks: Sequence[int] | None, num_layers: int
) -> tuple[int, ...]:
    """Side of the windows of each block, 0 where it attends globally, from the options of `PlainViT`."""
    if isinstance(window_size, int):
        if window_size < 0:
            raise ValueError(f'window_size must be 0 or more, got {window_size}')
        global_blocks = evenly_spaced(num_layers) if global_blocks is None else global_blocks
        global_blocks = block_indices('global_blocks', global_blocks, num_layers)
        return tuple(0 if index in global_blocks else window_size for index in range(num_layers))
    if len(window_size) != num_layers or global_blocks is not None or min(window_size) < 0:
        raise ValueError(
            f'window_size as a list needs one number for each of the {num_layers} blocks and global_blocks=None, got '
            f'{len(window_size)} numbers, {window_size}, and global_blocks={global_blocks}: write 0 for a global block'
        )
    return tuple(window_size)
