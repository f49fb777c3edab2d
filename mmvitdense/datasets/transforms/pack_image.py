"""Images without annotations, as a model takes them."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from mmvitdense.registry import TRANSFORMS

_META = ('img_path', 'ori_shape', 'img_shape')


@TRANSFORMS.register_module()
class PackImage:
    """Pack an image alone, for models that learn from images."""

    def __call__(self, results: dict) -> dict:
        """Make results['img'], H x W x 3, the 'inputs' of 3 x H x W, beside 'data_samples' with where it is from."""
        image = torch.from_numpy(np.ascontiguousarray(results['img'].transpose(2, 0, 1)))
        meta = {name: results[name] for name in _META if name in results}
        return {'inputs': image, 'data_samples': BaseDataElement(metainfo=meta)}

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
