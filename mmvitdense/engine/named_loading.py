"""Samples whose errors name the file that they are of."""

from __future__ import annotations

from typing import Any

from .errors import LoadingError


def load_named(dataset: Any, index: Any) -> Any:
    """Load a sample.

    Raises:
        LoadingError: names the image, the annotation file and the error, which is its cause. An error that names the
            image already stays what it is.
    """
    try:
        return dataset[index]
    except Exception as error:
        image = _image(dataset, index)
        if isinstance(error, LoadingError) or (image and image in str(error)):
            raise
        raise LoadingError(_said(dataset, index, image, error)) from error


class NamedLoading:
    """Loads the samples of a batch by `load_named`; torch calls it as the `__getitems__` of the data set.

    Args:
        dataset: The data set.
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __call__(self, indices: list[Any]) -> list[Any]:
        """Load them."""
        return [load_named(self.dataset, index) for index in indices]


def name_files(dataset: Any) -> None:
    """Let errors in loading samples of a data set name the file, in whichever process they happen."""
    if not hasattr(dataset, '__getitems__') and hasattr(dataset, '__getitem__'):
        dataset.__getitems__ = NamedLoading(dataset)


def _image(dataset: Any, index: Any) -> str | None:
    try:
        return dataset.get_data_info(index)['img_path']
    except Exception:  # of data sets of others, which know no such thing
        return None


def _said(dataset: Any, index: Any, image: str | None, error: Exception) -> str:
    what = f'The sample {image}' if image else f'Sample {index!r} of {type(dataset).__name__}'
    annotations = getattr(dataset, 'ann_file', None)
    listed = f', number {index} of {annotations},' if image and annotations else ''
    text = ' '.join(str(error).split()).rstrip('.')
    return f'{what}{listed} cannot be loaded: {type(error).__name__}{f": {text}" if text else ""}.'
