"""A folder of images without annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmvitdense.datasets.checks.messages import DataError
from mmvitdense.registry import DATASETS

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """All images in a folder and the folders below it, such as ImageNet's, for training without annotations.

    Args:
        data_prefix: `dict(img_path=...)`, the folder, relative to `data_root`.
        suffixes: Ends of the names of images, in small letters.
        **options: As for mmengine's `BaseDataset`.

    Raises:
        DataError: The folder is not there or holds no images.
    """

    def __init__(
        self, data_prefix: dict[str, str] | None = None, *, suffixes: Sequence[str] = SUFFIXES, **options: Any
    ):
        self.suffixes = tuple(suffixes)
        super().__init__(data_prefix={'img_path': ''} if data_prefix is None else data_prefix, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """The path of each image, in the order of the names."""
        folder = Path(self.data_prefix['img_path'] or '.')
        if not folder.is_dir():
            raise DataError(
                f'There is no folder {folder}: give one with images, as data_root and data_prefix.img_path.'
            )
        found = sorted(str(path) for path in folder.rglob('*') if path.suffix.lower() in self.suffixes)
        if not found:
            raise DataError(f'There are no images in {folder} whose names end with {", ".join(self.suffixes)}.')
        return [{'img_path': path} for path in found]
