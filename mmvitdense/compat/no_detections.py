"""A model that detects nothing has metrics: zeros.

pycocotools and lvis look at the first detection to see what kind it is, and end with an IndexError where there is none.
mmdet's metrics catch it and leave every number out, so that a run whose best checkpoint is chosen by one of them dies,
and a table of results has a hole. Without detections the same evaluation runs to its end: 0 for what has objects, -1
(by the convention of COCO) for what has none.
"""

import copy
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .import_hooks import Replace, replaced

MODULES = ('mmdet.datasets.api_wrappers.coco_api', 'lvis.results')


@contextmanager
def zeros() -> Iterator[None]:
    """Inside, metrics without detections are zeros."""
    coco, lvis = MODULES
    with replaced(coco, _coco_loads_nothing), replaced(lvis, _lvis_loads_nothing):
        yield


def _coco_loads_nothing(module: ModuleType, replace: Replace) -> None:
    load = module.COCO.loadRes

    def load_results(self: Any, results: Any) -> Any:
        if not _is_empty(results):
            return load(self, results)
        from pycocotools.coco import COCO

        _say()
        empty = COCO()
        empty.dataset = {**_without_annotations(self.dataset), 'annotations': []}
        empty.createIndex()
        return empty

    replace(module.COCO, 'loadRes', load_results)


def _lvis_loads_nothing(module: ModuleType, replace: Replace) -> None:
    load = module.LVISResults.__init__

    def load_results(self: Any, lvis_gt: Any, results: Any, *more: Any, **options: Any) -> None:
        if not _is_empty(results):
            load(self, lvis_gt, results, *more, **options)
            return
        _say()
        truth = lvis_gt.dataset if hasattr(lvis_gt, 'dataset') else json.loads(Path(lvis_gt).read_text())
        self.logger = logging.getLogger(module.__name__)
        self.dataset = {**_without_annotations(truth), 'annotations': []}
        self._create_index()

    replace(module.LVISResults, '__init__', load_results)


def _is_empty(results: Any) -> bool:
    if isinstance(results, (str, Path)):
        path = Path(results)
        # An empty list is two characters; a file of results can have gigabytes.
        return path.is_file() and path.stat().st_size < 64 and json.loads(path.read_text()) == []
    return isinstance(results, list) and not results


def _without_annotations(dataset: dict) -> dict:
    return {key: copy.deepcopy(value) for key, value in dataset.items() if key != 'annotations'}


def _say() -> None:
    from mmengine.logging import print_log

    print_log('Nothing was detected in any image.', logger='current', level=logging.WARNING)
