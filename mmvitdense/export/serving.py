"""Images of any size below that of a file, to the file and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .description import Description
from .errors import ExportError
from .runtimes import Arrays, Session
from .tracing import standard_operators
from .wrapped import Wrapped


class EagerSession(Session):
    """The wrapped model itself, in PyTorch, in the place of a file."""

    runtime = 'pytorch'

    def __init__(self, wrapped: Wrapped, description: Description):
        super().__init__(Path('the model in PyTorch'), description)
        self.module = wrapped.module

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Outputs by name, of inputs by name."""
        tensors = [torch.from_numpy(inputs[name]) for name in self.description.inputs]
        with torch.no_grad(), standard_operators():
            outputs = self.module(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return dict(zip(self.description.outputs, (output.numpy() for output in outputs)))


def run_images(
    session: Session, images: Sequence[Tensor], scales: Sequence[Sequence[float]] | None = None
) -> list[Arrays]:
    """Run images through a file.

    Args:
        session: The file.
        images: Each 3 x h x w, values from 0 to 255 in the order of the config; at most of the size of the file.
        scales: (horizontal, vertical) by which each was stretched; 1 where not given.

    Returns:
        The outputs of each image.

    Raises:
        ExportError: an image is larger than the file takes.
    """
    description = session.description
    size = size_of(description, images)
    scales = scales or [(1.0, 1.0)] * len(images)
    at_once = description.batch or len(images)
    results = []
    for start in range(0, len(images), at_once):
        some = list(range(start, min(start + at_once, len(images))))
        filled = some + [some[-1]] * (at_once - len(some) if description.batch else 0)
        outputs = session(arrays([images[i] for i in filled], [scales[i] for i in filled], description, size))
        results += [{name: value[place] for name, value in outputs.items()} for place in range(len(some))]
    return results


def size_of(description: Description, images: Sequence[Tensor]) -> tuple[int, int]:
    """Height and width that images are padded to.

    Raises:
        ExportError: an image is larger than the file takes.
    """
    height, width = (max(image.shape[axis] for image in images) for axis in (-2, -1))
    if description.any_size:
        return tuple(-(-side // description.multiple) * description.multiple for side in (height, width))
    if height > description.height or width > description.width:
        raise ExportError(
            f'An image of {height} x {width} pixels is larger than the file takes, {description.height} x '
            f'{description.width}: shrink it, or export with --size {height} {width}.'
        )
    return description.height, description.width


def arrays(
    images: Sequence[Tensor], scales: Sequence[Sequence[float]], description: Description, size: tuple[int, int]
) -> Arrays:
    """The inputs of a file for images, padded to `size`."""
    padded = np.empty((len(images), 3, *size), dtype=np.float32)
    padded[:] = np.asarray(description.padding, dtype=np.float32).reshape(1, 3, 1, 1)
    for place, image in zip(padded, images):
        place[:, : image.shape[-2], : image.shape[-1]] = image.numpy()
    made = {
        'image': padded,
        'size': np.array([image.shape[-2:] for image in images], dtype=np.int64),
        'scale': np.array(scales, dtype=np.float32),
    }
    return {name: made[name] for name in description.inputs}
