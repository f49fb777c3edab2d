"""Pictures of training samples: there is one for each, legible, and the labels are drawn where they are."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmvitdense import commands
from mmvitdense.visualization.browse import browse

SHAPES = ('circle', 'square', 'triangle', 'star', 'ring')


def detection(root):
    return dict(
        default_scope='mmdet',
        train_dataloader=dict(
            dataset=dict(
                type='CocoDataset',
                data_root=str(root),
                ann_file='annotations/instances_training.json',
                data_prefix=dict(img='images/training/'),
                metainfo=dict(classes=SHAPES),
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                    dict(type='RandomFlip', prob=1.0),
                    dict(type='PackDetInputs'),
                ],
            )
        ),
    )


def segmentation(root):
    inner = dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        metainfo=dict(classes=('background', *SHAPES)),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomFlip', prob=1.0),
            dict(type='PackSegInputs'),
        ],
    )
    return dict(
        default_scope='mmseg', train_dataloader=dict(dataset=dict(type='RepeatDataset', times=1, dataset=inner))
    )


@pytest.mark.parametrize('make', [detection, segmentation])
def test_labels_are_drawn_on_the_augmented_image(shapes_root, tmp_path, make):
    paths = list(browse(Config(make(shapes_root)), tmp_path / 'pictures', num=3))
    assert [path.name for path in paths] == ['000000_000000.jpg', '000002_000002.jpg', '000005_000005.jpg']
    assert sorted(path.name for path in (tmp_path / 'pictures').iterdir()) == [path.name for path in paths]
    for path in paths:
        name = path.stem.rpartition('_')[2]
        picture = cv2.imread(str(path)).astype(int)
        image = cv2.imread(str(shapes_root / f'images/training/{name}.jpg'))
        objects = cv2.imread(str(shapes_root / f'annotations/training/{name}.png'), cv2.IMREAD_UNCHANGED) > 0
        assert picture.shape == (384, 512, 3)
        drawn = np.abs(picture - cv2.resize(image[:, ::-1], (512, 384), interpolation=cv2.INTER_CUBIC)).mean(2)
        mask = objects[:, ::-1].repeat(4, 0).repeat(4, 1)
        if make is detection:
            assert drawn[mask].mean() > 15 * np.median(drawn[~mask]), 'masks are tinted, the rest is as it was'
        else:
            assert drawn[mask].mean() > 15
        plain = np.abs(picture - cv2.resize(image, (512, 384))).mean(2)
        assert np.median(drawn) < np.median(plain), 'the picture is of the flipped image'


def run_tool(*arguments):
    return commands.main(['browse', *map(str, arguments)])


def test_tool(shapes_root, tmp_path, monkeypatch, capsys):
    config = tmp_path / 'shapes.py'
    Config(detection(shapes_root)).dump(config)
    monkeypatch.chdir(tmp_path)
    assert run_tool(config, '--num', 2, '--cfg-options', 'train_dataloader.dataset.pipeline.2.prob=0.0') == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if line.endswith('.jpg')]
    assert printed == [f'work_dirs/shapes/browse/{name}.jpg' for name in ('000000_000000', '000005_000005')]
    assert all(Path(line).is_file() for line in printed)


def test_tool_refuses_bad_input(shapes_root, tmp_path, monkeypatch, capsys):
    config = tmp_path / 'shapes.py'
    Config(detection(shapes_root)).dump(config)
    output = tmp_path / 'pictures'
    config_as_folder = ['--output-dir', config / 'pictures']
    for options, words in (
        (config_as_folder, 'shapes.py is a file'),
        (['--cfg-options', 'train_dataloader.dataset.data_root=nowhere'], 'train_dataloader.dataset.data_root'),
        (['--num', 0], '--num must be at least 1'),
        (['--cfg-options', 'train_dataloader=None'], 'no train_dataloader'),
    ):
        assert run_tool(config, '--output-dir', output, *options) == 2
        error = capsys.readouterr().err
        assert words in error
        assert 'Traceback' not in error
        assert not output.exists()
