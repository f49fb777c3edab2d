"""Images and label maps that cannot be read, in training, evaluation and the demo."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import numpy as np
from PIL import Image

from .place import BadInput, Place, evaluate, train

TRAINING = 'data/shapes/images/training'
VALIDATION = 'data/shapes/images/validation'
LABELS = 'data/shapes/annotations/training'


def picture(width: int = 64, height: int = 64, mode: str = 'RGB', form: str = 'PNG') -> bytes:
    """An image of noise as the bytes of a file."""
    size = (height, width) if mode == 'L' else (height, width, len(mode))
    values = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(values.squeeze(), mode if mode != 'LA' else None).save(file, form)
    return file.getvalue()


CONTENTS: list[tuple[str, Callable[[], bytes]]] = [
    ('empty', lambda: b''),
    ('text', lambda: b'no image'),
    ('page', lambda: b'<!DOCTYPE html><html></html>'),
    ('cut', lambda: picture()[:200]),
    ('header-alone', lambda: b'\x89PNG\r\n\x1a\n'),
    ('damaged', lambda: picture()[:60] + bytes(2000)),
    ('jpeg-cut-early', lambda: picture(form='JPEG')[:120]),
    ('archive', lambda: b'PK\x03\x04' + bytes(50)),
]


def first(place: Place, folder: str) -> str:
    """The first image of a folder."""
    return min(path.relative_to(place.folder).as_posix() for path in (place / folder).iterdir())


def _broken(content: Callable[[], bytes], folder: str, arguments: list) -> Callable[[Place], list]:
    def prepare(place: Place) -> list:
        place.write(first(place, folder), content())
        return arguments

    return prepare


def _shown(content: Callable[[], bytes]) -> Callable[[Place], list]:
    def prepare(place: Place) -> list:
        place.write('image.png', content())
        return ['image.png', *DEMO]

    return prepare


def _folder_of(**contents: bytes) -> Callable[[Place], list]:
    def prepare(place: Place) -> list:
        (place / 'folder').mkdir()
        for name, content in contents.items():
            place.write(f'folder/{name}.png', content)
        return ['folder', *DEMO]

    return prepare


def _link(place: Place) -> list:
    (place / 'loop.png').symlink_to('loop.png')
    return ['loop.png', *DEMO]


def _absent(place: Place, folder: str, arguments: list) -> list:
    (place / first(place, folder)).unlink()
    return arguments


def _labels_of_another_size(place: Place) -> list:
    place.write(first(place, LABELS), picture(32, 64, 'L'))
    return train(config='segmentor.py')


def _labels_are_a_pipe(place: Place) -> list:
    path = place / first(place, LABELS)
    path.unlink()
    os.mkfifo(path)
    return train(config='segmentor.py')


def _labels_with_fractions(place: Place) -> list:
    path = place / first(place, LABELS)
    Image.fromarray(np.full((64, 64), 0.5, np.float32)).save(path, 'TIFF')
    return train(config='segmentor.py')


def _labels_in_colour(place: Place) -> list:
    place.write(first(place, LABELS), picture())
    return train(config='segmentor.py')


def _labels_beyond_classes(place: Place) -> list:
    for path in (place / LABELS).iterdir():
        path.write_bytes(picture(mode='L'))
    return train(config='segmentor.py')


DEMO = ['detector.py', 'detector.pth', '--device', 'cpu']

BAD_IMAGES = [
    *(
        BadInput(f'image-{name}', tool, prepare, line)
        for name, content in CONTENTS
        for tool, prepare, line in (
            ('train', _broken(content, TRAINING, train()), '1 of 6 images cannot be read as an image'),
            ('test', _broken(content, VALIDATION, evaluate()), '1 of 3 images cannot be read as an image'),
            ('image_demo', _shown(content), r'image\.png is (an empty file|not an image)'),
        )
    ),
    *(
        BadInput(f'label-map-{name}', 'train', _broken(content, LABELS, train(config='segmentor.py')), 'cannot be read')
        for name, content in CONTENTS[:4]
    ),
    BadInput('image-absent', 'train', lambda place: _absent(place, TRAINING, train()), 'are not in'),
    BadInput('image-absent', 'test', lambda place: _absent(place, VALIDATION, evaluate()), 'are not in'),
    BadInput('label-map-absent', 'train', lambda place: _absent(place, LABELS, train(config='segmentor.py')), 'label'),
    BadInput('label-map-of-another-size', 'train', _labels_of_another_size, '32x64|64x32|size'),
    BadInput('label-map-is-a-pipe', 'train', _labels_are_a_pipe, 'cannot be read as a label map .it is no file'),
    BadInput('label-map-with-fractions', 'train', _labels_with_fractions, 'numbers with fractions'),
    BadInput('label-map-in-colour', 'train', _labels_in_colour, 'channel|colour|RGB'),
    BadInput('label-map-beyond-classes', 'train', _labels_beyond_classes, 'label|classes'),
    BadInput('image-absent', 'image_demo', ['none.png', *DEMO], r'none\.png does not exist'),
    BadInput('image-no-name', 'image_demo', ['', *DEMO], 'The empty name does not exist'),
    BadInput('image-link-to-itself', 'image_demo', _link, 'does not exist'),
    BadInput('image-address', 'image_demo', ['ftp://x.org/a.png', *DEMO], 'expected an address with http'),
    BadInput('image-unreachable', 'image_demo', ['http://127.0.0.1:9/a.png', *DEMO], 'cannot be fetched'),
    BadInput('image-video', 'image_demo', lambda place: [place.write('a.mp4', 'x').name, *DEMO], 'is not a video'),
    BadInput('image-device', 'image_demo', ['/dev/zero', *DEMO], 'is not a regular file'),
    BadInput('folder-empty', 'image_demo', _folder_of(), 'has no images in it'),
    BadInput('folder-of-broken', 'image_demo', _folder_of(a=b'', b=b'x'), 'None of the 2 images'),
]
