"""The size of what a decode head was given, which mmseg leaves to its meta data."""

from __future__ import annotations

import torch


def input_size(meta: dict) -> tuple[int, int]:
    """(height, width) of the padded image, or of the window of it, that `meta` belongs to.

    Windows are recognised by the type of `img_shape`, as mmseg's `BaseDecodeHead` does: mmseg's sliding windows put
    their own size there as a `torch.Size`, and the pipeline leaves plain tuples. A `pad_shape` may have channels
    (mmcv's `Pad`).
    """
    shape = meta['img_shape']
    if not isinstance(shape, torch.Size):
        shape = meta.get('pad_shape', shape)
    return tuple(shape[:2])
