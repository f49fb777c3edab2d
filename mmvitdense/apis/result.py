"""What was predicted for one image, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmvitdense.mask_codes import MaskCode, area, box, decode, encode, polygons
from mmvitdense.visualization.drawing import Artist
from mmvitdense.visualization.picture_files import write_image
from mmvitdense.visualization.scenes import Scene

from .files import write_json
from .pictures import as_bgr

_INSTANCE_OFFSET = 1000  # mmdet.evaluation.functional.INSTANCE_OFFSET


@dataclass
class Result:
    """A prediction: arrays, numbers and text alone, so that it can be pickled, sent, filtered and drawn again.

    What the model does not predict is None.

    Attributes:
        height, width: Of the image, in pixels.
        classes: Names of the classes that the model knows.
        boxes: N x 4 float32, x1, y1, x2, y2 in pixels.
        scores: N float32.
        labels: N int64, indices of classes.
        masks: N masks of the size of the image, in COCO's run-length encoding (`mask(index)` decodes one).
        label_map: height x width, uint8 or uint16, indices of classes of a semantic segmentation.
        segment_map: height x width int32, class + 1000 x instance of a panoptic segmentation, and the number of classes
            where there is no segment, as mmdet has it.
        class_scores: classes x height x width float32 of a semantic segmentation, where the config keeps them.
        path: Of the image file, the video, or the address; None for an image in memory.
        frame: Number of the frame in its video or camera, from 0; None for an image.
        name: Of the image among those that were given: its path below the folder, or its number.
        meta: What the pipeline recorded of the image ('img_shape', 'scale_factor', ...).
        palette: Colours (red, green, blue) of the classes, as far as they have own ones.
        image: H x W x 3, BGR, uint8, where it was asked to be kept.
    """

    height: int
    width: int
    classes: tuple[str, ...] = ()
    boxes: np.ndarray | None = None
    scores: np.ndarray | None = None
    labels: np.ndarray | None = None
    masks: list[MaskCode] | None = None
    label_map: np.ndarray | None = field(default=None, repr=False)
    segment_map: np.ndarray | None = field(default=None, repr=False)
    class_scores: np.ndarray | None = field(default=None, repr=False)
    path: str | None = None
    frame: int | None = None
    name: str = ''
    meta: dict[str, Any] = field(default_factory=dict, repr=False)
    palette: list[tuple[int, int, int]] | None = field(default=None, repr=False)
    image: np.ndarray | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.height, self.width

    @property
    def names(self) -> list[str]:
        """The class of each detection."""
        return [self.name_of(label) for label in (() if self.labels is None else self.labels.tolist())]

    @property
    def segments(self) -> list[dict[str, Any]]:
        """Segments of a panoptic segmentation in order of their ids: 'id', 'label', 'name' and 'area' in pixels."""
        if self.segment_map is None:
            return []
        ids, counts = np.unique(self.segment_map, return_counts=True)
        return [
            {'id': number, 'label': label, 'name': self.name_of(label), 'area': count}
            for number, count in zip(ids.tolist(), counts.tolist())
            if (label := number % _INSTANCE_OFFSET) < len(self.classes)
        ]

    def name_of(self, label: int) -> str:
        """The name of a class, its number if it has none."""
        return self.classes[label] if label < len(self.classes) else f'class {label}'

    def __len__(self) -> int:
        """The number of detections."""
        return 0 if self.boxes is None else len(self.boxes)

    def __bool__(self) -> bool:
        return True

    def mask(self, index: int) -> np.ndarray:
        """One mask, height x width, bool."""
        return decode(self.masks[index])

    def polygons(self, index: int) -> list[list[float]]:
        """The outlines of one mask, each [x1, y1, x2, y2, ...] in pixels."""
        return polygons(self.masks[index])

    def filter(self, score_thr: float) -> Result:
        """The result with the detections whose score is at least `score_thr`; the rest of it is shared."""
        if self.scores is None:
            return self
        kept = np.flatnonzero(self.scores >= score_thr)
        masks = None if self.masks is None else [self.masks[index] for index in kept]
        return dataclasses.replace(
            self, boxes=self.boxes[kept], scores=self.scores[kept], labels=self.labels[kept], masks=masks
        )

    def draw(
        self, image: Any = None, score_thr: float = 0.3, legend: bool = True, boxes: bool = True, masks: bool = True
    ) -> np.ndarray:
        """Draw the result onto its image.

        Args:
            image: The image of the result: an array in BGR order, a PIL image, a tensor, or a path; by default the one
                that was kept, else the file at `path`.
            score_thr: Detections below it are left out.
            legend: Name the classes of a segmentation in a list on the right, instead of on the picture.
            boxes, masks: Whether those are drawn.

        Returns:
            The picture in BGR order, uint8: H x W x 3, or a whole multiple of it if the image is small; a legend makes
            it wider.

        Raises:
            InputError: There is no image, or it has another size.
        """
        image = self.image if image is None else image
        picture = as_bgr(self.path if image is None else image, self.size)
        return Artist(self.classes, self.palette).draw(picture, self.scene(score_thr, boxes, masks), legend)

    def save(self, path: str | Path, image: Any = None, score_thr: float = 0.3) -> None:
        """Write the result as a picture, or as JSON where the name ends in `.json`.

        Args:
            path: Name of the file.
            image, score_thr: As for `draw`.
        """
        if Path(path).suffix.lower() == '.json':
            write_json(path, self.filter(score_thr).to_dict(), indent=None)
        else:
            write_image(path, self.draw(image, score_thr))

    def scene(self, score_thr: float = 0.0, boxes: bool = True, masks: bool = True) -> Scene:
        """What is to be drawn."""
        seen = self.filter(score_thr)
        if self.segment_map is not None:
            return Scene(segment_map=self.segment_map)
        return Scene(
            boxes=seen.boxes if boxes else None,
            labels=seen.labels,
            scores=seen.scores,
            masks=seen.masks if masks else None,
            label_map=seen.label_map,
        )

    def to_dict(self, label_map: str | None = None, polygons: bool = False) -> dict[str, Any]:
        """The result as what JSON can hold.

        Args:
            label_map: Where the caller stores the label map of a segmentation; by default the map is in the dict, as
                'class_masks', each with 'label', 'name' and 'mask'.
            polygons: Give masks of detections as polygons, which leave out holes, in place of run lengths.

        Returns:
            'height', 'width', and 'path' and 'frame' where there is one. For a detection 'boxes' [x1, y1, x2, y2] in
            pixels, 'scores', 'labels' (indices of classes), 'names', and 'masks' where the model predicts them. For a
            segmentation 'classes', the fraction of pixels of each class that occurs, and 'label_map' or 'class_masks'.
            For a panoptic segmentation 'segments', each with 'label', 'name' and 'mask'.
        """
        content: dict[str, Any] = {'height': self.height, 'width': self.width}
        content |= {key: value for key in ('path', 'frame') if (value := getattr(self, key)) is not None}
        if self.boxes is not None:
            content |= {
                'boxes': self.boxes.astype(float).round(2).tolist(),
                'scores': self.scores.astype(float).round(4).tolist(),
                'labels': self.labels.tolist(),
                'names': self.names,
            }
        if self.masks is not None:
            content['masks'] = [self.polygons(index) for index in range(len(self))] if polygons else self.masks
        if self.segment_map is not None:
            content['segments'] = [
                {'label': segment['label'], 'name': segment['name'], 'mask': encode(self.segment_map == segment['id'])}
                for segment in self.segments
            ]
        if self.label_map is not None:
            content |= self._map_dict(label_map)
        return content

    def _map_dict(self, stored: str | None) -> dict[str, Any]:
        labels, counts = np.unique(self.label_map, return_counts=True)
        names = {label: self.name_of(label) for label in labels.tolist()}
        content = {'classes': dict(zip(names.values(), (counts / counts.sum()).tolist()))}
        if stored is not None:
            return {**content, 'label_map': stored}
        masks = [
            {'label': label, 'name': name, 'mask': encode(self.label_map == label)} for label, name in names.items()
        ]
        return {**content, 'class_masks': masks}

    def to_coco(
        self, image_id: int | str, category_ids: Sequence[int] | Mapping[str, int] | None = None
    ) -> list[dict[str, Any]]:
        """The detections as COCO's results: 'image_id', 'category_id', 'bbox' [x, y, w, h], 'score', 'segmentation'.

        Of a panoptic segmentation each thing and region is one, with the box of its mask and a score of 1.

        Args:
            image_id: That of the annotation file.
            category_ids: The id of each class, in their order, or by name; by default 1 for the first class and so on,
                which are not the ids of COCO's own annotations.
        """
        ids = self._category_ids(category_ids)
        if self.segment_map is not None:
            segments = [(segment['label'], encode(self.segment_map == segment['id'])) for segment in self.segments]
            return [
                {
                    'image_id': image_id,
                    'category_id': ids(label),
                    'bbox': [float(side) for side in box(code)],
                    'score': 1.0,
                    'segmentation': code,
                    'area': area(code),
                }
                for label, code in segments
            ]
        found = []
        for index in range(len(self)):
            left, top, right, bottom = self.boxes[index].astype(float).tolist()
            entry = {
                'image_id': image_id,
                'category_id': ids(int(self.labels[index])),
                'bbox': [round(value, 3) for value in (left, top, right - left, bottom - top)],
                'score': round(float(self.scores[index]), 6),
            }
            found.append(entry if self.masks is None else {**entry, 'segmentation': self.masks[index]})
        return found

    def _category_ids(self, given: Any) -> Any:
        if given is None:
            return lambda label: label + 1
        if isinstance(given, Mapping):
            return lambda label: given[self.name_of(label)]
        return lambda label: int(given[label])

    def to_supervision(self) -> Any:
        """The result as `supervision.Detections`, of which a segmentation has one for each class or segment.

        Its masks are N x height x width bool, one byte for each pixel and mask.

        Raises:
            InputError: supervision is not installed.
        """
        from .other_forms import supervision_detections

        return supervision_detections(self)

    @property
    def sample(self) -> Any:
        """The data sample of mmdet or mmseg, on the CPU, with masks as N x height x width bool.

        One byte for each pixel and mask: 2.4 GB for 100 masks of a photo of 24 megapixels.
        """
        from .other_forms import data_sample

        return data_sample(self)
