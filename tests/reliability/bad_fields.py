"""Fields of configs that a run reads late, leniently or not at all, as data: refused before anything is written.

The early ones are seen in the config itself, the late ones when all parts of the run are built.
"""

from __future__ import annotations

from .bad_configs import config_file, evaluation, inheriting, option
from .place import BadInput

_PIPELINE_OF_LATER = """\
later = [dict(type='LoadImageFromFil')]
custom_hooks = [dict(type='mmdet.PipelineSwitchHook', switch_epoch=1, switch_pipeline=later)]
"""

LATE = [
    option('begin-fraction', 'param_scheduler.0.begin=0.5', r'^param_scheduler\.0\.begin: \w+ expects a whole number'),
    config_file(
        'schedule-of-nothing',
        inheriting("param_scheduler = [dict(type='StepLR', by_epoch=False, step_size=0)]"),
        r'^param_scheduler\.0: StepLR cannot be built \(ZeroDivisionError',
    ),
    option('flag-text', 'default_hooks.checkpoint.by_epoch=no', r'checkpoint\.by_epoch: \w+ expects True or False'),
    option('kept-text', 'default_hooks.checkpoint.max_keep_ckpts=x', r'max_keep_ckpts: \w+ expects a whole number'),
    option('saved-foo', 'default_hooks.checkpoint.saev_best=mIoU', r"checkpoint\.saev_best: .*mean 'save_best'"),
    option(
        'best-of-nothing',
        ['default_hooks.checkpoint.save_best=mIoUs', 'default_hooks.checkpoint.rule=greater'],
        r"^default_hooks\.checkpoint\.save_best: val_evaluator computes no 'mIoUs'; did you mean 'mIoU'",
    ),
    option(
        'best-of-boxes',
        ['default_hooks.checkpoint.save_best=bbox_mAP', 'default_hooks.checkpoint.rule=greater'],
        r"computes no 'bbox_mAP'; did you mean 'coco/bbox_mAP'",
        'detector.py',
    ),
    config_file(
        'averaging-foo',
        inheriting("custom_hooks = [dict(type='EMAHook', foo=1)]"),
        r"^custom_hooks\.0\.foo: [\w ]+ takes no 'foo'",
    ),
    config_file(
        'pipeline-of-later',
        inheriting(_PIPELINE_OF_LATER),
        r"^custom_hooks\.0\.switch_pipeline\.0\.type: .*'LoadImageFromFile'",
    ),
    config_file(
        'backend-not-installed',
        inheriting("visualizer = dict(vis_backends=[dict(type='NeptuneVisBackend')])"),
        r'^visualizer\.vis_backends\.0: NeptuneVisBackend needs the package neptune',
    ),
    config_file(
        'rule-of-another-constructor',
        inheriting('optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))'),
        r'^optim_wrapper\.paramwise_cfg\.layer_decay_rate: DefaultOptimWrapperConstructor reads no such key',
    ),
    config_file(
        'rule-mistyped',
        inheriting('optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(norm=dict(lr_mul=0.1))))'),
        r"custom_keys\.norm\.lr_mul: .*did you mean 'lr_mult'",
    ),
    config_file(
        'lr-infinite',
        inheriting("optim_wrapper = dict(optimizer=dict(lr=float('inf')))"),
        r'^optim_wrapper\.optimizer: one step of AdamW gives weights that are not finite \(lr=inf',
    ),
    option('test-key', 'model.test_cfg.moed=whole', r"^model\.test_cfg\.moed: nothing in the model .*'mode'"),
    option('score-key', 'model.test_cfg.rcnn.scoer_thr=0.1', r"^model\.test_cfg\.rcnn.*'score_thr'", 'detector.py'),
]

EARLY = [
    config_file('exit', inheriting('import sys\nsys.exit(3)'), r'mine\.py, line 3: SystemExit'),
    option('log-level-list', 'log_level=[INFO]', r"^log_level: expected the name of a level, such as 'INFO'"),
    option('load-from-number', 'load_from=3', r'^load_from: expected the path or address'),
    config_file('compile-text', inheriting("compile = 'x'"), r'^compile: expected True, False or a dict'),
    config_file('compile-foo', inheriting("compile = dict(backnd='eager')"), r"^compile\.backnd: .*mean 'backend'"),
    option('sync-bn', 'sync_bn=tourch', r"^sync_bn: expected 'torch', 'mmcv' or None"),
    config_file('no-metric', inheriting('val_evaluator = []'), r'^val_evaluator: expected a dict with the type'),
    option('metric-text', 'val_evaluator=IoUMetric', r'^val_evaluator: expected a dict with the type of a metric'),
    option('sampler-text', 'train_dataloader.sampler=x', r'^train_dataloader\.sampler: expected a dict'),
    config_file(
        'iterations-infinite',
        inheriting("train_cfg = dict(max_iters=float('inf'))"),
        r'^train_cfg\.max_iters: .* inf',
    ),
    option('batch-huge', 'train_dataloader.batch_size=1000000000', r'^train_dataloader\.batch_size: .*at most 65536'),
    option('workers-fraction', 'train_dataloader.num_workers=1.0', r'num_workers: .*whole number'),
    option('prefetch', 'train_dataloader.prefetch_factor=0', r'prefetch_factor: .*at least 1'),
    option('pin-text', 'train_dataloader.pin_memory=x', r'pin_memory: expected True or False'),
    option('intervals', 'train_cfg.dynamic_intervals=[(1,x)]', r'dynamic_intervals: expected a whole number'),
    option('accumulation-fraction', 'optim_wrapper.accumulative_counts=1.5', r'accumulative_counts: .*whole number'),
    option('clip-negative', 'optim_wrapper.clip_grad.max_norm=-1', r'clip_grad\.max_norm: expected a number above 0'),
    option('optimizer-text', 'optim_wrapper.optimizer=AdamW', r'^optim_wrapper\.optimizer: expected a dict'),
    option('root-number', 'train_dataloader.dataset.data_root=3', r'^train_dataloader\.dataset\.data_root must be a'),
    option('prefix', 'train_dataloader.dataset.data_prefix.img_paht=x', r"img_paht.*'img_path'"),
    option('list-is-a-folder', 'train_dataloader.dataset.ann_file=images', r'ann_file: .*is a folder'),
    evaluation('root-number', 'test_dataloader.dataset.data_root=3', r'^test_dataloader\.dataset\.data_root must be'),
    config_file(
        'loss-scale',
        inheriting("optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamc')"),
        r"^optim_wrapper\.loss_scale: .*did you mean 'dynamic'",
    ),
    option('dropped-twice', 'model.backbone.drop_path_rate=2', r'^model\.backbone: PlainViT .*drop_path_rate must be'),
    option('frozen', 'model.backbone.frozen_stages=True', r'^model\.backbone: PlainViT .*frozen_stages must be'),
    option('recomputed', 'model.backbone.with_cp=no', r"^model\.backbone.*PlainViT .*'no'"),
]

BAD_FIELDS: list[BadInput] = [bad._replace(name=f'field-{bad.name}') for bad in (*LATE, *EARLY)]
