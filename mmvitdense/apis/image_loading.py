"""Images for prediction, read as the config reads the images of its test set."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import LoadAnnotations, LoadImageFromFile, Resize
from mmengine.dataset import Compose

from mmvitdense.visualization.drawing import as_picture

from .build import enter_scope
from .errors import InputError
from .pictures import array_of, is_pil

Transform = Callable[[dict], Any]


def test_dataset(cfg: Any) -> Any:
    """The data set that a config is tested on, inside its wrappers.

    Args:
        cfg: An mmengine `Config`.

    Returns:
        The dict of the first data set inside wrappers such as `ConcatDataset`; that of validation if there is no test,
        an empty one if there is neither.
    """
    for split in ('test', 'val'):
        dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
        while dataset and ('dataset' in dataset or dataset.get('datasets')):
            dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
        if dataset:
            return dataset
    return {}


class ImageLoading:
    """The test pipeline of a config for images that stand in no data set.

    Args:
        cfg: An mmengine `Config`. Its pipeline is that of `test_dataset`, else its variable `test_pipeline`. Steps that
            load labels are left out, as in `mmseg.apis.inference_model`.

        resized: Whether images are resized as the pipeline does it; else they stay in their size.

    Raises:
        InputError: there is no test pipeline, it cannot be built, or it would run what is in an image.
    """

    def __init__(self, cfg: Any, resized: bool = True):
        steps = test_dataset(cfg).get('pipeline') or cfg.get('test_pipeline')
        if not steps:
            raise InputError(
                f'{cfg.filename} does not say how images are prepared: expected a pipeline in test_dataloader.dataset '
                'or in val_dataloader.dataset, or a test_pipeline.'
            )
        enter_scope(cfg)
        try:
            transforms = Compose(list(steps)).transforms
        except Exception as error:  # whatever a transform raises that lacks a library or an argument
            raise InputError(f'The test pipeline of {cfg.filename} cannot be built: {_first_line(error)}.') from error
        if any(getattr(step, 'decode_backend', None) == 'pickle' for step in transforms):
            raise InputError(
                f"{cfg.filename} reads images as pickles (decode_backend='pickle'), and reading one can run code that "
                "it holds: write them with numpy.save and set decode_backend='numpy'."
            )
        self._loading, self._preparing = _split(transforms)
        if not resized:
            self._preparing = [step for step in self._preparing if not isinstance(step, Resize)]

    def read(self, image: Any) -> dict[str, Any]:
        """Read an image file as the config does, or take an array in its place.

        Args:
            image: Path or http(s) address of a file, or an array as `mmdet.apis.DetInferencer` takes it: H x W x 3 in
                BGR order with values from 0 to 255 (H x W if the config loads grey images), uint8 or floating-point.
                An image of PIL or a tensor as `array_of` takes it.

        Returns:
            What the loading steps of a pipeline give: 'img', 'img_shape', 'ori_shape', 'img_path', ...

        Raises:
            InputError: the file is not an image, or the array is not what the model was made for.
        """
        if isinstance(image, torch.Tensor) or is_pil(image):
            image = array_of(image, _channels(self._loading[-1]))
        if isinstance(image, np.ndarray):
            return self._from_array(image)
        if not isinstance(image, (str, Path)):
            raise InputError(
                'expected the path of an image, a numpy array of H x W x 3 values in BGR order, a PIL image or a '
                f'tensor of 3 x H x W, got a {type(image).__name__}'
            )
        return load_image(self._loading, {'img_path': str(image), 'img_id': 0})

    @staticmethod
    def picture(results: dict[str, Any]) -> np.ndarray:
        """What `read` gave, as a picture to draw on; of many bands those that the config shows, see `as_picture`."""
        return as_picture(results['img'], results.get('shown_bands'))

    def prepare(self, results: dict[str, Any]) -> dict[str, Any]:
        """Run the rest of the pipeline on what `read` gave; returns what the model takes."""
        for transform in self._preparing:
            results = transform(results)
        return results

    def _from_array(self, image: np.ndarray) -> dict[str, Any]:
        loader = self._loading[-1]
        _check_array(image, _channels(loader))
        if getattr(loader, 'to_float32', False) or image.dtype.kind == 'f':
            image = image.astype(np.float32)
        image, shape = np.ascontiguousarray(image), image.shape[:2]
        return {'img': image, 'img_path': None, 'img_id': 0, 'img_shape': shape, 'ori_shape': shape}


def loading_of(dataset: Any, index: int) -> Callable[[], np.ndarray]:
    """How one image of a data set is read.

    Args:
        dataset: A built data set of mmdet or mmseg, or a wrapper of mmengine around some.
        index: Place of the image.

    Returns:
        A function that gives a picture (see `as_picture`) of what the first steps of the pipeline load, before
        anything is done to it.
    """
    while not hasattr(dataset, 'pipeline'):
        place = dataset._get_ori_dataset_idx(index)
        if isinstance(place, tuple):
            dataset, index = dataset.datasets[place[0]], place[1]
        else:
            dataset, index = dataset.dataset, place
    steps, _ = _split(dataset.pipeline.transforms)
    return lambda: ImageLoading.picture(load_image(steps, dataset.get_data_info(index)))


def load_image(steps: Sequence[Transform], results: dict[str, Any]) -> dict[str, Any]:
    """Run the loading steps of a pipeline.

    Raises:
        InputError: they do not give an image; the message says why.
    """
    path = results['img_path']
    if _is_special(path):
        raise InputError(f'{path} is not a regular file')
    try:
        for transform in steps:
            results = transform(results)
    except Exception as error:  # what a loader raises depends on its decoder
        raise InputError(_why_not(path, error)) from error
    if results is None or results.get('img') is None:
        raise InputError(_why_not(path, None))
    return results


def _split(transforms: Sequence[Transform]) -> tuple[list[Transform], list[Transform]]:
    """Steps that load the image, at least one, and the others without those that load labels."""
    steps = [transform for transform in transforms if not _loads_labels(transform)]
    last = max((index for index, step in enumerate(steps) if _loads_image(step)), default=0)
    return steps[: last + 1], steps[last + 1 :]


def _loads_image(transform: Transform) -> bool:
    # Loaders of other formats, mmseg's for example, have no base class in common.
    return isinstance(transform, LoadImageFromFile) or bool(re.match(r'Load\w*Image', type(transform).__name__))


def _loads_labels(transform: Transform) -> bool:
    return isinstance(transform, LoadAnnotations) or bool(re.match(r'Load\w*Annotation', type(transform).__name__))


def _channels(loader: Transform) -> int | None:
    """How many channels of 8 bits a loader gives; None if that depends on the file."""
    flag = str(getattr(loader, 'color_type', None))
    if not isinstance(loader, LoadImageFromFile) or loader.imdecode_backend == 'tifffile':
        return None
    return 3 if flag.startswith('color') else 1 if flag.startswith('grayscale') else None


def _check_array(image: np.ndarray, channels: int | None) -> None:
    if image.size == 0:
        raise InputError(f'expected an image, got an empty array of {image.shape}')
    if channels is None:
        if image.ndim < 2 or image.dtype.kind not in 'uif':
            raise InputError(
                f'expected an image of H x W or H x W x C numbers, got an array {image.shape} of {image.dtype}'
            )
        return
    wanted = 'H x W x 3 values in BGR order' if channels == 3 else 'H x W grey values'
    if image.shape[2:] != ((3,) if channels == 3 else ()) or image.ndim < 2:
        raise InputError(f'expected an image of {wanted}, got an array of {image.shape}')
    if image.dtype != np.uint8:
        _check_values(image, wanted)


def _check_values(image: np.ndarray, wanted: str) -> None:
    """Refuse what is not from 0 to 255: the pixel statistics of a config are those of 8 bits."""
    low, high = float(image.min()), float(image.max())
    got = (
        f'expected an image of {wanted} from 0 to 255 (uint8), got an array of {image.dtype} with values from {low:g} '
        f'to {high:g}'
    )
    if image.dtype.kind != 'f':
        advice = 'scale it to 0..255 and convert it' if high > 255 or high <= 1 else 'convert it'
        raise InputError(f'{got}: {advice} to uint8')
    if not (low >= 0 and high <= 255):
        raise InputError(f'{got}: scale it to 0..255')
    if 0 < high <= 1:
        raise InputError(f'{got}: multiply it by 255')


def _is_special(path: Any) -> bool:
    """Pipes and devices: reading one may never end."""
    return isinstance(path, str) and os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _why_not(path: Any, error: Exception | None) -> str:
    """Why a file could not be read as an image."""
    local = Path(path) if isinstance(path, str) and '://' not in path else None
    if isinstance(error, PermissionError):
        return f'{path} cannot be read: permission denied'
    if local is not None and local.is_dir():
        return f'{path} is a folder, expected an image'
    if local is not None and not local.exists():
        return f'the image {path} does not exist'
    if local is not None and local.stat().st_size == 0:
        return f'{path} is an empty file'
    reason = '' if error is None or isinstance(error, AssertionError) else f' ({_first_line(error)})'
    return f'{path} is not an image that can be read{reason}'


def _first_line(error: Exception) -> str:
    text = next(iter(str(error).strip().splitlines()), '')
    return f'{type(error).__name__}: {text}'.rstrip(': .')
