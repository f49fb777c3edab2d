"""Tiny data sets of each format, as people have them: six photographs of 64 x 48 pixels with two objects each."""

import json
from pathlib import Path

import cv2
import numpy as np

NAMES = ('cat', 'dog', 'bird')
WIDTH, HEIGHT = 64, 48
SPLITS = {'train': (0, 1, 2, 3), 'val': (4, 5)}


def photograph(number):
    """A picture of its own, H x W x 3."""
    return np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def objects(number):
    """(class, x, y, width, height) of the objects of a picture."""
    return [((number + k) % 3, 4 + 3 * number + 2 * k, 5 + 20 * k, 14, 12 + number) for k in range(2)]


def labels(number):
    """H x W of 0 and 1 to 3, the classes."""
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label, x, y, width, height in objects(number):
        values[y : y + height, x : x + width] = label + 1
    return values


def write_image(path, pixels):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix.lower(), pixels)[1].tobytes())


def write_text(path, text, encoding='utf-8'):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def voc_text(number, name=None, shift=1, found=None):
    parts = [
        f'<object><name>{NAMES[label]}</name><difficult>0</difficult><bndbox><xmin>{x + shift}</xmin><ymin>{y + shift}'
        f'</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>'
        for label, x, y, w, h in (objects(number) if found is None else found)
    ]
    name = f'{number:03d}.jpg' if name is None else name
    return f'<annotation><filename>{name}</filename>{"".join(parts)}</annotation>'


def write_voc(root, sets=True, suffix='.jpg'):
    """VOCdevkit/VOC2012 with lists of the splits."""
    root = Path(root) / 'VOCdevkit/VOC2012'
    for split, numbers in SPLITS.items():
        for number in numbers:
            write_image(root / f'JPEGImages/{number:03d}{suffix}', photograph(number))
            write_text(root / f'Annotations/{number:03d}.xml', voc_text(number))
        if sets:
            write_text(root / f'ImageSets/Main/{split}.txt', ''.join(f'{number:03d}\n' for number in numbers))
    return root


def yolo_text(number, shift=0, polygons=False):
    rows = []
    for label, x, y, w, h in objects(number):
        if polygons:
            points = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
            values = [value for px, py in points for value in (px / WIDTH, py / HEIGHT)]
        else:
            values = [(x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT]
        rows.append(' '.join(map(str, [label + shift, *values])))
    return '\n'.join(rows) + '\n'


def write_yolo(root, shift=0, polygons=False, yaml=True, order='images/{}', suffix='.jpg'):
    """images/train, labels/train, ... and data.yaml; `order='{}/images'` as Roboflow does."""
    root = Path(root)
    for split, numbers in SPLITS.items():
        folder = order.format(split)
        for number in numbers:
            write_image(root / folder / f'{number:03d}{suffix}', photograph(number))
            text = yolo_text(number, shift, polygons)
            write_text(root / folder.replace('images', 'labels') / f'{number:03d}.txt', text)
    if yaml:
        write_text(
            root / 'data.yaml',
            f'path: .\ntrain: {order.format("train")}\nval: {order.format("val")}\nnc: 3\nnames: {list(NAMES)}\n',
        )
    return root


def write_masks(root, change=lambda values: values, names=('background', *NAMES), suffix='.png', end='', split=True):
    """images/train, masks/train, ... and classes.txt."""
    root = Path(root)
    for part, numbers in SPLITS.items():
        inner = f'{part}/' if split else ''
        for number in numbers:
            write_image(root / f'images/{inner}{number:03d}.jpg', photograph(number))
            write_image(root / f'masks/{inner}{number:03d}{end}{suffix}', change(labels(number)))
    if names:
        write_text(root / 'classes.txt', '\n'.join(names) + '\n')
    return root


def coco_content(numbers, masks=True, first=1):
    content = {'images': [], 'annotations': [], 'categories': []}
    for place, name in enumerate(NAMES):
        content['categories'].append({'id': place + first, 'name': name})
    for number in numbers:
        content['images'].append({'id': number, 'file_name': f'{number:03d}.jpg', 'width': WIDTH, 'height': HEIGHT})
        for label, x, y, w, h in objects(number):
            outline = {'segmentation': [[x, y, x + w, y, x + w, y + h, x, y + h]]} if masks else {}
            content['annotations'].append(
                {
                    'id': len(content['annotations']) + 1,
                    'image_id': number,
                    'category_id': label + first,
                    'bbox': [x, y, w, h],
                    'area': w * h,
                    'iscrowd': 0,
                    **outline,
                }
            )
    return content


def write_coco(root, masks=True, change=lambda content: None):
    """annotations/instances_train.json, train/, ..."""
    root = Path(root)
    for split, numbers in SPLITS.items():
        for number in numbers:
            write_image(root / f'{split}/{number:03d}.jpg', photograph(number))
        content = coco_content(numbers, masks)
        change(content)
        write_text(root / f'annotations/instances_{split}.json', json.dumps(content))
    return root
