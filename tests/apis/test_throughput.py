"""Images a second of a model: what is timed, what is printed, and what is refused."""

import json

import pytest

from mmvitdense import commands
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.throughput import model_speed

TINY = 'mmvitdense::quickstart/{}_shapes.py'
SIZE = ['--size', '64', '96', '--rounds', '2', '--warm-up', '1']
ROWS = ['preprocessing', 'backbone', 'neck', 'rpn_head', 'roi_head.bbox_head', 'roi_head.mask_head']


def test_predictions_of_a_detector(capsys):
    pytest.importorskip('mmdet')
    options = ['--batch', '1', '2', '--threads', '1', '--json']
    assert commands.main(['throughput', TINY.format('vitdet-tiny_mask-rcnn'), *SIZE, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found['size'], found['training'], found['dtype']) == ([64, 96], False, 'float32')
    assert '1 thread;' in found['processor']
    assert found['held'] > 6e6
    assert [row['batch'] for row in found['rows']] == [1, 2]
    for row in found['rows']:
        assert len(row['seconds']) == 2
        assert set(ROWS) <= row['shares'].keys()
        assert sum(row['shares'].values()) == pytest.approx(1)
        assert row['images_per_second']['slowest'] == pytest.approx(row['batch'] / max(row['seconds']))
        assert row['images_per_second']['fastest'] >= row['images_per_second']['median']


def test_a_step_of_the_training_changes_no_weight(capsys, monkeypatch):
    pytest.importorskip('mmseg')
    from mmvitdense.apis import throughput

    models = []
    load = throughput.load_model
    monkeypatch.setattr(throughput, 'load_model', lambda *args: models.append(load(*args)) or models[0])
    weights = []
    step = throughput.TrainingStep.__call__
    monkeypatch.setattr(
        throughput.TrainingStep,
        '__call__',
        lambda self, data: (weights.append(models[0].decode_head.conv_seg.weight.sum().item()), step(self, data))[1],
    )
    arguments = ['--training', '--batch', '2', '--amp', 'bfloat16']
    assert commands.main(['throughput', TINY.format('vit-tiny_upernet'), *SIZE, *arguments]) == 0
    table = capsys.readouterr().out
    assert 'A step of the training, images of 64 x 96, bfloat16 (autocast)' in table
    for part in ('backbone', 'decode_head', 'backward pass', 'optimizer', 'losses and the rest'):
        assert f'\n{part} ' in table
    assert len(weights) == 5, 'one to warm up, two rounds, one for shares, one for memory'
    assert len(set(weights)) == 1


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'batches': [0]}, '--batch: expected at least 1, got 0'),
        ({'rounds': 0}, '--rounds: expected at least 1'),
        ({'images': ['a.jpg'], 'size': (8, 8)}, 'leave --size out'),
        ({'images': ['a.jpg'], 'training': True}, '--images is for predictions'),
        ({'amp': 'bf16'}, 'expected float16 or bfloat16'),
        ({'device': 'cuda:99'}, 'cannot be used here'),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        model_speed(TINY.format('vit-tiny_upernet'), **options)
