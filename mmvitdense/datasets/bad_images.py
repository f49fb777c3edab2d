"""Files that cannot be read while a data set is in use: named, and in training replaced up to a limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine import fileio
from mmengine.dataset import BaseDataset

from .checks.coco_masks import decoding_fault
from .checks.messages import DataError, warn
from .image_decoding import UnreadableImageError, decode_image


def guard_images(dataset: Any, limit: int | None = None, training: bool = True) -> None:
    """Make a data set, or those inside of its wrappers, name the files that cannot be read.

    In training another image, drawn by mmengine's `BaseDataset`, takes the place of an image whose file or label map
    cannot be read; in testing the run stops. JPEGs that only lack their last bytes are read, in both.

    Args:
        dataset: The data set, before processes that load from it are started: they count together.
        limit: How many different images of a data set may be replaced, in each process that trains; by default 1 % of
            them, but at least one.
        training: Whether it is trained on. The `test_mode` of a data set does not say so: in mmseg it says that there
            are no labels.
    """
    for part in _parts(dataset):
        images = BadImages(part, limit, training)
        for index, transform in enumerate(part.pipeline.transforms):
            if isinstance(transform, LoadImageFromFile):
                part.pipeline.transforms[index] = GuardedImage(transform, images)
            elif isinstance(transform, LoadAnnotations):
                part.pipeline.transforms[index] = GuardedAnnotations(transform, images)


class BadImages:
    """Which images of a data set could not be read so far.

    Args:
        dataset: The data set.
        limit, training: As for `guard_images`.
    """

    def __init__(self, dataset: BaseDataset, limit: int | None, training: bool):
        self._replaced = torch.zeros(len(dataset), dtype=torch.uint8).share_memory_()
        self._replaces = training and not dataset.test_mode
        self._limit = max(1, len(dataset) // 100) if limit is None else limit
        self._told: set[str] = set()

    def replace(self, results: dict, path: str, problem: Exception | str) -> None:
        """Count an image, for which the pipeline then returns None.

        Raises:
            DataError: In testing, or if the image is one too many.
        """
        name = f'{path}{_id(results)} cannot be read ({problem})'
        if not self._replaces:
            raise DataError(f'{name}: replace it, or take it out of the data that is scored.')
        first = not self._replaced[results['sample_idx']]
        self._replaced[results['sample_idx']] = 1
        count = int(self._replaced.sum())
        if count > self._limit:
            raise DataError(
                f'{name}, the {count}th such image of {len(self._replaced)}, and at most {self._limit} are replaced: '
                'replace the files, take them out of the data set, or allow more with --max-bad-images N.'
            )
        if first:
            warn(f'{name}: another image takes its place ({count} so far, at most {self._limit}).')

    def tell_cut(self, results: dict, missing: int, rows: int) -> None:
        """Warn once of an image whose last rows are missing."""
        path = results['img_path']
        if path not in self._told:
            self._told.add(path)
            warn(f'{path}{_id(results)} lacks its last bytes: parts of the last {missing} of its {rows} rows are grey.')


class GuardedImage:
    """Loads an image as mmcv's `LoadImageFromFile` does, also if it lacks its last bytes.

    Args:
        loader: The transform that loads images.
        images: Where to report files that cannot be read.
    """

    def __init__(self, loader: LoadImageFromFile, images: BadImages):
        self.loader = loader
        self.images = images

    def __call__(self, results: dict) -> dict | None:
        """Load the image, or return None if another one shall take its place."""
        try:
            return self.loader(results)
        except Exception as error:  # each backend and format has errors of its own
            problem = error
        if type(self.loader).transform is LoadImageFromFile.transform:
            try:
                return self._load_cut(results)
            except (OSError, UnreadableImageError) as error:
                problem = error
        return self.images.replace(results, results['img_path'], problem)

    def __repr__(self) -> str:
        return repr(self.loader)

    def _load_cut(self, results: dict) -> dict:
        loader = self.loader
        content = fileio.get(results['img_path'], backend_args=loader.backend_args)
        image, missing = decode_image(content, loader.color_type, loader.imdecode_backend)
        if missing:
            self.images.tell_cut(results, missing, len(image))
        results['img'] = image.astype('float32') if loader.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


class GuardedAnnotations:
    """Loads annotations, and names the file of a label map that cannot be read, or the image of other faults.

    Args:
        loader: The transform that loads annotations.
        images: Where to report files that cannot be read.
    """

    def __init__(self, loader: LoadAnnotations, images: BadImages):
        self.loader = loader
        self.images = images

    def __call__(self, results: dict) -> dict | None:
        """Load the annotations, or return None if another image shall take its place.

        Masks are judged before pycocotools gets them, which trusts every number: also those of data sets for which
        there are no checks before a run.
        """
        if getattr(self.loader, 'with_mask', False):
            _refuse_masks(results)
        try:
            return self.loader(results)
        except Exception as error:
            path = results.get('seg_map_path')
            if path and (problem := _problem_of(path, self.loader)):
                return self.images.replace(results, path, problem)
            raise DataError(
                f'The annotations of {results.get("img_path")}{_id(results)} cannot be loaded: {error!r}.'
            ) from error

    def __repr__(self) -> str:
        return repr(self.loader)


def _refuse_masks(results: dict) -> None:
    height, width = (results.get(side) or 0 for side in ('height', 'width'))
    if not (height and width):
        height, width = results['ori_shape'][:2]
    for index, instance in enumerate(results.get('instances') or ()):
        mask = instance.get('mask')
        # Data sets of mmdet keep RLEs that were compressed by pycocotools itself as bytes.
        if isinstance(mask, dict) and isinstance(mask.get('counts'), bytes):
            mask = {**mask, 'size': list(mask['size']), 'counts': mask['counts'].decode('latin-1')}
        if isinstance(mask, (list, dict)) and (fault := decoding_fault(mask, height, width)):
            raise DataError(
                f'The annotations of {results.get("img_path")}{_id(results)} cannot be loaded: the mask of its object '
                f'{index} {fault}. Correct this annotation, or take it out.'
            )


def _problem_of(path: str, loader: LoadAnnotations) -> str | None:
    """Return what is wrong with a label map, None if it can be decoded."""
    try:
        content = fileio.get(path, backend_args=loader.backend_args)
        decode_image(content, 'unchanged', loader.imdecode_backend)
    except (OSError, UnreadableImageError) as error:
        return str(error)
    return None


def _id(results: dict) -> str:
    return f' (id {results["img_id"]!r})' if 'img_id' in results else ''


def _parts(dataset: Any) -> Iterator[BaseDataset]:
    """Yield the data sets with a pipeline of their own inside of wrappers."""
    if isinstance(dataset, BaseDataset):
        yield dataset
        return
    for name in ('dataset', '_dataset'):
        inner = getattr(dataset, name, None)
        if inner is not None:
            yield from _parts(inner)
            return
    for inner in getattr(dataset, 'datasets', ()):
        yield from _parts(inner)
