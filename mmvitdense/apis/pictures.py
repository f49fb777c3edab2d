"""Images in memory, of any library, in the order and range that OpenCV has."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mmvitdense.datasets.band_files import SUFFIXES, read_bands
from mmvitdense.visualization.drawing import as_picture

from .errors import InputError


def is_pil(image: Any) -> bool:
    """Whether it is an image of PIL."""
    from PIL import Image

    return isinstance(image, Image.Image)


def array_of(image: Any, channels: int | None = 3) -> np.ndarray:
    """An image of PIL or a tensor as the array that OpenCV would have read.

    Args:
        image: An image of PIL, which is turned as its EXIF data says, without its opacity, and of 16 bits by their
            upper 8; or a tensor of 3 x H x W in RGB order or 1 x H x W, uint8 from 0 to 255 or floating-point from 0
            to 1.
        channels: 1 for H x W grey values, else 3.

    Returns:
        H x W x 3 in BGR order, or H x W: uint8, of a floating-point tensor float32 from 0 to 255.

    Raises:
        InputError: It is none of these, or its values are outside of the range.
    """
    array = _of_tensor(image) if isinstance(image, torch.Tensor) else _of_pil(image)
    if channels == 1:
        return array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_BGR2GRAY)
    return array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)


def as_bgr(image: Any, size: tuple[int, int] | None = None) -> np.ndarray:
    """An image to draw on, H x W x 3 in BGR order, uint8.

    Args:
        image: An array in BGR order, an image of PIL, a tensor as `array_of` takes it, or the path of a file.
        size: Height and width that it must have.

    Raises:
        InputError: There is none, or it has another size.
    """
    if image is None:
        raise InputError('The result keeps no image to draw on: give the image.')
    if isinstance(image, (str, Path)):
        array = _decoded(image)
    else:
        array = image if isinstance(image, np.ndarray) else array_of(image)
    if size is not None and array.shape[:2] != tuple(size):
        given, wanted = (' x '.join(map(str, pair)) for pair in (array.shape[:2], size))
        raise InputError(f'The image is {given} pixels, and the result is of one of {wanted}: give the image it is of.')
    return as_picture(array)


def _decoded(path: str | Path) -> np.ndarray:
    """The pixels of a file: by OpenCV, and what it does not read by `read_bands`."""
    content, problem = _bytes(path), ''
    is_of_bands = Path(path).suffix.lower() in SUFFIXES
    # OpenCV prints errors of its own for many channels.
    array = None if is_of_bands and not _is_known_to_pillow(content) else cv2.imdecode(content, cv2.IMREAD_COLOR)
    if array is None and is_of_bands:
        try:
            array = read_bands(path)
        except (ValueError, ImportError) as error:
            problem = f' ({error})'
    if array is None:
        raise InputError(f'{path} is not an image that can be read{problem}; give the image itself.')
    return array


def _is_known_to_pillow(content: np.ndarray) -> bool:
    from PIL import Image

    try:
        Image.open(io.BytesIO(content.tobytes()))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def _bytes(path: str | Path) -> np.ndarray:
    try:
        return np.frombuffer(Path(path).read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f'{path} cannot be read ({error.strerror}); give the image itself.') from error


def _of_pil(image: Any) -> np.ndarray:
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I;16'):
        return (np.asarray(image) >> 8).astype(np.uint8)
    if image.mode in ('I', 'F'):
        array = np.asarray(image)
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 255):
            raise InputError(
                f'expected a PIL image with values from 0 to 255, got one of mode {image.mode} with values from '
                f'{low:g} to {high:g}: scale it and convert it to L or RGB'
            )
        return array.round().astype(np.uint8)
    if image.mode in ('1', 'L', 'LA'):
        return np.asarray(image.convert('L'))
    return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])


def _of_tensor(tensor: torch.Tensor) -> np.ndarray:
    wanted = 'a tensor of 3 x H x W in RGB order, uint8 from 0 to 255 or floating-point from 0 to 1'
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3) or tensor.numel() == 0:
        raise InputError(f'expected {wanted}, got one of {tuple(tensor.shape)}')
    values = tensor.detach().cpu()
    if values.is_floating_point():
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise InputError(f'expected {wanted}, got {values.dtype} with values from {low:g} to {high:g}')
        values = values.float() * 255
    elif values.dtype != torch.uint8:
        raise InputError(f'expected {wanted}, got one of {values.dtype}')
    array = values.permute(1, 2, 0).numpy()
    return np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array[..., ::-1])
