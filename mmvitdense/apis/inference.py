"""One model, one image, one call."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mmvitdense.datasets.checks import check_windows
from mmvitdense.datasets.drawing import Artist, panoptic_segments

from .build import build_model
from .checkpoint import load_model_weights
from .config import load_config
from .errors import InputError
from .sync_bn import sync_bn_to_bn

_LOADING = re.compile(r'Load\w*(Image|Annotation)')


class ImageInferencer:
    """Predict boxes and masks, or a label map, for single images with the model of an mmdet or mmseg config.

    Args:
        config: Path, `mmvitdense::family/name.py`, or `Config`.
        checkpoint: Weights of a run, all of which must fit; None leaves the model as the config initialises it.
        device: For example 'cpu' or 'cuda:1'; by default the first GPU if one is usable, else the CPU.
        cfg_options: {dotted key: value} merged into the config.

    Attributes:
        classes: Class names, from the checkpoint if it has them, else from the config.

    Raises:
        InputError, DataError, CheckpointError: something given cannot be used.

    Example:
        >>> inferencer = ImageInferencer('configs/vitdet/....py', 'epoch_12.pth')
        >>> sample = inferencer('street.jpg')
        >>> cv2.imwrite('seen.png', inferencer.draw('street.jpg', sample))
    """

    def __init__(
        self,
        config: Any,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        cfg_options: dict[str, Any] | None = None,
    ):
        self.cfg = load_config(config, cfg_options)
        self.device = _usable(device)
        sync_bn_to_bn(self.cfg)
        check_windows(self.cfg)
        model = build_model(self.cfg)
        meta = {}
        if checkpoint is None:
            model.init_weights()
        else:
            meta = load_model_weights(model, checkpoint)['meta']
        self.model = model.to(self.device).eval()
        dataset_meta = _dataset_meta(self.cfg, meta)
        self.classes = tuple(dataset_meta.get('classes') or ())
        self._artist = Artist(self.classes, dataset_meta.get('palette'))
        self._load_options, self._pipeline = _test_pipeline(self.cfg)

    def __call__(self, image: str | Path | np.ndarray) -> Any:
        """Predict for one image.

        Args:
            image: Path of an image file, or H x W x 3 array in BGR order, uint8.

        Returns:
            The data sample of the library, on the CPU and in the size of the image: `pred_instances` (boxes as
            x1, y1, x2, y2 in pixels, scores, labels, maybe masks), `pred_panoptic_seg` (`sem_seg`, 1 x H x W of class
            index + 1000 x instance) or `pred_sem_seg` (1 x H x W of class indices).

        Raises:
            InputError: the file is not an image.
        """
        from mmengine.dataset import pseudo_collate

        pixels = self._pixels(image)
        path = None if isinstance(image, np.ndarray) else str(image)
        data = self._pipeline(
            {
                'img': pixels.astype(np.float32) if self._load_options.get('to_float32') else pixels,
                'img_path': path,
                'img_id': 0,
                'img_shape': pixels.shape[:2],
                'ori_shape': pixels.shape[:2],
            }
        )
        with torch.no_grad():
            return self.model.test_step(pseudo_collate([data]))[0].cpu()

    def draw(self, image: str | Path | np.ndarray, sample: Any, score_thr: float = 0.3) -> np.ndarray:
        """Draw a prediction onto its image.

        Args:
            image: As for a call.
            sample: What the call returned.
            score_thr: Detections below it are left out.

        Returns:
            The picture in BGR order, uint8: H x W x 3, or a whole multiple of it if the image is small.
        """
        return self._artist.prediction(self._pixels(image), sample, score_thr)

    def to_json(self, sample: Any, score_thr: float = 0.0, label_map: str | None = None) -> dict[str, Any]:
        """Turn a prediction into what JSON can hold.

        Args:
            sample: What a call returned.
            score_thr: Detections below it are left out.
            label_map: Where the caller stores the label map of a segmentation, for the field of that name.

        Returns:
            For a detection: `boxes` [x1, y1, x2, y2] in pixels of the image, `scores`, `labels` (class indices),
            `names`, and `masks` in COCO's RLE if the model predicts them. For a segmentation: `classes`, the fraction
            of pixels of each class that occurs, and `label_map`. For a panoptic segmentation: `segments`, each with its
            `label`, `name` and `mask`. Always `height` and `width`.
        """
        height, width = (int(size) for size in sample.ori_shape[:2])
        content: dict[str, Any] = {'height': height, 'width': width}
        if 'pred_instances' in sample:
            content |= self._instances(sample.pred_instances, score_thr)
        if 'pred_panoptic_seg' in sample:
            content['segments'] = [
                {'label': label, 'name': self._name(label), 'mask': _rle(mask)}
                for label, mask in panoptic_segments(sample, len(self.classes))
            ]
        if 'pred_sem_seg' in sample:
            labels, counts = np.unique(self.label_map(sample), return_counts=True)
            content['classes'] = {
                self._name(label): float(count / counts.sum()) for label, count in zip(labels, counts)
            }
            content['label_map'] = label_map
        return content

    @staticmethod
    def label_map(sample: Any) -> np.ndarray | None:
        """The label map of a segmentation, H x W of class indices, uint8 or uint16; None for a detection."""
        if 'pred_sem_seg' not in sample:
            return None
        labels = sample.pred_sem_seg.data.squeeze(0).numpy()
        return labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16)

    def _instances(self, instances: Any, score_thr: float) -> dict[str, Any]:
        instances = instances[instances.scores >= score_thr]
        labels = instances.labels.tolist()
        content = {
            'boxes': instances.bboxes.double().numpy().round(2).tolist(),
            'scores': instances.scores.double().numpy().round(4).tolist(),
            'labels': labels,
            'names': [self._name(label) for label in labels],
        }
        if 'masks' in instances:
            content['masks'] = [_rle(mask) for mask in instances.masks.numpy()]
        return content

    def _name(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else f'class {label}'

    def _pixels(self, image: str | Path | np.ndarray) -> np.ndarray:
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3:
                raise InputError(f'expected an image of H x W x 3 values in BGR order, got an array of {image.shape}')
            return image
        return read_image(image, self._load_options)


def read_image(path: str | Path, options: dict[str, Any] | None = None) -> np.ndarray:
    """Read an image file as H x W x 3 in BGR order, uint8, turned upright as its EXIF data say.

    Raises:
        InputError: there is no such file, or it is not an image.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f'the image {path} does not exist')
    if path.stat().st_size == 0:
        raise InputError(f'{path} is an empty file')
    if (options or {}).get('imdecode_backend', 'cv2') != 'cv2':
        from mmcv import imread

        return imread(path, backend=options['imdecode_backend'])
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # sizes that are too large to be true
        image = None
    if image is None:
        raise InputError(f'{path} is not an image that can be read')
    return image


