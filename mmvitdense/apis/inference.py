"""One model, one image, one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmvitdense.compat import while_tools_run
from mmvitdense.datasets.checks import check_windows
from mmvitdense.visualization.drawing import Artist, as_picture, panoptic_segments

from .build import build_model, predict_labels_alone
from .checkpoint import load_model_weights
from .config import load_config
from .dataset_meta import dataset_meta
from .devices import usable_device
from .image_loading import ImageLoading
from .sync_bn import sync_bn_to_bn


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

    @while_tools_run()
    def __init__(
        self,
        config: Any,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        cfg_options: dict[str, Any] | None = None,
    ):
        self.cfg = load_config(config, cfg_options)
        self.device = usable_device(device)
        sync_bn_to_bn(self.cfg)
        check_windows(self.cfg)
        predict_labels_alone(self.cfg)
        model = build_model(self.cfg)
        self._images = ImageLoading(self.cfg)
        meta = {}
        if checkpoint is None:
            model.init_weights()
        else:
            meta = load_model_weights(model, checkpoint)['meta']
        self.model = model.to(self.device).eval()
        known = dataset_meta(self.cfg, meta)
        self.classes = tuple(known.get('classes') or ())
        self._artist = Artist(self.classes, known.get('palette'))

    def __call__(self, image: str | Path | np.ndarray) -> Any:
        """Predict for one image.

        Args:
            image: Path or http(s) address of an image file, read as the config reads its test images; or an array as
                `ImageLoading.read` takes it, normally H x W x 3 in BGR order, uint8.

        Returns:
            The data sample of the library, on the CPU and in the size of the image: `pred_instances` (boxes as
            x1, y1, x2, y2 in pixels, scores, labels, maybe masks), `pred_panoptic_seg` (`sem_seg`, 1 x H x W of class
            index + 1000 x instance) or `pred_sem_seg` (1 x H x W of class indices; the scores of all classes too, as
            `seg_logits`, with `cfg_options={'model.test_cfg.keep_logits': True}`).

        Raises:
            InputError: the file is not an image, or the array is not what the model was made for.
        """
        from mmengine.dataset import pseudo_collate

        data = self._images.prepare(self._images.read(image))
        with torch.no_grad():
            return self.model.test_step(pseudo_collate([data]))[0].cpu()

    def draw(
        self, image: str | Path | np.ndarray, sample: Any, score_thr: float = 0.3, legend: bool = True
    ) -> np.ndarray:
        """Draw a prediction onto its image.

        Args:
            image: As for a call.
            sample: What the call returned.
            score_thr: Detections below it are left out.
            legend: Name the classes of a segmentation in a list on the right, instead of on the picture.

        Returns:
            The picture in BGR order, uint8: H x W x 3 of the image as the config reads it, or a whole multiple of it if
            the image is small; a legend makes it wider.
        """
        return self._artist.prediction(as_picture(self._images.read(image)['img']), sample, score_thr, legend)

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


def _rle(mask: np.ndarray) -> dict[str, Any]:
    """A binary mask in COCO's compressed run-length encoding, with `counts` as text."""
    from pycocotools.mask import encode

    code = encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': [int(size) for size in code['size']], 'counts': code['counts'].decode('ascii')}
