"""What the demo writes, with a model that is not one."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mmvitdense.apis import demo
from mmvitdense.apis.errors import InputError


class Inferencer:
    classes = ('sky', 'sea')
    cfg = SimpleNamespace(filename='net.py')

    def __init__(self, *args):
        pass

    def __call__(self, path):
        return cv2.imread(str(path))

    def label_map(self, sample):
        return sample[..., 0]

    def draw(self, image, sample, score_thr):
        return image

    def to_json(self, sample, score_thr, label_map):
        return {'label_map': label_map, 'score_thr': score_thr}


@pytest.fixture(autouse=True)
def _no_model(monkeypatch):
    monkeypatch.setattr(demo, 'ImageInferencer', Inferencer)


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / 'in'
    for value, name in enumerate(['a.jpg', 'a.png', 'b.PNG', 'sub/a.jpg']):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(source / name), np.full((4, 6, 3), 20 * value, np.uint8))
    (source / 'notes.txt').write_text('not looked at')
    return source


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())


def test_every_image_keeps_its_own_outputs(folder, tmp_path):
    out = tmp_path / 'out'
    assert demo.run_demo(folder, 'net.py', 'w.pth', out, score_thr=0.4) == 0
    names = ['a.jpg', 'a.png', 'b.PNG', 'sub/a.jpg']
    assert files(out) == sorted(
        ['predictions.json', *(f'{kind}/{name}.png' for kind in ('vis', 'labels') for name in names)]
    )
    content = json.loads((out / 'predictions.json').read_text())
    assert sorted(content['images']) == names
    assert content['images']['sub/a.jpg'] == {
        'picture': 'vis/sub/a.jpg.png',
        'label_map': 'labels/sub/a.jpg.png',
        'score_thr': 0.4,
    }
    assert content['classes'] == ['sky', 'sea']
    assert content['skipped'] == {}
    for name in names:
        values = cv2.imread(str(out / f'labels/{name}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(values, cv2.imread(str(folder / name))[..., 0])


def test_what_is_not_an_image_is_skipped_and_named(folder, tmp_path, capsys):
    (folder / 'broken.jpg').write_text('no image')
    assert demo.run_demo(folder, 'net.py', 'w.pth', tmp_path / 'out') == 1
    content = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert len(content['images']) == 4
    assert 'is not an image' in content['skipped']['broken.jpg']
    assert 'skipped broken.jpg' in capsys.readouterr().err
    assert not list((tmp_path / 'out').rglob('broken*'))


def test_a_second_run_does_not_take_its_own_pictures_for_input(folder):
    for _ in range(2):
        assert demo.run_demo(folder, 'net.py', 'w.pth', folder) == 0
    assert len(json.loads((folder / 'predictions.json').read_text())['images']) == 4


def test_a_single_image(folder, tmp_path):
    assert demo.run_demo(folder / 'b.PNG', 'net.py', 'w.pth', tmp_path / 'out') == 0
    assert files(tmp_path / 'out') == ['labels/b.PNG.png', 'predictions.json', 'vis/b.PNG.png']


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('absent', 'does not exist'),
        ('empty', 'has no images'),
        ('bad.jpg', 'is not an image'),
        ('bad', 'None of the 2'),
    ],
)
def test_nothing_to_predict_for_writes_nothing(tmp_path, name, message):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'bad').mkdir()
    for path in ('bad.jpg', 'bad/1.jpg', 'bad/2.jpg'):
        Path(tmp_path, path).write_text('no image')
    with pytest.raises(InputError, match=message):
        demo.run_demo(tmp_path / name, 'net.py', 'w.pth', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
