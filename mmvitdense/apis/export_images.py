"""Images on which an exported file is compared with PyTorch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner

from mmvitdense.datasets.checks import check_data
from mmvitdense.export.description import Description

from .build import enter_scope
from .errors import InputError
from .image_files import image_files
from .image_loading import ImageLoading, test_dataset
from .quiet import quiet

Batch = dict[str, Any]


class Annotated:
    """The test set of a config, or its first images.

    Args:
        cfg: The config, whose pipeline was made to fit.
        most: How many images.

    Raises:
        InputError, DataError: it cannot be tested, or its data cannot be used.
    """

    def __init__(self, cfg: Any, most: int):
        if cfg.get('test_dataloader') is None or cfg.get('test_evaluator') is None:
            raise InputError(
                f'{cfg.filename} has no test_dataloader or no test_evaluator: give --images FOLDER to compare on.'
            )
        check_data(cfg, splits=('test',))
        enter_scope(cfg)
        loader = {**cfg.test_dataloader, 'batch_size': 1, 'num_workers': 0, 'persistent_workers': False}
        with silent():
            self.loader = Runner.build_dataloader(loader)
        self.most = min(most, len(self.loader.dataset))
        self._evaluator = cfg.test_evaluator

    def __len__(self) -> int:
        return self.most

    def __iter__(self) -> Iterator[Batch]:
        """Batches of one image."""
        for _, data in zip(range(self.most), self.loader):
            yield data

    def evaluator(self) -> Evaluator:
        """A new evaluator of the config."""
        with silent():
            evaluator = Evaluator(self._evaluator)
        evaluator.dataset_meta = self.loader.dataset.metainfo
        return evaluator


class Folder:
    """Images without annotations.

    Args:
        cfg: The config, whose pipeline was made to fit.
        paths: The images.
    """

    def __init__(self, cfg: Any, paths: list[Path]):
        self.paths, self._loading = paths, ImageLoading(cfg)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of one image; those that cannot be read are left out."""
        for path in self.paths:
            try:
                image = self._loading.read(path)
            except InputError:
                continue
            yield pseudo_collate([self._loading.prepare(image)])


@contextmanager
def open_images(cfg: Any, source: str | Path | None, most: int) -> Iterator[Annotated | Folder]:
    """Images of a folder, or of the test set of a config where `source` is None; `most` at most."""
    if source is None:
        yield Annotated(cfg, most)
        return
    with image_files(source, None) as files:
        yield Folder(cfg, list(files.images.values())[:most])


def fit_pipeline(cfg: Any, description: Description) -> None:
    """Let the test pipeline of a config give images that a file takes, in place.

    Nothing changes where the config's scale is below the size of the file, nor for a segmentor that is tested in
    windows.
    """
    windows = description.task == 'semantic' and description.test_cfg.get('mode') != 'whole'
    dataset = test_dataset(cfg)
    steps = dataset.get('pipeline') or cfg.get('test_pipeline')
    if description.any_size or windows or not steps:
        return
    fit = {'type': 'mmvitdense.FitWithin', 'size': (description.height, description.width)}
    resizes = [
        index for index, step in enumerate(steps) if step.get('type') in ('Resize', 'mmdet.Resize', 'mmseg.Resize')
    ]
    steps = list(steps)
    if resizes:
        steps[resizes[-1]] = {**fit, 'resize': dict(steps[resizes[-1]])}
    else:
        steps.insert(len(steps) - 1, fit)
    if dataset.get('pipeline'):
        dataset['pipeline'] = steps
    else:
        cfg.test_pipeline = steps


@contextmanager
def silent() -> Iterator[None]:
    """Without what data sets and metrics print."""
    with quiet(), redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
