"""Data sets of mmseg whose label maps are named otherwise than their images."""

from __future__ import annotations

import os.path as osp
from typing import Any

from mmseg.datasets import BaseSegDataset

from mmvitdense.registry import DATASETS

from .paired_names import IMAGE, LABELS, pair_of_names


@DATASETS.register_module()
class PairedNamesDataset(BaseSegDataset):
    """Images and label maps in two folders, whose names differ in one part.

    Args:
        name_parts: That part of both, see `pair_of_names`; None where names are the same. Lines of an `ann_file`
            name either of the two.
        **options: As for mmseg's `BaseSegDataset`.
    """

    def __init__(self, *, name_parts: dict[str, str] | None = None, **options: Any):
        if name_parts is not None and set(name_parts) != {IMAGE, LABELS}:
            raise ValueError(f'name_parts must be dict({IMAGE}=..., {LABELS}=...), got {name_parts}')
        self.name_parts = name_parts
        super().__init__(**options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """As mmseg's, with the names of each."""
        found = super().load_data_list()
        for item in found:
            for place, key in enumerate((IMAGE, LABELS)):
                if key in item:
                    folder, name = osp.split(item[key])
                    item[key] = osp.join(folder, pair_of_names(name, self.name_parts)[place])
        return found


@DATASETS.register_module()
class DFC2020Dataset(PairedNamesDataset):
    """Land cover of the Data Fusion Contest 2020 of IEEE GRSS, as Copernicus-Bench has it (arXiv 2503.11849).

    Folders 's1', 's2' and 'dfc' of TIFFs; `metainfo=dict(classes=...)` chooses from the values of the files, of which
    'background' (0) is no class, and savanna and snow do not occur.
    """

    METAINFO = {
        'classes': (
            *('background', 'forest', 'shrubland', 'savanna', 'grassland', 'wetland'),
            *('cropland', 'urban', 'snow', 'barren', 'water'),
        ),
        'palette': [
            *([0, 0, 0], [0, 153, 0], [198, 176, 68], [251, 255, 19], [182, 255, 5], [39, 255, 135]),
            *([194, 79, 68], [165, 165, 165], [105, 255, 248], [249, 255, 164], [28, 13, 255]),
        ],
    }
