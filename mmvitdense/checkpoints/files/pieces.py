"""Converting weights piece by piece, so that a model of any size needs the memory of one of its blocks."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

_BLOCK = re.compile(r'^.*?(?:blocks|layers?|resblocks|encoderblock)[._](?:\d+\.)?(\d+)(?=[./])')
# What formats look at the values of: biases, gains, masks, frequencies, and tables of positions.
_SMALL = 1 << 16
_TABLE = 1 << 20


def thinned(state_dict: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """The weights, large ones on the meta device: names, shapes, record, and the values that formats look at."""
    thin = OrderedDict((name, x.to('meta') if _is_large(name, x) else x) for name, x in state_dict.items())
    if hasattr(state_dict, '_metadata'):
        thin._metadata = state_dict._metadata
    return thin


def converted_in_pieces(
    state_dict: Mapping[str, Tensor],
    convert: Callable[[dict[str, Tensor]], Mapping[str, Tensor]],
    release: Callable[[], None] = lambda: None,
) -> Iterator[tuple[str, Tensor]]:
    """Convert the weights of one block at a time.

    Args:
        state_dict: What is converted, mapped from a file.
        convert: Makes the weights of what it is given; it is called with most weights on the meta device, and none of
            its results may be of weights of two blocks.
        release: Called when a piece is done, to give back pages of the file.

    Yields:
        Name and weight, each once.

    Raises:
        RuntimeError: A result is of weights of two blocks.
    """
    thin = thinned(state_dict)
    expected = convert(thin)
    left = set(expected)
    for piece in _pieces(state_dict):
        found = convert({**thin, **piece})
        for name in [name for name in found if name in left and not found[name].is_meta]:
            left.discard(name)
            yield name, found.pop(name)
        del found
        release()
    if left:
        raise RuntimeError(f'{len(left)} weights were never made, first {min(left)}: they are of several blocks')


def _pieces(state_dict: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The large weights of each block, and those of none together."""
    blocks: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state_dict.items():
        if _is_large(name, tensor):
            match = _BLOCK.match(name)
            blocks.setdefault(match[0] if match else '', {})[name] = tensor
    yield from blocks.values() if blocks else [{}]


def _is_large(name: str, tensor: Tensor) -> bool:
    return tensor.numel() > (_TABLE if 'pos' in name.lower() else _SMALL)
