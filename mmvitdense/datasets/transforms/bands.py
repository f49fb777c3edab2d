"""Images of many bands, such as those of Sentinel-2: loading, and stretching to the range of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmvitdense.datasets.band_files import read_bands
from mmvitdense.registry import TRANSFORMS

_RGB = 3


@TRANSFORMS.register_module()
class LoadBands:
    """Load an image of any number of bands from a (Geo)TIFF, by the package tifffile, or from an array of numpy.

    In the place of `LoadImageFromFile`, whose decoders give three channels of 8 bits.

    Args:
        bands: Bands that are taken, counted from 0, in this order; None for all. `in_channels` of the ViT is their
            number.
        channels_first: Whether an array (.npy) is C x H x W; by default it is H x W x C. A TIFF says itself.
        shown: Which of the bands that are loaded, counted from 0, pictures have for red, green and blue; None for those
            that `as_picture` chooses by their number, of Sentinel-2 [3, 2, 1].
    """

    def __init__(
        self,
        bands: Sequence[int] | None = None,
        channels_first: bool = False,
        shown: Sequence[int] | None = None,
    ):
        if shown is not None and (len(shown) != _RGB or not all(band >= 0 for band in shown)):
            raise ValueError(f'shown must be the bands of red, green and blue, counted from 0, got {shown}')
        self.bands = None if bands is None else list(bands)
        self.channels_first = channels_first
        self.shown = None if shown is None else list(shown)

    def __call__(self, results: dict) -> dict:
        """Set results['img'], H x W x C in float32, its shapes, and 'shown_bands'.

        Raises:
            ValueError: The file is no such image, or lacks a band.
            ImportError: It is a TIFF, and tifffile is not installed.
        """
        path = results['img_path']
        image = read_bands(path, self.channels_first)
        if self.bands is not None:
            if not all(0 <= band < image.shape[2] for band in self.bands):
                raise ValueError(f'{path} has {image.shape[2]} bands, LoadBands is asked for bands={self.bands}')
            image = image[:, :, self.bands]
        results['img'] = np.ascontiguousarray(image, dtype=np.float32)
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        results['shown_bands'] = self.shown
        if self.shown is not None and max(self.shown) >= image.shape[2]:
            raise ValueError(f'{path} is loaded with {image.shape[2]} bands, and shown={self.shown} names others')
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(bands={self.bands}, channels_first={self.channels_first}, shown={self.shown})'


@TRANSFORMS.register_module()
class StretchBands:
    """Make 0..255 of each band the range of two deviations around its mean, and cut off what is beyond.

    So the pre-trainings on SSL4EO-S12 have their pixels (zhu-xlab/softcon); the `data_preprocessor` then has
    `mean=[0.0]` and `std=[255.0]`, one number for all bands.

    Args:
        mean: Of each band.
        std: Of each band.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(f'StretchBands needs a mean and a deviation above 0 for each band, got {mean} and {std}')
        self.mean, self.std = (np.asarray(values, np.float32) for values in (mean, std))

    def __call__(self, results: dict) -> dict:
        """Change results['img'].

        Raises:
            ValueError: It has another number of bands.
        """
        image = results['img']
        if image.shape[-1] != len(self.mean):
            raise ValueError(f'StretchBands has means of {len(self.mean)} bands, the image has {image.shape[-1]}')
        low = self.mean - 2 * self.std
        results['img'] = np.clip((image - low) / (4 * self.std) * 255, 0, 255).astype(np.float32)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(mean={self.mean.tolist()}, std={self.std.tolist()})'
