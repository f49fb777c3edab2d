"""How well a model does on an image at each depth, from the file that `tools/make_exit_scores.py` writes."""

from __future__ import annotations

import json
from pathlib import Path

from mmvitdense.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadExitScores:
    """Add `exit_scores`, the list of an image's qualities by depth, to the results.

    Args:
        scores_file: A JSON file {file name of an image: list of numbers}, read with the first image.

    Raises:
        FileNotFoundError, KeyError: There is no such file, or it lacks an image.
    """

    def __init__(self, scores_file: str):
        self.scores_file = scores_file
        self._scores: dict[str, list[float]] | None = None

    def __call__(self, results: dict) -> dict:
        """Look up the image of `results['img_path']`."""
        if self._scores is None:
            if not Path(self.scores_file).is_file():
                raise FileNotFoundError(f'{self.scores_file} is not there: make it with tools/make_exit_scores.py')
            self._scores = json.loads(Path(self.scores_file).read_text(encoding='utf-8'))
        name = Path(results['img_path']).name
        if name not in self._scores:
            raise KeyError(f'{self.scores_file} has no scores of {name}: make it again for this data set')
        return {**results, 'exit_scores': self._scores[name]}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scores_file={self.scores_file!r})'
