"""Mistakes end with one clear line, exit code 2, and nothing written."""

import json
import shutil

import pytest
import torch

from mmvitdense.apis.checkpoint import read_run_checkpoint
from mmvitdense.apis.errors import run_tool
from mmvitdense.apis.inference import Inferencer
from mmvitdense.apis.test import evaluate_model
from mmvitdense.apis.train import train_model

from .workshop import DETECTOR, SEGMENTOR, TINY_DETECTOR, TINY_SEGMENTOR, schedule


@pytest.fixture
def refused(workshop, monkeypatch, capfd):
    """Call a function as its tool does, in the folder of the data; return the only line on stderr."""
    monkeypatch.chdir(workshop.folder)

    def _refused(function, *arguments, **options):
        before = sorted(workshop.folder.rglob('*'))
        capfd.readouterr()
        assert run_tool(lambda: function(*arguments, **options)) == 2
        lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith('error: ')]
        assert len(lines) == 1
        assert sorted(workshop.folder.rglob('*')) == before
        return lines[0]

    return _refused


def with_options(**options):
    return {**TINY_DETECTOR, **{key.replace('__', '.'): value for key, value in options.items()}}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'train_dataloader__dataset__data_root': 'nowhere/'}, 'nowhere'),
        ({'train_dataloader__dataset__ann_file': 'none.json'}, 'none.json'),
        ({'train_dataloader__dataset__metainfo__classes': ('circles', 'square')}, "'circles'"),
        ({'model__roi_head__bbox_head__num_classes': 4}, 'num_classes'),
        ({'train_cfg__max_iter': 3}, "did you mean 'max_iters'"),
        ({'load_from': 'none.pth'}, 'none.pth does not exist'),
    ],
)
def test_training_on_what_does_not_fit(refused, options, message):
    assert message in refused(train_model, DETECTOR, cfg_options=with_options(**options))


def test_an_annotation_file_without_images(refused, workshop):
    (workshop / 'none.json').write_text('{"images": [], "annotations": [], "categories": []}')
    options = with_options(train_dataloader__dataset__ann_file='../../none.json')
    assert 'none.json' in refused(train_model, DETECTOR, cfg_options=options)


def test_boxes_alone(refused, workshop, tmp_path):
    """Mask R-CNN on data without masks: one message names everything to change, and with that it trains and scores."""
    boxes = shutil.copytree(workshop / 'data/shapes', tmp_path / 'boxes')
    for file in boxes.glob('annotations/instances_*.json'):
        content = json.loads(file.read_text())
        for annotation in content['annotations']:
            del annotation['segmentation']
        file.write_text(json.dumps(content))
    options = with_options(**schedule(1, 1), val_dataloader__dataset__indices=2)
    for split in ('train', 'val', 'test'):
        options[f'{split}_dataloader.dataset.data_root'] = str(boxes)
    for split in ('val', 'test'):
        options[f'{split}_evaluator.ann_file'] = str(boxes / 'annotations/instances_validation.json')
    message = refused(train_model, DETECTOR, cfg_options=options)
    options |= {
        key: {'None': None, 'False': False}.get(value, value)
        for key, _, value in (option.partition('=') for option in message.partition('--cfg-options ')[2].split())
    }
    runner = train_model(DETECTOR, work_dir=str(tmp_path / 'run'), cfg_options=options)
    assert not runner.model.roi_head.with_mask
    metrics = evaluate_model(DETECTOR, tmp_path / 'run/iter_1.pth', tmp_path / 'test', cfg_options=options)
    assert {name.split('_')[0] for name in metrics} == {'coco/bbox'}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'auto_scale_lr': True}, 'add auto_scale_lr = dict(base_batch_size=N)'),
        ({'resume': 'none.pth'}, 'none.pth does not exist'),
        ({'launcher': 'pytorch'}, 'torchrun'),
    ],
)
def test_options_that_cannot_be_followed(refused, monkeypatch, arguments, message):
    monkeypatch.delenv('RANK', raising=False)
    assert message in refused(train_model, DETECTOR, cfg_options=TINY_DETECTOR, **arguments)


