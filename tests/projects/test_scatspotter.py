"""The example of polygons of one's own: a made-up file in ScatSpotter's layout, converted and read by its config."""

import importlib.util
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

pytest.importorskip('mmdet')

PROJECT = Path(__file__).parents[2] / 'projects/scatspotter'
SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]
HOLE = [[15, 15], [25, 15], [25, 25], [15, 25]]
FLAT = [40, 5, 60, 5, 60, 15, 40, 15]
IMAGES = [{'id': 7, 'file_name': 'assets/poop-1/a.jpg'}, {'id': 9, 'file_name': 'assets/poop-1/b.jpg'}]


@pytest.fixture(scope='module')
def script():
    spec = importlib.util.spec_from_file_location('scatspotter_to_coco', PROJECT / 'to_coco.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kwcoco():
    def poop(image, segmentation):
        return {'image_id': image, 'category_id': 3, 'segmentation': segmentation, 'bbox': [0, 0, 1, 1]}

    return {
        'info': [],
        'categories': [{'id': 2, 'name': 'leaf'}, {'id': 3, 'name': 'poop'}],
        'images': [{**image, 'width': 80, 'height': 48, 'sensor': 'phone'} for image in IMAGES],
        'annotations': [
            poop(7, [{'exterior': SQUARE, 'interiors': [HOLE]}]),
            poop(7, [FLAT]),
            poop(7, {'type': 'polygon', 'data': {'exterior': SQUARE, 'interiors': []}}),
            poop(7, None),
            poop(7, {'exterior': SQUARE[:2], 'interiors': []}),
            {'image_id': 9, 'category_id': 2, 'segmentation': [FLAT]},
        ],
    }


@pytest.fixture
def bundle(tmp_path):
    """A zipped file beside its images, which a phone says to turn."""
    (tmp_path / 'assets/poop-1').mkdir(parents=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    for image in IMAGES:
        Image.new('RGB', (80, 48)).save(tmp_path / image['file_name'], exif=turned)
    with zipfile.ZipFile(tmp_path / 'train.kwcoco.zip', 'w') as archive:
        archive.writestr('train.kwcoco.json', json.dumps(kwcoco()))
    return tmp_path


def run(script, monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['to_coco.py', *map(str, arguments)])
    return script.main()


def test_converted_and_read(script, bundle, monkeypatch, capsys):
    """Masks are as drawn, the hole is empty, and the picture lies as it is stored; what shows nothing stays."""
    assert run(script, monkeypatch, bundle / 'train.kwcoco.zip', bundle / 'train.json') == 0
    assert '2 images, 3 objects; 2 without an outline left out' in capsys.readouterr().out
    config = Config.fromfile(PROJECT / 'vitdet-s-dinov2_mask-rcnn_scatspotter.py')
    options = {**config.train_dataloader.dataset, 'data_root': str(bundle)}
    options['pipeline'] = [step for step in options['pipeline'] if step['type'] not in ('Resize', 'RandomFlip')]
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(options)
    assert len(dataset) == 2
    sample = dataset[0]
    assert sample['inputs'].shape == (3, 48, 80)
    objects = sample['data_samples'].gt_instances
    assert objects.labels.tolist() == [0, 0, 0]
    with_hole, flat, plain = objects.masks.masks.astype(bool)
    expected = np.zeros((48, 80), bool)
    expected[10:30, 10:30] = True
    assert np.array_equal(plain, expected)
    expected[15:25, 15:25] = False
    assert np.array_equal(with_hole, expected)
    assert flat[5:15, 40:60].all()
    assert flat.sum() == 200
    assert objects.bboxes.tensor[0].tolist() == [10, 10, 30, 30]
    areas = [entry['area'] for entry in json.loads((bundle / 'train.json').read_text())['annotations']]
    assert areas == [300, 200, 400]


def test_model_of_one_class():
    heads = Config.fromfile(PROJECT / 'vitdet-s-dinov2_mask-rcnn_scatspotter.py').model.roi_head
    assert (heads.bbox_head.num_classes, heads.mask_head.num_classes) == (1, 1)


def test_what_is_wrong(script, bundle, monkeypatch, capsys):
    source, target = bundle / 'train.kwcoco.zip', bundle / 'train.json'

    def message(*arguments):
        assert run(script, monkeypatch, *arguments) == 1
        return capsys.readouterr().err

    assert "no category 'cat' but leaf, poop" in message(source, target, '--category', 'cat')
    (bundle / 'list.json').write_text('[]')
    assert 'has no images, annotations and categories' in message(bundle / 'list.json', target)
    assert 'is no JSON' in message(bundle / IMAGES[0]['file_name'], target)
    Image.new('RGB', (48, 80)).save(bundle / IMAGES[1]['file_name'])
    found = message(source, target)
    assert '1 of 2 images are not as annotated' in found
    assert 'stored as 48 x 80, annotated as 80 x 48' in found
    assert not target.exists()
