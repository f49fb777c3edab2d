"""Windows of an image: where they are, and the mean of what is predicted in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmvitdense.progress import bar

MODES = ('whole', 'slide', 'even_slide')


class Window(NamedTuple):
    """A part of an image in pixels; `bottom` and `right` are exclusive."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class WindowRule:
    """How an image is cut, as `test_cfg` of a segmentor says.

    Attributes:
        mode: 'whole' for one window of the size of the image; 'slide' for windows at a fixed step; 'even_slide' for the
            fewest windows that cover the image, evenly spread.
        crop_size: Height and width of a window. A side of an image that is shorter gives smaller windows.
        stride: Vertical and horizontal step of 'slide'; not read by the other modes.
        window_batch: How many windows go through the model at once.
        progress: Whether a bar on stderr counts the windows.
    """

    mode: str = 'whole'
    crop_size: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    window_batch: int = 1
    progress: bool = False

    def __post_init__(self):
        if self.mode not in MODES:
            raise ValueError(f'test_cfg.mode is {self.mode!r}; expected one of {", ".join(map(repr, MODES))}.')
        if self.mode != 'whole' and not _is_pair(self.crop_size):
            raise ValueError(
                f'test_cfg.crop_size is {self.crop_size}; mode {self.mode!r} needs the height and width of a window in '
                'pixels, for example (512, 512).'
            )
        if self.mode == 'slide' and not (
            _is_pair(self.stride) and all(step <= side for step, side in zip(self.stride, self.crop_size))
        ):
            raise ValueError(
                f'test_cfg.stride is {self.stride}; windows of {self.crop_size} pixels need a vertical and a '
                'horizontal step in pixels, no larger than they are.'
            )
        if not isinstance(self.window_batch, int) or self.window_batch < 1:
            raise ValueError(f'test_cfg.window_batch is {self.window_batch}; expected a whole number of at least 1.')

    @classmethod
    def of(cls, test_cfg: Any) -> WindowRule:
        """The rule in a `test_cfg`, which may hold other keys; None or an empty one for whole images.

        Raises:
            ValueError: A value cannot be used.
        """
        test_cfg = dict(test_cfg or {})
        found = {key: test_cfg[key] for key in cls.__dataclass_fields__ if key in test_cfg}
        sizes = {key: tuple(found[key]) for key in ('crop_size', 'stride') if isinstance(found.get(key), list | tuple)}
        return cls(**{**found, **sizes})

    def windows(self, height: int, width: int) -> list[Window]:
        """The windows of an image, from top to bottom and in each row from left to right."""
        if self.mode == 'whole':
            return [Window(0, 0, height, width)]
        crop = tuple(map(min, self.crop_size, (height, width)))
        if self.mode == 'slide':
            rows, columns = map(stepped_starts, (height, width), crop, self.stride)
        else:
            rows, columns = map(even_starts, (height, width), crop)
        return [Window(top, left, top + crop[0], left + crop[1]) for top in rows for left in columns]


def stepped_starts(side: int, crop: int, step: int) -> list[int]:
    """Where windows of `crop` pixels start at a fixed step; the last is moved back to the border.

    The rule of mmseg `models/segmentors/encoder_decoder.py`.
    """
    count = -(-(side - crop) // step) + 1
    return [min(index * step, side - crop) for index in range(count)]


def even_starts(side: int, crop: int) -> list[int]:
    """Where the fewest windows of `crop` pixels start that cover a side, with the overlap spread evenly.

    The rule of EoMT (`training/lightning_module.py`), `int(j * (crop - overlap / (count - 1)))`, in whole numbers,
    so that the last window ends at the border whatever is rounded.
    """
    count = -(-side // crop)
    return [index * (side - crop) // max(count - 1, 1) for index in range(count)]


def merged_rows(
    predict: Callable[[Tensor], Tensor],
    images: Tensor,
    windows: Sequence[Window],
    window_batch: int = 1,
    progress: bool = False,
) -> Iterator[tuple[int, Tensor]]:
    """Predict in windows and give the mean over those that cover a pixel, from top to bottom.

    Sums are kept for the rows of the current windows alone, so that the memory is that of a strip as high as a window
    and as wide as the image, whatever the height of the image.

    Args:
        predict: Turns B x C x h x w, B up to `window_batch` times the number of images with those of one window side
            by side, into B x K x h x w.
        images: N x C x H x W.
        windows: All of one size, in order of `top`; together they cover the image.
        window_batch: How many windows of each image go through `predict` at once.
        progress: Whether a bar on stderr counts the windows.

    Yields:
        The first row and N x K x rows x W, which are valid until the next ones are asked for.
    """
    sums = None
    for some, logits in _predicted(predict, images, windows, window_batch, progress):
        if len(windows) == 1:
            yield 0, logits
            return
        if sums is None:
            sums = _RowSums(logits, len(images), images.shape[-1])
        for window, of_window in zip(some, logits.split(len(images))):
            if window.top > sums.first:
                yield sums.first, sums.means(window.top)
                sums.drop(window.top)
            sums.add(window, of_window)
    yield sums.first, sums.means(windows[-1].bottom)


def _predicted(
    predict: Callable[[Tensor], Tensor], images: Tensor, windows: Sequence[Window], window_batch: int, progress: bool
) -> Iterator[tuple[Sequence[Window], Tensor]]:
    with _bar(len(windows), progress) as advance:
        for start in range(0, len(windows), window_batch):
            some = windows[start : start + window_batch]
            crops = [images[..., top:bottom, left:right] for top, left, bottom, right in some]
            logits = predict(torch.cat(crops) if len(crops) > 1 else crops[0])
            if logits.shape[-2:] != crops[0].shape[-2:]:
                raise ValueError(
                    f'The head gives logits of {tuple(logits.shape[-2:])} for windows of {tuple(crops[0].shape[-2:])} '
                    'pixels; expected the size of the windows.'
                )
            advance(len(some))
            yield some, logits


@contextmanager
def _bar(total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar of windows, or nothing."""
    if not shown:
        yield lambda count: None
        return
    with bar(total, 'Windows') as advance:
        yield advance


class _RowSums:
    """Sums over windows, and their number, for the rows `first` to `first` + height of a window."""

    def __init__(self, logits: Tensor, images: int, width: int):
        kinds, height = logits.shape[1:3]
        dtype = torch.promote_types(logits.dtype, torch.float32)
        self.first = 0
        self._sums = logits.new_zeros((images, kinds, height, width), dtype=dtype)
        self._counts = logits.new_zeros((height, width), dtype=dtype)

    def add(self, window: Window, logits: Tensor) -> None:
        place = (..., slice(window.top - self.first, window.bottom - self.first), slice(window.left, window.right))
        self._sums[place] += logits
        self._counts[place] += 1

    def means(self, until: int) -> Tensor:
        """The means of rows `first` to `until` (exclusive), in the place of their sums."""
        rows = until - self.first
        return self._sums[..., :rows, :].div_(self._counts[:rows])

    def drop(self, until: int) -> None:
        """Forget the rows before `until`, and start with it from now on."""
        dropped = until - self.first
        for held in (self._sums, self._counts):
            kept = held.shape[-2] - dropped
            # In steps no longer than what is dropped, source and target do not overlap.
            for row in range(0, kept, dropped):
                stop = min(row + dropped, kept)
                held[..., row:stop, :] = held[..., row + dropped : stop + dropped, :]
            held[..., max(kept, 0) :, :] = 0
        self.first = until


def _is_pair(value: Any) -> bool:
    """Whether a value is two whole numbers above zero."""
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, int) and part > 0 for part in value)
