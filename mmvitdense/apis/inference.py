"""One class for predictions: any model, any images, plain results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmvitdense.compat import while_tools_run
from mmvitdense.datasets.checks import check_windows
from mmvitdense.progress import progress as with_bar

from .batches import Batching, Prepared
from .build import build_model, predict_labels_alone
from .dataset_meta import dataset_meta
from .devices import usable_device
from .errors import InputError
from .files import check_score_thr
from .fusing import PRECISIONS, fuse_for_inference
from .image_loading import ImageLoading
from .inputs import Inputs, Item, find_inputs
from .named_models import FoundModel, find_model
from .result import Result
from .sample_results import SampleReader
from .sync_bn import sync_bn_to_bn
from .tiles import Tiling, check_tile_size
from .wide_heads import give_float32

Skip = Callable[[Item, Exception], None]


class Inferencer:
    """Predict boxes, masks, label maps or panoptic segments with the model of an mmdet or mmseg config.

    Threads may share one: images are read and results made side by side, the model runs for one of them at a time.

    Memory beside the model and its activations for a batch: the images of the batch (and up to three times as many that
    wait for others of their size), one mask at a time, and the results, of which masks are run lengths.

    Args:
        model: A name of the zoo (`vitdet-b-mae_mask-rcnn_lsj-100e_coco`), path of a config, `Config`, a checkpoint of a
            run, or what `find_model` found.
        weights: As for `find_model`: those published for the model by default, a file, or 'random'.
        device: For example 'cpu' or 'cuda:1'; by default the first GPU if one is usable, else the CPU.
        precision: 'float32', or 'bfloat16', which is faster where the processor has it and changes scores in the third
            digit: on a GPU autocast, on a CPU see `fuse_for_inference`.
        batch_size: How many images go through the model at once. Only images that are padded to one size anyway are
            put together, so that results are those of single images.
        tiles: Side in pixels of the squares that large images are cut into. Of a detector, objects of all tiles and of
            the whole image are joined (see `Tiling`, which needs sahi); a segmentor sees the image in its own size, in
            windows of this size, instead of resized as its config does, and `batch_size` windows at once.
        cfg_options: {dotted key: value} merged into the config.
        fuse: Whether on a CPU the model is a fused copy, see `fuse_for_inference`. False leaves it as it is built, for
            hooks that look inside, training, or export.

    Attributes:
        classes: Class names, from the checkpoint if it has them, else from the config.
        model: What predicts: of a fused one the weights can be neither read nor changed.

    Raises:
        InputError, DataError, CheckpointError: Something given cannot be used.

    Example:
        >>> inferencer = Inferencer('vitdet-b-mae_mask-rcnn_lsj-100e_coco')
        >>> result = inferencer('street.jpg')
        >>> result.save('seen.png')
    """

    @while_tools_run()
    def __init__(
        self,
        model: Any,
        weights: str | Path | None = None,
        device: str | None = None,
        precision: str = 'float32',
        batch_size: int = 1,
        tiles: int | None = None,
        cfg_options: dict[str, Any] | None = None,
        fuse: bool = True,
    ):
        if precision not in PRECISIONS:
            raise InputError(f'precision is {precision!r}; expected {" or ".join(map(repr, PRECISIONS))}.')
        self.batch_size = _checked_batch_size(batch_size)
        self.precision = precision
        self.device = usable_device(device)
        if isinstance(model, FoundModel) and (weights is not None or cfg_options):
            raise InputError('What find_model found has its weights and options: give them to it.')
        found = model if isinstance(model, FoundModel) else find_model(model, weights, cfg_options)
        self.cfg = found.config
        sync_bn_to_bn(self.cfg)
        check_windows(self.cfg)
        predict_labels_alone(self.cfg)
        self._tiling = self._set_tiles(tiles)
        built = build_model(self.cfg)
        self._images = ImageLoading(self.cfg, resized=tiles is None or self._tiling is not None)
        meta = dataset_meta(self.cfg, found.load_weights(built)['meta'])
        self.model = built.to(self.device).eval()
        if fuse and self.device.type == 'cpu':
            self.model = fuse_for_inference(self.model, precision)
        elif precision == 'bfloat16':
            give_float32(self.model, maps=True)
        self.classes = tuple(meta.get('classes') or ())
        self._read = SampleReader(self.model, self.classes, meta.get('palette'))
        if tiles is not None and self._tiling is None:
            _check_windowed(built)
        self._batching = Batching(self.model.data_preprocessor)
        self._turn = threading.Lock()

    def __call__(
        self,
        inputs: Any,
        score_thr: float = 0.3,
        batch_size: int | None = None,
        progress: bool = False,
        keep_images: bool = False,
    ) -> Result | list[Result]:
        """Predict.

        Args:
            inputs: As `find_inputs` takes them. Arrays are in BGR order with values from 0 to 255 (H x W if the config
                loads grey images), tensors in RGB order, uint8 from 0 to 255 or floating-point from 0 to 1.
            score_thr: Detections below it are left out, and their masks not made; 0 for all that the model gives, as
                the scoring of a data set needs them.
            batch_size: By default that of the inferencer.
            progress: Whether a bar on a terminal counts the images.
            keep_images: Whether each result keeps its `image`, for drawing.

        Returns:
            One result for one image; for several a list, in their order.

        Raises:
            InputError: An image cannot be read, or is not what the model was made for; or the inputs never end.
        """
        found = find_inputs(inputs)
        if found.endless:
            raise InputError('The frames of a camera have no end: take them one by one, with the method stream.')
        results = list(self._stream(found, score_thr, batch_size, progress, keep_images, None))
        return results[0] if found.single else results

    def stream(
        self,
        inputs: Any,
        score_thr: float = 0.3,
        batch_size: int | None = None,
        progress: bool = False,
        keep_images: bool = False,
        skip: Skip | None = None,
    ) -> Iterator[Result]:
        """Predict one after the other, for videos, cameras, generators and large folders, in bounded memory.

        Args:
            inputs, score_thr, batch_size, progress, keep_images: As for a call.
            skip: Called with the input and the error where an image cannot be read or predicted for, which then has no
                result; by default the error is raised.

        Yields:
            The results, in the order of the inputs.
        """
        return self._stream(find_inputs(inputs), score_thr, batch_size, progress, keep_images, skip)

    def _set_tiles(self, tiles: int | None) -> Tiling | None:
        """Set the windows of a segmentor, or give the tiling of a detector."""
        if tiles is None:
            return None
        if self.cfg.get('default_scope') != 'mmseg':
            return Tiling(tiles)
        check_tile_size(tiles)
        windows = {'mode': 'even_slide', 'crop_size': (tiles, tiles), 'window_batch': self.batch_size}
        self.cfg.model.test_cfg = {'keep_logits': False, **(self.cfg.model.get('test_cfg') or {}), **windows}
        return None

    def draw(self, image: Any, result: Result, score_thr: float = 0.3, legend: bool = True) -> np.ndarray:
        """Draw a result onto its image, which is read as the config reads it; see `Result.draw`."""
        return result.draw(self._images.picture(self._images.read(image)), score_thr, legend)

    def _stream(
        self,
        found: Inputs,
        score_thr: float,
        batch_size: int | None,
        progress: bool,
        keep_images: bool,
        skip: Skip | None,
    ) -> Iterator[Result]:
        check_score_thr(score_thr, 'score_thr')
        size = self.batch_size if batch_size is None else _checked_batch_size(batch_size)
        items = found.items
        if progress:
            items = with_bar(items, 'Images', found.total)
        predict = self._in_batches if self._tiling is None else self._in_tiles
        return predict(items, score_thr, size, keep_images, skip)

    def _in_batches(
        self, items: Iterable[Item], score_thr: float, size: int, keep_images: bool, skip: Skip | None
    ) -> Iterator[Result]:
        images = _counted(self._prepare(item, keep_images) for item in items)
        place, done = 0, {}
        for group in self._batching.group(images, size):
            for image, result in zip(group, self._predict_group(group, score_thr, skip)):
                done[image.place] = result
            while place in done:
                result = done.pop(place)
                place += 1
                if result is not None:
                    yield result

    def _in_tiles(
        self, items: Iterable[Item], score_thr: float, size: int, keep_images: bool, skip: Skip | None
    ) -> Iterator[Result]:
        for item in items:
            try:
                read = self._images.read(item.image)
                pixels = read['img']
                places = self._tiling.places(*pixels.shape[:2])
                parts = [pixels, *(pixels[top:bottom, left:right] for left, top, right, bottom in places)]
                crops = [Item(np.ascontiguousarray(part), item.name, item.path, item.frame) for part in parts]
                whole, *tiles = self._in_batches(crops, score_thr, size, False, None)
                if keep_images:
                    whole.image = self._images.picture(read)
                corners = [place[:2] for place in places]
                yield self._tiling.join(whole, [(*corner, tile) for corner, tile in zip(corners, tiles)])
            except Exception as error:  # as in batches
                if skip is None:
                    raise
                skip(item, error)

    def _prepare(self, item: Item, keep_image: bool) -> Prepared:
        try:
            read = self._images.read(item.image)
            image = self._images.picture(read) if keep_image else None
            return Prepared(item, self._images.prepare(read), tuple(read['ori_shape'][:2]), image)
        except Exception as error:  # decoders and transforms raise what they like
            return Prepared(item, error=error)

    def _predict_group(self, group: list[Prepared], score_thr: float, skip: Skip | None) -> list[Result | None]:
        try:
            if group[0].error is not None:
                raise group[0].error
            return self._predict(group, score_thr)
        except Exception as error:
            if skip is None:
                raise
            if len(group) > 1:  # one of them is at fault, the others are none the worse
                return [self._predict_group([image], score_thr, skip)[0] for image in group]
            skip(group[0].item, error)
            return [None]

    def _predict(self, group: list[Prepared], score_thr: float) -> list[Result]:
        with self._turn, torch.no_grad():
            batch = self._batching.collate(group)
            self._read.before(score_thr)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == 'bfloat16'):
                samples = self.model(**batch, mode='predict')
        return [self._read.result(sample, image, score_thr) for sample, image in zip(samples, group)]


def _check_windowed(model: torch.nn.Module) -> None:
    from mmvitdense.models.segmentation.windowed_segmentor import PredictsInWindows

    if not isinstance(model, PredictsInWindows):
        raise InputError(
            f'tiles needs a segmentor with windows, got a {type(model).__name__}: set '
            "model.type='mmvitdense.WindowedEncoderDecoder'."
        )


def _counted(images: Iterable[Prepared]) -> Iterator[Prepared]:
    for place, image in enumerate(images):
        image.place = place
        yield image


def _checked_batch_size(batch_size: Any) -> int:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f'batch_size is {batch_size!r}; expected a whole number of at least 1.')
    return batch_size
