"""Whole runs on photographs, ours and by the tools of mmdet and mmseg, with one model and its weights."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmvitdense.apis.build import build_model
from mmvitdense.apis.inference import Inferencer
from mmvitdense.apis.test import evaluate_model
from mmvitdense.apis.train import train_model
from mmvitdense.models.segmentation.label_map import LabelMap

from .stopwatch import AUGMENTATION, EVALUATION, LOADING, POST, Stopwatch

_CONFIGS = Path(__file__).parents[2] / 'configs'
MODELS = {
    'mask-rcnn-vitdet-b': 'vitdet/vitdet-b-mae_mask-rcnn_lsj-100e_coco.py',
    'upernet-vit-b': 'vit/vit-b-mae_upernet-multilevel_160k_ade20k-512.py',
}
WAYS = ('test', 'test_fused', 'predict', 'train')
SIDES = ('ours', 'library')


class Photographs(NamedTuple):
    """A folder in the layout of COCO.

    `root` has `train2017`, `val2017`, `annotations/instances_*2017.json` and label maps with 133 classes in
    `annotations/semantic_*2017`.
    """

    root: Path
    count: int

    def files(self) -> list[str]:
        """The first of those to predict for."""
        return [str(path) for path in sorted((self.root / 'val2017').iterdir())[: self.count]]


class Taken(NamedTuple):
    """Seconds for how many images or iterations, and where they went."""

    seconds: float
    units: int
    shares: dict[str, float]


def run(model: str, way: str, side: str, data: Photographs, workers: int) -> Taken:
    """Measure one run; sections are seen in this process, so that with workers loading is what is waited for.

    Args:
        model, way, side: Of MODELS, WAYS and SIDES.
        data: What it runs on.
        workers: Processes that load images.
    """
    with tempfile.TemporaryDirectory() as folder:
        cfg = config_of(model, data, workers, Path(folder, 'work'))
        weights = Path(folder, 'weights.pth')
        torch.manual_seed(0)
        init_default_scope(cfg.default_scope)
        network = build_model(copy.deepcopy(cfg))
        torch.save({'state_dict': network.state_dict(), 'meta': {}}, weights)
        del network
        return _RUNS[way, side](cfg, weights, data)


def config_of(model: str, data: Photographs, workers: int, work_dir: Path) -> Config:
    """The config of a model with these photographs in the place of its data, and no weights to fetch."""
    cfg = Config.fromfile(_CONFIGS / MODELS[model])
    cfg.model.backbone.init_cfg = None
    cfg.work_dir = str(work_dir)
    cfg.default_hooks.pop('visualization', None)
    segments = cfg.default_scope == 'mmseg'
    for loader, split in ((cfg.train_dataloader, 'train2017'), (cfg.test_dataloader, 'val2017')):
        loader.update(num_workers=workers, persistent_workers=False)
        dataset = loader.dataset
        dataset.update(data_root=str(data.root))
        if segments:
            classes = [f'class {index}' for index in range(133)]
            dataset.update(type='BaseSegDataset', metainfo={'classes': classes}, img_suffix='.jpg')
            dataset.data_prefix = {'img_path': split, 'seg_map_path': f'annotations/semantic_{split}'}
        else:
            dataset.update(ann_file=f'annotations/instances_{split}.json', data_prefix={'img': split})
    # Batch norms on one pixel, as those of pyramid pooling, need two images.
    cfg.train_dataloader.batch_size = 2 if segments else 1
    # On a CPU mmengine has no mixed precision.
    cfg.optim_wrapper.type = 'OptimWrapper'
    for name in ('dtype', 'loss_scale'):
        cfg.optim_wrapper.pop(name, None)
    cfg.test_dataloader.dataset.indices = data.count
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_cfg = {'type': 'IterBasedTrainLoop', 'max_iters': data.count}
    if segments:
        cfg.model.decode_head.num_classes = 133
        if cfg.model.get('auxiliary_head'):
            cfg.model.auxiliary_head.num_classes = 133
    else:
        cfg.test_evaluator.ann_file = str(data.root / 'annotations/instances_val2017.json')
        # Weights that have learnt nothing are sure of nothing: all boxes that may be kept are, with their masks.
        cfg.model.test_cfg.rcnn.score_thr = 0.0
    return cfg


@contextmanager
def _watched(runner: Runner, watch: Stopwatch, loop: Any, found: list[float]):
    """Count the sections of a runner, and the time of the block."""
    watch.count_model(runner.model)
    _count_label_maps(watch)
    loader = loop.dataloader
    watch.count_pipeline(loader.dataset.pipeline)
    if getattr(loop, 'evaluator', None) is not None:
        watch.count(loop.evaluator, 'process', EVALUATION)
        watch.count(loop.evaluator, 'evaluate', EVALUATION)
    start = time.perf_counter()
    yield
    found.append(time.perf_counter() - start)


def _test_ours(cfg: Config, weights: Path, data: Photographs, fuse: bool = False) -> Taken:
    watch, found = Stopwatch(), []
    evaluate_model(cfg, weights, fuse=fuse, watch=lambda runner: _watched(runner, watch, runner.test_loop, found))
    return Taken(found[0], data.count, watch.shares(found[0]))


def _test_library(cfg: Config, weights: Path, data: Photographs) -> Taken:
    """As mmdet's and mmseg's `tools/test.py` do."""
    cfg.load_from = str(weights)
    _plain_runtime(cfg)
    runner, watch, found = Runner.from_cfg(cfg), Stopwatch(), []
    runner.load_or_resume()
    with _watched(runner, watch, runner.test_loop, found):
        runner.test()
    return Taken(found[0], data.count, watch.shares(found[0]))


def _predict_ours(cfg: Config, weights: Path, data: Photographs) -> Taken:
    inferencer, watch = Inferencer(cfg, weights, device='cpu'), Stopwatch()
    inferencer(data.files()[0])
    watch.count_model(inferencer.model)
    _count_label_maps(watch)
    watch.count(inferencer._images, 'read', LOADING)
    watch.count(inferencer._images, 'prepare', AUGMENTATION)
    watch.count(inferencer._read, 'result', POST)
    return _timed(lambda: inferencer(data.files(), score_thr=0.0), watch, data)


def _predict_library(cfg: Config, weights: Path, data: Photographs) -> Taken:
    _plain_runtime(cfg)
    if cfg.default_scope == 'mmseg':
        from mmseg.apis import MMSegInferencer

        inferencer = MMSegInferencer(cfg, str(weights), device='cpu')
        options = {}
    else:
        from mmdet.apis import DetInferencer

        inferencer = DetInferencer(cfg, str(weights), device='cpu', show_progress=False)
        options = {'no_save_vis': True, 'no_save_pred': True, 'return_datasamples': False}
    inferencer.show_progress = False
    inferencer(data.files()[0], **options)
    watch = Stopwatch()
    watch.count_model(inferencer.model)
    _count_label_maps(watch)
    watch.count_pipeline(inferencer.pipeline)
    watch.count(inferencer, 'postprocess', POST)
    return _timed(lambda: inferencer(data.files(), **options), watch, data)


def _train_ours(cfg: Config, weights: Path, data: Photographs) -> Taken:
    return _trained(cfg, weights, data, train_model)


def _train_library(cfg: Config, weights: Path, data: Photographs) -> Taken:
    _plain_runtime(cfg)
    return _trained(cfg, weights, data, lambda cfg: Runner.from_cfg(cfg).train())


def _trained(cfg: Config, weights: Path, data: Photographs, train: Callable[[Config], Any]) -> Taken:
    """Time from the first iteration to the last, as a hook of the run sees it."""
    from .training_clock import TrainingClock

    cfg.load_from = str(weights)
    cfg.train_cfg.max_iters = data.count + 1
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), {'type': 'benchmarks.training_clock.TrainingClock'}]
    TrainingClock.watch = Stopwatch()
    train(cfg)
    seconds = TrainingClock.seconds
    return Taken(seconds, data.count, TrainingClock.watch.shares(seconds))


def _timed(function: Callable[[], Any], watch: Stopwatch, data: Photographs) -> Taken:
    start = time.perf_counter()
    function()
    seconds = time.perf_counter() - start
    return Taken(seconds, data.count, watch.shares(seconds))


def _count_label_maps(watch: Stopwatch) -> None:
    """What our segmentors make of scores, a few rows at a time, on both sides, which have one model."""
    watch.count(LabelMap, 'add', POST)


def _plain_runtime(cfg: Config) -> None:
    """Hooks, metrics and runner of the libraries in the place of ours; the model stays."""
    ours = [name for name, hook in cfg.default_hooks.items() if hook and str(hook['type']).startswith('mmvitdense.')]
    for name in ours:
        cfg.default_hooks.pop(name)
    cfg.default_hooks.checkpoint = {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 10**6}
    for name in ('test_evaluator', 'val_evaluator'):
        if cfg.get(name) and str(cfg[name].type).startswith('mmvitdense.'):
            cfg[name].type = cfg[name].type.partition('.')[2]


_RUNS: dict[tuple[str, str], Callable[[Config, Path, Photographs], Taken]] = {
    ('test', 'ours'): _test_ours,
    ('test', 'library'): _test_library,
    ('test_fused', 'ours'): partial(_test_ours, fuse=True),
    ('test_fused', 'library'): _test_library,
    ('predict', 'ours'): _predict_ours,
    ('predict', 'library'): _predict_library,
    ('train', 'ours'): _train_ours,
    ('train', 'library'): _train_library,
}
