"""Where the time of a run goes: sections that exclude those inside of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LOADING, AUGMENTATION, BACKBONE, HEADS = 'loading', 'augmentation', 'backbone and neck', 'heads'
POST, EVALUATION, BACKWARD = 'post-processing', 'evaluation', 'backward and optimizer'
SECTIONS = (LOADING, AUGMENTATION, BACKBONE, HEADS, POST, EVALUATION, BACKWARD)


class Stopwatch:
    """Seconds of sections; what a section calls that is one itself counts there alone."""

    def __init__(self):
        self.seconds = dict.fromkeys(SECTIONS, 0.0)
        self._open: list[list[float]] = []

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Count a block."""
        self._open.append([0.0])
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            (inside,) = self._open.pop()
            self.seconds[name] += taken - inside
            if self._open:
                self._open[-1][0] += taken

    def count(self, owner: Any, method: str, name: str) -> None:
        """Let every call of a method of one object count, where it has that method."""
        function = getattr(owner, method, None)
        if function is not None:
            setattr(owner, method, self._counted(function, name))

    def count_pipeline(self, pipeline: Any) -> None:
        """The transforms of a data set: those that load, and all others."""
        pipeline.transforms = [
            self._counted(step, LOADING if any(word in repr(step) for word in ('Load', 'Guarded')) else AUGMENTATION)
            for step in pipeline.transforms
        ]

    def count_model(self, model: Any) -> None:
        """Parts of a detector of two stages or of a segmentor."""
        self.count(model, 'extract_feat', BACKBONE)
        self.count(model.data_preprocessor, 'forward', AUGMENTATION)
        self.count(model, 'postprocess_result', POST)
        self.count(model, 'add_pred_to_datasample', POST)
        for head in ('rpn_head', 'roi_head', 'decode_head', 'auxiliary_head'):
            for method in ('predict', 'loss', 'loss_and_predict'):
                self.count(getattr(model, head, None), method, HEADS)
        roi = getattr(model, 'roi_head', None)
        for owner in (
            getattr(model, 'rpn_head', None),
            getattr(roi, 'bbox_head', None),
            getattr(roi, 'mask_head', None),
        ):
            self.count(owner, 'predict_by_feat', POST)

    def shares(self, total: float) -> dict[str, float]:
        """Parts of a time, with what no section has."""
        found = {name: seconds / total for name, seconds in self.seconds.items()}
        return {**found, 'rest': max(1 - sum(found.values()), 0.0)}

    def _counted(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.section(name):
                return function(*args, **kwargs)

        return counted
