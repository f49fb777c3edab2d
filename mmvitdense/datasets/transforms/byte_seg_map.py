"""Label maps as bytes."""

from __future__ import annotations

import numpy as np

from mmvitdense.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ByteSegMap:
    """Make the label map that mmdet's `LoadPanopticAnnotations` loads, of 64 bits, one of bytes.

    Then it can be resized with `backend='pillow'` beside its image, and faster.
    """

    def __call__(self, results: dict) -> dict:
        """Change results['gt_seg_map'].

        Raises:
            ValueError: It has a label below 0 or above 255.
        """
        labels = results['gt_seg_map']
        lowest, highest = labels.min(), labels.max()
        if lowest < 0 or highest > 255:
            raise ValueError(
                f'ByteSegMap takes labels from 0 to 255, and a label map has {lowest} to {highest}: leave it out, and '
                "backend='pillow' with it"
            )
        results['gt_seg_map'] = labels.astype(np.uint8)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