def test_resuming_from_another_model(refused, segmentor):
    line = refused(train_model, DETECTOR, cfg_options=TINY_DETECTOR, resume=str(segmentor / 'iter_4.pth'))
    assert 'does not fit the model MaskRCNN' in line


def test_resuming_from_weights_alone(refused, segmentor, tmp_path):
    weights = read_run_checkpoint(segmentor / 'iter_4.pth')['state_dict']
    torch.save({'state_dict': weights, 'meta': {}}, tmp_path / 'weights.pth')
    line = refused(train_model, SEGMENTOR, cfg_options=TINY_SEGMENTOR, resume=str(tmp_path / 'weights.pth'))
    assert 'load_from=' in line


def test_evaluating_a_checkpoint_that_does_not_fit(refused, segmentor, tmp_path):
    checkpoint = segmentor / 'iter_4.pth'
    line = refused(evaluate_model, DETECTOR, checkpoint, cfg_options=TINY_DETECTOR)
    assert 'does not fit the model MaskRCNN' in line
    deeper = {**TINY_SEGMENTOR, 'model.backbone.num_layers': 3}
    line = refused(evaluate_model, SEGMENTOR, checkpoint, cfg_options=deeper)
    assert ' missing (backbone.blocks.2.' in line
    assert 'none unexpected' in line
    cut = shutil.copy(checkpoint, tmp_path / 'cut.pth')
    with open(cut, 'r+b') as file:
        file.truncate(1000)
    assert 'cut short' in refused(evaluate_model, SEGMENTOR, cut, cfg_options=TINY_SEGMENTOR)


@pytest.mark.parametrize(
    ('outputs', 'message'),
    [
        ({'out': 'predictions.txt'}, '--out predictions.txt: expected a file name that ends with .pkl'),
        ({'out': 'a.pkl', 'json_file': './a.pkl'}, '--out and --json are the same file'),
        ({'json_file': 'data'}, '--json data is a folder'),
        ({'json_file': 'data/shapes/annotations/instances_training.json/m.json'}, 'instances_training.json is a file'),
        ({'show_dir': 'data/shapes/annotations/instances_training.json'}, '--show-dir'),
        ({'work_dir': 'data/shapes/annotations/instances_training.json/deeper'}, '--work-dir'),
    ],
)
def test_outputs_that_could_not_be_written_are_refused_before_the_test(refused, outputs, message):
    assert message in refused(evaluate_model, DETECTOR, 'w.pth', **outputs)


@pytest.mark.parametrize('option', [{'show_interval': 2}, {'score_thr': 0.5}])
def test_options_of_pictures_need_a_folder_for_them(refused, option):
    assert 'add --show-dir' in refused(evaluate_model, SEGMENTOR, 'w.pth', **option)


def test_fusing_is_for_one_process_on_a_cpu(refused, monkeypatch):
    assert '--launcher pytorch has several' in refused(
        evaluate_model, SEGMENTOR, 'w.pth', fuse=True, launcher='pytorch'
    )
    monkeypatch.setattr('mmvitdense.apis.test.get_device', lambda: 'cuda')
    assert 'this test runs on cuda: leave it out' in refused(evaluate_model, SEGMENTOR, 'w.pth', fuse=True)


def test_a_demo_by_windows_without_a_step(refused):
    options = {'model.test_cfg.mode': 'slide', 'model.test_cfg.crop_size': (64, 64)}
    assert 'model.test_cfg.stride="(43,43)"' in refused(Inferencer, SEGMENTOR, 'random', cfg_options=options)


def test_the_tools_say_it_in_one_line_too(workshop):
    done = workshop.run('test.py', 'configs/none.py', 'w.pth', exit_code=2)
    assert done.stderr == 'error: The config configs/none.py does not exist.\n'
    done = workshop.run('train.py', DETECTOR, '--work-dri', 'x', exit_code=2)
    assert 'unrecognized arguments: --work-dri' in done.stderr


def test_all_processes_stop_when_the_first_finds_a_mistake(workshop):
    options = {**TINY_DETECTOR, 'train_dataloader.dataset.data_root': 'nowhere/'}
    done = workshop.run('train.py', DETECTOR, '--work-dir', 'never', options=options, processes=2, exit_code=2)
    assert done.stderr.count('error: ') == 1
    assert not (workshop / 'never').exists()
