"""Tampered images and the masks of what was tampered with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmvitdense.datasets.checks.messages import DataError
from mmvitdense.registry import DATASETS

AUTHENTIC = 'Negative'


@DATASETS.register_module()
class ManipulationDataset(BaseDataset):
    """Images and masks in the two layouts of IML-ViT (`utils/datasets.py`).

    - A folder with `Tp` (images) and `Gt` (masks), as many in both, which belong together in the order of their
      names. A folder `Au` beside them, of untouched images without masks, is read with `authentic=True`.
    - A JSON list of pairs, [image, mask], relative to its folder or to `data_root`; 'Negative' in the place of the
      mask for an untouched image.

    Args:
        ann_file: The JSON file; '' for the folders.
        data_root: The folder.
        authentic: Whether the images in `Au` are read too.
        **options: As for mmengine's `BaseDataset`.

    Raises:
        DataError: A folder or file is not there, or images and masks do not pair up.
    """

    METAINFO = {'classes': ('authentic', 'manipulated'), 'palette': [[60, 60, 60], [220, 60, 60]]}

    def __init__(self, ann_file: str = '', *, authentic: bool = False, **options: Any):
        self.authentic = authentic
        super().__init__(ann_file=ann_file, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """The path of each image and of its mask, None for an untouched image."""
        pairs = self._listed() if self.ann_file else self._in_folders()
        if not pairs:
            raise DataError(f'There are no images in {self.ann_file or self.data_root!r}.')
        return [
            {'img_path': str(image), 'seg_map_path': None if mask is None else str(mask), 'seg_fields': []}
            for image, mask in pairs
        ]

    def _in_folders(self) -> list[tuple[Path, Path | None]]:
        root = Path(self.data_root or '.')
        images, masks = (_files(root / name) for name in ('Tp', 'Gt'))
        if len(images) != len(masks):
            raise DataError(
                f'{root} has {len(images)} images in Tp and {len(masks)} masks in Gt: each image needs a mask, and '
                'they pair up in the order of their names; a JSON list of pairs says which belong together.'
            )
        pairs: list[tuple[Path, Path | None]] = list(zip(images, masks))
        return pairs + [(image, None) for image in _files(root / 'Au')] if self.authentic else pairs

    def _listed(self) -> list[tuple[Path, Path | None]]:
        path = Path(self.ann_file)
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            raise DataError(f'{path} cannot be read as a JSON list of [image, mask]: {error}') from error
        if not isinstance(content, list) or not all(_is_pair(pair) for pair in content):
            raise DataError(
                f"{path} must be a list of [image, mask], with 'Negative' for the mask of untouched images."
            )
        root = Path(self.data_root) if self.data_root else path.parent
        return [(root / image, None if mask == AUTHENTIC else root / mask) for image, mask in content]


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(
            f'There is no folder {folder}: expected Tp with images, Gt with masks, Au with untouched images.'
        )
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith('.'))