def _usable(device: str | None) -> torch.device:
    if device is None:
        return torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition('\n')[0]
        raise InputError(f'The device {device} cannot be used here ({reason}). Give cpu or cuda:N.') from error
    return chosen


def _dataset_meta(cfg: Any, checkpoint_meta: dict[str, Any]) -> dict[str, Any]:
    """Class names and colours: those of the run that made the checkpoint, else those of the test data of the config."""
    from mmengine.registry import DATASETS

    meta = {str(key).lower(): value for key, value in (checkpoint_meta.get('dataset_meta') or {}).items()}
    if meta.get('classes'):
        return meta
    dataset = _innermost(cfg)
    dataset_class = DATASETS.get(
        f'{cfg.default_scope}.{dataset.type}' if '.' not in str(dataset.type) else dataset.type
    )
    return {**(getattr(dataset_class, 'METAINFO', None) or {}), **(dataset.get('metainfo') or {})}


def _innermost(cfg: Any) -> Any:
    """The test data set itself, inside wrappers such as `RepeatDataset`."""
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return dataset


def _test_pipeline(cfg: Any) -> tuple[dict[str, Any], Callable[[dict], dict]]:
    """The options of the config's image loading, and its test pipeline without the loading of images and labels."""
    from mmengine.dataset import Compose

    steps = list(_innermost(cfg).pipeline)
    loading = [dict(step) for step in steps if re.fullmatch(r'Load\w*Image\w*', _kind(step))]
    rest: Sequence[Any] = [step for step in steps if not _LOADING.match(_kind(step))]
    return (loading[0] if loading else {}), Compose(rest)


def _kind(step: Any) -> str:
    kind = step['type']
    return kind.__name__ if isinstance(kind, type) else kind.rpartition('.')[2]


def _rle(mask: np.ndarray) -> dict[str, Any]:
    """A binary mask in COCO's compressed run-length encoding, with `counts` as text."""
    from pycocotools.mask import encode

    code = encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': [int(size) for size in code['size']], 'counts': code['counts'].decode('ascii')}
