"""`mmvitdense data`: what is printed, refused and written."""

import json
import re

import pytest

from mmvitdense import commands
from tests.datasets.doctor import makers


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.setattr('mmvitdense.datasets.checks.image_cache.cache_root', lambda: tmp_path / 'cache')
    monkeypatch.chdir(tmp_path)


def data(*arguments):
    return commands.main(['data', *arguments])


def test_it_says_what_a_folder_is(capsys):
    makers.write_coco('coco')
    assert data('coco', '--report', 'seen/report.html') == 0
    out = capsys.readouterr().out
    assert 'COCO: instances, boxes of 3 classes' in out
    assert re.search(r'^train +4 +0 +8 +8 +2\.0 +100%/0%/0% +64 x 48$', out, re.MULTILINE)
    assert re.search(r'^0 +cat +3 +1$', out, re.MULTILINE)
    with open('seen/report.html') as file:
        page = file.read()
    assert page.count('data:image/jpeg;base64,') == 6 + 6
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert data('coco', '--json') == 0
    found = json.loads(capsys.readouterr().out)
    assert (found['format'], found['classes']) == ('COCO', list(makers.NAMES))


def test_names_are_text_in_the_report(capsys):
    makers.write_masks('masks', names=('background', '<script>alert(1)</script>', '"&', 'bird'))
    assert data('masks', '--report', 'report.html') == 0
    with open('report.html') as file:
        assert '<script' not in file.read()


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--write-config', 'mine.py'], '--write-config needs --model'),
        (['--val-share', '1'], 'must be between 0 and 1'),
        (['--format', 'vco'], 'give one of coco,'),
        (['--task', 'instance', '--convert', 'out'], 'has boxes alone: use --task detection'),
        (['--write-config', 'mine.txt', '--model', 'vitdet-tiny', '--convert', 'out'], 'ends with .py'),
        (['--write-config', 'mine.py', '--model', 'vitdet-q', '--convert', 'out'], 'did you mean vitdet-'),
        (['--write-config', 'mine.py', '--model', 'vitdet-tiny'], 'add --convert DIR'),
    ],
)
def test_what_cannot_be_meant(arguments, text, capsys, tmp_path):
    makers.write_voc('voc')
    assert data('voc', *arguments) == 2
    assert text in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / 'mine.py').exists()


def test_what_is_wrong_stops_it_before_anything_is_written(capsys, tmp_path):
    makers.write_yolo('yolo', shift=1)
    assert data('yolo', '--convert', 'out', '--write-config', 'mine.py', '--model', 'vitdet-tiny') == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('error: The labels use the classes 3, and 3 names leave only 0 to 2')
    assert not (tmp_path / 'out').exists()


def test_what_is_left_out(capsys):
    root = makers.write_voc('voc')
    makers.write_text(root / 'Annotations/000.xml', makers.voc_text(0, found=[(0, 500, 400, 20, 20)]))
    assert data('voc', '--convert', 'out') == 2
    assert '--leave-out' in capsys.readouterr().err
    assert data('voc', '--convert', 'out', '--leave-out') == 0
    with open('out/annotations/instances_train.json') as file:
        assert len(json.load(file)['annotations']) == 6


def test_what_can_be_trained_on_as_it_lies(capsys):
    makers.write_coco('coco')
    makers.write_masks('masks')
    assert data('masks', '--convert', 'maps') == 0
    model = ('--write-config', 'mine.py', '--model')
    assert data('coco', *model, 'vitdet-tiny') == 0
    with open('mine.py') as file:
        text = file.read()
    assert "data_root = 'coco/'" in text
    assert "ann_file='annotations/instances_train.json'" in text
    assert "data_prefix=dict(img='train/')" in text
    assert data('maps', *model, 'vit-tiny') == 0
    with open('mine.py') as file:
        assert "img_path='images/training'" in file.read()
    assert 'Nothing wrong was found' in capsys.readouterr().out
