"""Rows of class scores, as they come, to the label map of an image in its own size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_ROWS_AT_ONCE = 2**26
"""Bytes of scores, at the size of the image, that are turned into labels at once."""
_ROWS_IN_CACHE = 2**22
"""The same on a CPU, where scores that stay in its caches between the steps take less than half of the time."""


class LabelMap:
    """The label map of one image, from scores of the model's input.

    The steps are those of mmseg's `postprocess_result`: take the padding off, flip back, resize bilinearly to the
    size of the image, decide. They are done on a few rows at a time: the scores of all classes at the size of a large
    image would be by far the largest thing in memory.

    Args:
        input_size: Height and width of the model's input, padding included.
        meta: Meta data of the image: `ori_shape`, the size to return; `img_padding_size` or `padding_size` (left,
            right, top, bottom), `flip` and `flip_direction` where they apply.
        decide: Turns scores K x rows x W into scores to keep and labels 1 x rows x W.
        align_corners: How the scores are resized.
        keep_scores: Whether the scores are kept at the size of the image.

    Attributes:
        labels: 1 x H x W.
        scores: K x H x W, or None.
    """

    def __init__(
        self,
        input_size: tuple[int, int],
        meta: dict[str, Any],
        decide: Callable[[Tensor], tuple[Tensor, Tensor]],
        align_corners: bool = False,
        keep_scores: bool = True,
    ):
        left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
        self._top, self._height = top, input_size[0] - top - bottom
        self._columns = slice(left, input_size[1] - right)
        directions = meta.get('flip_direction') or '' if meta.get('flip') else ''
        self._mirrored = directions in ('horizontal', 'diagonal')
        self._size = tuple(int(side) for side in meta['ori_shape'][:2])
        self._align_corners, self._decide, self._keep = align_corners, decide, keep_scores
        above, below, self._share = source_rows(self._height, self._size[0], align_corners)
        if directions in ('vertical', 'diagonal'):
            above, below = self._height - 1 - above, self._height - 1 - below
        self._above, self._below, self._last_needed = above, below, torch.maximum(above, below)
        self._previous: Tensor | None = None
        self.labels: Tensor | None = None
        self.scores: Tensor | None = None

    def add(self, first: int, rows: Tensor) -> None:
        """Take the scores of the rows from `first` of the input on, K x rows x W; portions come from the top."""
        start, stop = max(first, self._top), min(first + rows.shape[1], self._top + self._height)
        if start >= stop:
            return
        rows = rows[:, start - first : stop - first, self._columns]
        start, stop = start - self._top, stop - self._top
        ready = ((self._last_needed >= start) & (self._last_needed < stop)).nonzero()[:, 0]
        room = min(_ROWS_AT_ONCE, _ROWS_IN_CACHE) if rows.device.type == 'cpu' else _ROWS_AT_ONCE
        at_once = max(1, room // (rows.shape[0] * self._size[1] * rows.element_size()))
        for places in ready.split(at_once) if len(ready) else ():  # a much smaller image skips portions
            self._put(places, self._resized(rows, start, places))
        # A row of the output can lie between the last row here and the first of the next portion.
        self._previous = rows[:, -1:].clone()

    def _resized(self, rows: Tensor, start: int, places: Tensor) -> Tensor:
        if self._size[0] == self._height:
            found = rows[:, (self._above[places] - start).to(rows.device)]
        else:
            share = self._share[places].to(rows)[:, None]
            above, below = (self._rows(rows, start, source[places]) for source in (self._above, self._below))
            found = above * (1 - share) + below * share
        if self._mirrored:
            found = found.flip(-1)
        if found.shape[-1] != self._size[1]:
            size = (found.shape[1], self._size[1])
            found = F.interpolate(found[None], size, mode='bilinear', align_corners=self._align_corners)[0]
        return found

    def _rows(self, rows: Tensor, start: int, numbers: Tensor) -> Tensor:
        """Rows by their numbers in the input without padding; number `start` - 1 is of the portion before."""
        numbers = (numbers - start).to(rows.device)
        found = rows[:, numbers.clamp(min=0)]
        before = numbers < 0
        if before.any():
            found[:, before] = self._previous
        return found

    def _put(self, places: Tensor, scores: Tensor) -> None:
        scores, labels = self._decide(scores)
        if self.labels is None:
            self.labels = labels.new_empty((1, *self._size))
            self.scores = scores.new_empty((len(scores), *self._size)) if self._keep else None
        places = places.to(labels.device)
        self.labels[:, places] = labels
        if self._keep:
            self.scores[:, places] = scores


def source_rows(size: int, new_size: int, align_corners: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Between which rows each row of a bilinearly resized map lies.

    Returns:
        For each of `new_size` rows the number of the row above and below, and the share of the one below. They are
        the same where that share is nothing.
    """
    places = torch.arange(new_size, dtype=torch.float32)
    if align_corners:
        places *= (size - 1) / max(new_size - 1, 1)
    else:
        places = ((places + 0.5) * (size / new_size) - 0.5).clamp(min=0)
    above = places.long().clamp(max=size - 1)
    share = places - above
    return above, torch.where(share > 0, above + 1, above).clamp(max=size - 1), share
