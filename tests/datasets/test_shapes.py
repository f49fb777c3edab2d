"""The built-in data: labels that agree with one another, the same bytes each time, never half a data set."""

import json
import math
import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO

from mmvitdense import commands
from mmvitdense.datasets import shapes
from mmvitdense.datasets.shape_scenes import CLASSES, paint_scene
from mmvitdense.datasets.shapes import scene, write_shapes

TOOL = Path(__file__).parents[2] / 'tools' / 'make_shapes.py'


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


@pytest.mark.parametrize('split', ['training', 'validation'])
def test_boxes_masks_and_maps_agree(shapes_root, split):
    coco = COCO(str(shapes_root / f'annotations/instances_{split}.json'))
    assert [category['name'] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    assert sorted(coco.cats) == [1, 2, 3, 4, 5]
    for image_id in coco.getImgIds():
        info = coco.loadImgs(image_id)[0]
        image = cv2.imread(str(shapes_root / 'images' / split / info['file_name']))
        label_map = cv2.imread(
            str(shapes_root / 'annotations' / split / info['file_name'].replace('jpg', 'png')), cv2.IMREAD_UNCHANGED
        )
        assert image.shape == (96, 128, 3)
        assert (info['height'], info['width']) == label_map.shape == (96, 128)
        painted = np.zeros_like(label_map)
        annotations = coco.loadAnns(coco.getAnnIds(image_id))
        assert 1 <= len(annotations) <= 5
        for annotation in annotations:
            assert isinstance(annotation['segmentation']['counts'], str)
            mask = rle.decode(annotation['segmentation']).astype(bool)
            assert not painted[mask].any(), 'masks overlap'
            painted[mask] = annotation['category_id']
            x, y, width, height = annotation['bbox']
            assert mask[y : y + height, x : x + width].sum() == mask.sum() == annotation['area'] >= 24
            for edge in (mask[y], mask[y + height - 1], mask[:, x], mask[:, x + width - 1]):
                assert edge.any(), 'the box is not tight'
        np.testing.assert_array_equal(painted, label_map)


@pytest.mark.parametrize('split', ['training', 'validation'])
def test_panoptic_segments_are_the_instances_and_the_rest_of_the_map(shapes_root, split):
    coco = COCO(str(shapes_root / f'annotations/instances_{split}.json'))
    panoptic = json.loads((shapes_root / f'annotations/panoptic_{split}.json').read_text())
    assert panoptic['images'] == coco.dataset['images']
    assert panoptic['categories'][:-1] == coco.dataset['categories']
    names = [(item['id'], item['name'], item['isthing']) for item in panoptic['categories']]
    assert names == [*((i, name, 1) for i, name in enumerate(CLASSES, start=1)), (6, 'background', 0)]
    assert [item['image_id'] for item in panoptic['annotations']] == coco.getImgIds()
    for annotation in panoptic['annotations']:
        name = coco.loadImgs(annotation['image_id'])[0]['file_name'].replace('jpg', 'png')
        assert annotation['file_name'] == name
        picture = np.asarray(Image.open(shapes_root / f'annotations/panoptic_{split}' / name)).astype(int)
        label_map = np.asarray(Image.open(shapes_root / f'annotations/{split}' / name))
        ids = picture[..., 0] + 256 * picture[..., 1] + 256**2 * picture[..., 2]
        segments = annotation['segments_info']
        assert sorted(segment['id'] for segment in segments) == sorted(set(ids.ravel().tolist()))
        assert 0 not in ids, '0 is void'
        objects = coco.loadAnns(coco.getAnnIds(annotation['image_id']))
        assert len(segments) == len(objects) + 1
        for segment, instance in zip(segments, objects):
            for key in ('category_id', 'bbox', 'area', 'iscrowd'):
                assert segment[key] == instance[key]
            np.testing.assert_array_equal(ids == segment['id'], rle.decode(instance['segmentation']))
        background = segments[-1]
        assert (background['category_id'], background['iscrowd']) == (6, 0)
        np.testing.assert_array_equal(ids == background['id'], label_map == 0)
        mask = rle.encode(np.asfortranarray(label_map == 0, dtype=np.uint8))
        assert background['area'] == rle.area(mask)
        assert background['bbox'] == rle.toBbox(mask).tolist()


def test_files_are_those_of_the_layout(shapes_root):
    counts = {'training': 6, 'validation': 3}
    expected = {'shapes.json'}
    expected |= {f'annotations/{kind}_{split}.json' for kind in ('instances', 'panoptic') for split in counts}
    for split, count in counts.items():
        for i in range(count):
            expected |= {f'images/{split}/{i:06d}.jpg', f'annotations/{split}/{i:06d}.png'}
            expected.add(f'annotations/panoptic_{split}/{i:06d}.png')
    assert set(contents(shapes_root)) == expected


def test_shapes_are_what_their_class_says():
    """Without occlusion, areas relative to enclosing shapes follow from geometry."""
    ratios = {name: [] for name in CLASSES}
    for index in range(150):
        single = scene('training', index, (128, 128), seed=3, objects=(1, 1))
        mask = (single.instances == 1).astype(np.uint8)
        if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
            continue
        points = cv2.findNonZero(mask).astype(np.float32)
        _, radius = cv2.minEnclosingCircle(points)
        holes = cv2.connectedComponents(1 - mask, connectivity=4)[0] - 2
        ratios[CLASSES[single.labels[0]]].append((mask.sum() / (math.pi * (radius + 0.5) ** 2), holes))
    star = 5 * 0.45 * math.sin(math.pi / 5) / math.pi
    expected = {
        'circle': (1.0, 0),
        'square': (2 / math.pi, 0),
        'triangle': (3 * math.sqrt(3) / 4 / math.pi, 0),
        'star': (star, 0),
        'ring': (1 - 0.55**2, 1),
    }
    for name, (area, holes) in expected.items():
        assert len(ratios[name]) >= 10
        assert np.mean([ratio for ratio, _ in ratios[name]]) == pytest.approx(area, rel=0.06), name
        assert {found for _, found in ratios[name]} == {holes}, name


def test_later_objects_cover_earlier_ones_moderately():
    overlapping = 0
    for index in range(40):
        crowded = scene('training', index, (128, 128), seed=5, objects=(5, 5))
        assert len(crowded.labels) == 5
        visible = np.bincount(crowded.instances.ravel(), minlength=6)[1:]
        assert visible.min() >= 24
        outlines = [cv2.boundingRect((crowded.instances == k).astype(np.uint8)) for k in range(1, 6)]
        overlapping += any(
            a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
            for i, a in enumerate(outlines)
            for b in outlines[i + 1 :]
        )
    assert overlapping > 20


def test_most_objects_have_the_colour_of_their_class_and_some_do_not():
    """Nine in ten are drawn with the typical hue; of the others, which have any, a fifth comes close by chance."""
    typical = {'circle': 0, 'square': 215, 'triangle': 140, 'star': 45, 'ring': 280}
    close = []
    for index in range(400):
        single = scene('training', index, (64, 64), seed=11, objects=(1, 1))
        mean = single.image[single.instances == 1].mean(0)
        hue = cv2.cvtColor(np.float32([[mean / 255]]), cv2.COLOR_BGR2HSV)[0, 0, 0]
        close.append(abs((hue - typical[CLASSES[single.labels[0]]] + 180) % 360 - 180) < 36)
    assert np.mean(close) == pytest.approx(0.9 + 0.1 * 72 / 360, abs=4 * math.sqrt(0.92 * 0.08 / 400))
    assert not all(close)


def test_same_arguments_give_the_same_bytes(tmp_path, shapes_root):
    again = write_shapes(tmp_path / 'again', 6, 3, image_size=(96, 128), seed=1)
    assert contents(again) == contents(shapes_root)
    other = write_shapes(tmp_path / 'other', 6, 3, image_size=(96, 128), seed=2)
    assert contents(other)['images/training/000000.jpg'] != contents(again)['images/training/000000.jpg']


def test_an_image_depends_on_seed_split_and_index_alone(tmp_path, shapes_root):
    longer = write_shapes(tmp_path / 'longer', 8, 4, image_size=(96, 128), seed=1)
    shared = [name for name in contents(shapes_root) if name.endswith(('jpg', 'png'))]
    assert {name: contents(longer)[name] for name in shared} == {name: contents(shapes_root)[name] for name in shared}
    assert contents(longer)['images/training/000000.jpg'] != contents(longer)['images/validation/000000.jpg']


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    encode, calls = cv2.imencode, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return encode(*args)

    monkeypatch.setattr(shapes.cv2, 'imencode', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shapes(tmp_path / 'shapes', 4, 2, image_size=64)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_overwrite_keeps_the_old_data(tmp_path, monkeypatch):
    root = write_shapes(tmp_path / 'shapes', 2, 1, image_size=64)
    before = contents(root)
    rename, calls = shapes.os.rename, []

    def interrupted(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(shapes.os, 'rename', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shapes(root, 3, 1, image_size=64, overwrite=True)
    assert len(calls) == 3, 'interrupted between moving the old data away and the new data in'
    assert list(tmp_path.iterdir()) == [root]
    assert contents(root) == before


def test_overwrites_only_what_it_wrote(tmp_path):
    root = write_shapes(tmp_path / 'shapes', 2, 1, image_size=64)
    with pytest.raises(FileExistsError, match='--overwrite'):
        write_shapes(root, 1, 1, image_size=64)
    write_shapes(root, 1, 1, image_size=64, overwrite=True)
    assert len(list((root / 'images/training').iterdir())) == 1
    (root / 'images/training/holiday.jpg').write_bytes(b'mine')
    with pytest.raises(FileExistsError, match=r'holiday\.jpg'):
        write_shapes(root, 2, 1, image_size=64, overwrite=True)
    foreign = tmp_path / 'foreign'
    foreign.mkdir()
    (foreign / 'thesis.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='not written by make_shapes'):
        write_shapes(foreign, 2, 1, image_size=64, overwrite=True)
    assert (foreign / 'thesis.txt').read_text() == 'mine'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['foreign', 'shapes']


@pytest.mark.parametrize('record', ['', '[]', '{"generator": "mmvitdense.datasets.shapes"}', '{"generator": "other"}'])
def test_a_broken_record_is_not_an_own_data_set(tmp_path, record):
    root = write_shapes(tmp_path / 'shapes', 1, 1, image_size=64)
    (root / 'shapes.json').write_text(record)
    with pytest.raises(FileExistsError, match='not written by make_shapes'):
        write_shapes(root, 1, 1, image_size=64, overwrite=True)


def test_an_empty_folder_is_filled(tmp_path):
    write_shapes(tmp_path, 1, 1, image_size=64)
    assert (tmp_path / 'images/training/000000.jpg').is_file()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_training': 0}, 'training images must be at least 1'),
        ({'num_validation': -1}, 'validation images must be at least 1'),
        ({'image_size': 16}, 'at least 32 pixels'),
        ({'image_size': (64, 64, 3)}, 'height, width'),
        ({'seed': -1}, 'seed must not be negative'),
        ({'objects': (0, 3)}, 'smallest'),
        ({'objects': (4, 3)}, 'smallest'),
        ({'objects': (200, 200), 'image_size': 32}, 'do not fit'),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_shapes(tmp_path / 'shapes', **{'num_training': 1, 'num_validation': 1, **arguments})
    assert list(tmp_path.iterdir()) == []


def test_scenes_of_any_size_use_all_classes():
    labels = set()
    for index in range(30):
        painted = paint_scene(np.random.default_rng(index), 61, 83, objects=(2, 3))
        assert painted.image.shape == (61, 83, 3)
        assert painted.instances.max() == len(painted.labels)
        labels |= set(painted.labels)
    assert labels == set(range(len(CLASSES)))


def run_tool(*arguments):
    handler = signal.getsignal(signal.SIGTERM)
    try:
        return commands.main(['shapes', *map(str, arguments)])
    finally:
        signal.signal(signal.SIGTERM, handler)


def test_tool(tmp_path, capsys):
    root = tmp_path / 'shapes'
    options = ['--root', root, '--training', 2, '--validation', 1, '--size', 48, 64, '--objects', 1, 2, '--seed', 4]
    assert run_tool(*options) == 0
    assert str(root) in capsys.readouterr().out
    images = json.loads((root / 'annotations/instances_training.json').read_text())['images']
    assert [(image['height'], image['width']) for image in images] == [(48, 64)] * 2
    assert run_tool(*options) != 0
    error = capsys.readouterr().err
    assert str(root) in error
    assert '--overwrite' in error
    assert run_tool(*options, '--overwrite') == 0


@pytest.mark.integration
def test_a_terminated_tool_leaves_nothing(tmp_path, tools_python):
    folder = tmp_path / 'place'
    folder.mkdir()
    command = [TOOL, '--root', folder / 'shapes', '--training', 100000]
    process = tools_python.start(command, tmp_path, tmp_path / 'output', tmp_path / 'errors')
    written, deadline = '.shapes.partial-*/images/training/*', time.monotonic() + 120
    while not list(folder.glob(written)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(folder.glob(written))
    os.kill(process, signal.SIGTERM)
    assert tools_python.wait(process) != 0
    assert list(folder.iterdir()) == []
