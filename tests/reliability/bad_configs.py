"""Configs and options that cannot be built, as data: the place in the config, what was given, the nearest name."""

from __future__ import annotations

from collections.abc import Sequence

from .place import BadInput, Place, evaluate, train

SEGMENTOR = 'segmentor.py'


def option(name: str, options: str | Sequence[str], line: str, config: str = SEGMENTOR) -> BadInput:
    given = ['train_cfg.max_iters=2', *([options] if isinstance(options, str) else options)]
    return BadInput(name, 'train', train(*given, config=config), line)


def config_file(name: str, text: str, line: str, suffix: str = '.py', tool: str = 'train', **more: str) -> BadInput:
    """A config file; `more` are others beside it, by name without suffix."""

    def prepare(place: Place) -> list[str]:
        place.write(f'mine{suffix}', text)
        for other, content in more.items():
            place.write(f'{other}.py', content)
        return [f'mine{suffix}'] if tool == 'print_config' else train(config=f'mine{suffix}')

    return BadInput(name, tool, prepare, line)


def inheriting(text: str) -> str:
    return f"_base_ = './segmentor.py'\n{text}\n"


def evaluation(name: str, options: str, line: str) -> BadInput:
    return BadInput(name, 'test', evaluate(options, config=SEGMENTOR, checkpoint='segmentor.pth'), line)


_MODEL = [
    option('backbone-foo', 'model.backbone.foo=3', r"^model\.backbone\.foo: PlainViT takes no 'foo' \(given 3\)"),
    option('no-scope', 'model.backbone.type=PlainViT', r"^model\.backbone\.type: .*mean 'mmvitdense\.PlainViT'"),
    option('wrong-scope', 'model.backbone.type=mmvitdens.PlainViT', r"backbone\.type: .* a library 'mmvitdens'"),
    option('model-type', 'model.type=EncodrDecoder', r"^model\.type: .*did you mean 'EncoderDecoder'"),
    option('width-text', 'model.backbone.embed_dims=abc', r"^model\.backbone\.embed_dims: PlainViT .*'abc'"),
    option('width-heads', 'model.backbone.embed_dims=33', r'^model\.backbone: PlainViT .*multiple of num_heads'),
    option('loss-argument', 'model.decode_head.loss_decode.foo=1', r'^model\.decode_head\.loss_decode\.foo: Cross'),
    option(
        'loss-type', 'model.decode_head.loss_decode.type=CrossEntropyLos', r"loss_decode\.type: .*'CrossEntropyLoss'"
    ),
    option('head-lists', 'model.decode_head.in_channels=[64,64]', r'^model\.decode_head: UPerHead .*in_channels'),
    option('head-norm', 'model.decode_head.norm_cfg.type=BNN', r"^model\.decode_head\.norm_cfg\.type: .*'BN'"),
    option('neck-width', 'model.neck.in_channels=48', r'^model\.neck\.\S+: \w+ fails on a first batch .*48'),
    option('levels', 'model.decode_head.in_index=[0,1,7]', r'^model\.decode_head: UPerHead fails on a first batch'),
    option('mean', 'model.data_preprocessor.mean=[1,2]', r'^model\.data_preprocessor: .*`mean` should have 1 or 3'),
    option('preprocessor', 'model.data_preprocessor.foo=1', r'^model\.data_preprocessor\.foo: SegDataPreProcessor'),
    option('init-type', 'model.backbone.init_cfg.type=Xaviar', r"^model\.backbone\.init_cfg\.type: .*'Xavier'"),
    option('iou', 'val_evaluator.iou_metrics=[mIoUU]', r"^val_evaluator\.iou_metrics: 'mIoUU' .*did you mean 'mIoU'"),
    option(
        'suppression',
        'model.test_cfg.rcnn.nms.type=nmss',
        r'^model\.roi_head.* fails on a first batch of the validation .*nmss',
        config='detector.py',
    ),
    option('model-text', 'model=x', r"^model: expected a dict, got 'x'"),
    config_file(
        'batch-norm-of-one',
        inheriting(
            "norm = dict(_delete_=True, type='BN')\n"
            'model = dict(decode_head=dict(norm_cfg=norm))\ntrain_dataloader = dict(batch_size=1)'
        ),
        r'^model\.decode_head\.psp_modules\S+: BatchNorm2d fails .*set train_dataloader\.batch_size above 1',
    ),
]

_OPTIMIZER = [
    option('adamx', 'optim_wrapper.optimizer.type=AdamX', r"^optim_wrapper\.optimizer\.type: .*'AdamX'.*'Adam\w*'"),
    option('lr-text', 'optim_wrapper.optimizer.lr=fast', r"^optim_wrapper\.optimizer\.lr: AdamW .*number, got 'fast'"),
    option('lr-negative', 'optim_wrapper.optimizer.lr=-1', r'^optim_wrapper\.optimizer: AdamW .*learning rate: -1'),
    option('adamw-foo', 'optim_wrapper.optimizer.foo=1', r'^optim_wrapper\.optimizer\.foo: AdamW takes no'),
    option('wrapper-type', 'optim_wrapper.type=OptimWraper', r"^optim_wrapper\.type: .*'OptimWrapper'"),
    option('constructor', 'optim_wrapper.constructor=NoSuch', r"^optim_wrapper\.constructor: .*'NoSuch'"),
    option('clip', 'optim_wrapper.clip_grad.foo=1', r'^optim_wrapper\.clip_grad\.foo: clip_grad_norm_ takes no'),
    option('accumulation', 'optim_wrapper.accumulative_counts=0', r'^optim_wrapper\.accumulative_counts: expected'),
    option('paramwise', 'optim_wrapper.paramwise_cfg.custom_key=1', r"paramwise_cfg\.custom_key: .*'custom_keys'"),
    option('scheduler-type', 'param_scheduler.0.type=LinearRL', r"^param_scheduler\.0\.type: .*'LinearLR'"),
    option('scheduler-foo', 'param_scheduler.0.foo=1', r'^param_scheduler\.0\.foo: LinearLR takes no'),
    option('scheduler-end', 'param_scheduler.0.end=-3', r'^param_scheduler\.0: LinearLR .*end=-3'),
    config_file(
        'milestones',
        inheriting("param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones='8,11')]"),
        r"^param_scheduler\.0\.milestones: expected a list of whole numbers, got '8,11'",
    ),
    option('auto-scale', ['auto_scale_lr.enabel=True'], r"^auto_scale_lr\.enabel: .*did you mean 'enable'"),
]

_LOOPS = [
    option('no-iterations', 'train_cfg.max_iters=0', r'^train_cfg\.max_iters: .*at least 1, got 0'),
    option('iterations-text', 'train_cfg.max_iters=abc', r"^train_cfg\.max_iters: .*got 'abc'"),
    option('val-interval', 'train_cfg.val_interval=0', r'^train_cfg\.val_interval: .*at least 1, got 0'),
    option('val-begin', 'train_cfg.val_begin=x', r'^train_cfg\.val_begin: .*whole number'),
    option('loop-foo', 'train_cfg.foo=1', r'^train_cfg\.foo: IterBasedTrainLoop takes no'),
    option('loop-type', 'train_cfg.type=IterBasedTrainLop', r"^train_cfg\.type: .*'IterBasedTrainLoop'"),
    option('val-without-loader', 'val_dataloader=None', r'without val_dataloader: a config gives all three'),
    option('loader-without-val', 'val_cfg=None', r'without val_cfg: a config gives all three'),
    option('val-foo', 'val_cfg.foo=1', r'^val_cfg\.foo: ValLoop takes no'),
    option('no-optimizer', 'optim_wrapper=None', r'cannot be trained: it has no optim_wrapper'),
    option('evaluator-type', 'val_evaluator.type=IoUMetrik', r"^val_evaluator\.type: .*'IoUMetric'"),
    option('evaluator-metric', 'val_evaluator.metric=bboxx', r'^val_evaluator: CocoMetric .*bboxx', 'detector.py'),
    option('runner', 'runner_type=Runer', r"^runner_type: .*'Runer'"),
    option('scope', 'default_scope=mmdett', r"^default_scope: .*did you mean 'mmdet'"),
]

_LOADERS = [
    option('no-images-a-batch', 'train_dataloader.batch_size=0', r'^train_dataloader\.batch_size: .*at least 1, got 0'),
    option('workers', 'train_dataloader.num_workers=-1', r'^train_dataloader\.num_workers: .*at least 0, got -1'),
    option(
        'persistent',
        ['train_dataloader.persistent_workers=True', 'train_dataloader.num_workers=0'],
        r'^train_dataloader\.persistent_workers is True .*no workers to keep',
    ),
    option('loader-foo', 'train_dataloader.foo=1', r'^train_dataloader\.foo: DataLoader takes no'),
    option('sampler', 'train_dataloader.sampler.type=InfiniteSamplr', r"sampler\.type: .*'InfiniteSampler'"),
    option('sampler-foo', 'train_dataloader.sampler.foo=1', r'sampler\.foo: InfiniteSampler takes no'),
    option('collate', 'train_dataloader.collate_fn.type=nope', r"^train_dataloader\.collate_fn\.type: .*'nope'"),
    option(
        'dataset',
        'train_dataloader.dataset.type=BaseSegDatset',
        r"^train_dataloader\.dataset\.type: .*'BaseSegDataset'",
    ),
    option('dataset-foo', 'train_dataloader.dataset.foo=1', r'^train_dataloader\.dataset\.foo: BaseSegDataset'),
    option('transform', 'train_dataloader.dataset.pipeline.2.type=RandomFlipp', r"pipeline\.2\.type: .*'RandomFlip'"),
    option('transform-foo', 'train_dataloader.dataset.pipeline.2.foo=1', r'^train_\S+pipeline\.2\.foo: RandomFlip'),
    option(
        'transform-text', 'train_dataloader.dataset.pipeline.2.prob=abc', r'pipeline\.2: RandomFlip cannot be built'
    ),
    option('flip', 'train_dataloader.dataset.pipeline.2.direction=up', r'pipeline\.2: RandomFlip .*direction'),
    option(
        'packing',
        'train_dataloader.dataset.pipeline.3.type=PackDetInputs',
        r"pipeline\.3\.type: .*'(mmdet\.)?Pack\w+Inputs'",
    ),
    option('no-transforms', 'train_dataloader.dataset.pipeline=[]', r'pipeline|first batch'),
    option(
        'batch-sampler',
        'train_dataloader.batch_sampler.type=AspectRatioBatchSamplr',
        r"batch_sampler\.type: .*'AspectRatioBatchSampler'",
        'detector.py',
    ),
    config_file(
        'transform-fails',
        inheriting(
            'pipeline = list(_base_.train_dataloader.dataset.pipeline)\n'
            "pipeline.insert(2, dict(type='RandomRotate', prob=1.0, degree=10.0, center='x'))\n"
            'train_dataloader = dict(dataset=dict(pipeline=pipeline))'
        ),
        r'^train_dataloader\.dataset\.pipeline\.2: RandomRotate fails on',
    ),
]

_DETECTION = [
    option(name, given, line, 'detector.py')
    for name, given, line in (
        ('box-head', 'model.roi_head.bbox_head.foo=1', r'^model\.roi_head\.bbox_head\.foo: Shared2FCBBoxHead takes no'),
        ('box-loss', 'model.roi_head.bbox_head.loss_cls.type=CrosEntropyLoss', r"loss_cls\.type: .*'CrossEntropyLoss'"),
        ('anchors', 'model.rpn_head.anchor_generator.scale=[1]', r"anchor_generator\.scale: .*'scales'"),
        ('strides', 'model.rpn_head.anchor_generator.strides=[1,2]', r'^model\.rpn_head: .*num_levels'),
        ('assigner', 'model.train_cfg.rpn.assigner.foo=1', r'^model\.train_cfg\.rpn\.assigner\.foo: MaxIoUAssigner'),
        ('box-sampler', 'model.train_cfg.rcnn.sampler.type=RandomSamplr', r"rcnn\.sampler\.type: .*'RandomSampler'"),
    )
]

_HOOKS = [
    option('hook-type', 'default_hooks.timer.type=IterTimeHook', r"^default_hooks\.timer\.type: .*'IterTimerHook'"),
    option('hook-unknown', 'default_hooks.extra.type=NoHook', r"^default_hooks\.extra\.type: .*'NoHook'"),
    option('hook-interval', 'default_hooks.logger.interval=0', r'^default_hooks\.logger: LoggerHook .*greater than 0'),
    option('hook-text', 'default_hooks.checkpoint.interval=often', r'^default_hooks\.checkpoint\.interval: .*often'),
    option('hook-list', 'custom_hooks=[x]', r"^custom_hooks\.0: expected a dict .*'x'"),
    option('visualizer', 'visualizer.type=SegLocalVisualiser', r"^visualizer\.type: .*'SegLocalVisualizer'"),
    option('visualizer-foo', 'visualizer.foo=1', r'^visualizer\.foo: SegLocalVisualizer takes no'),
    option('backend', 'visualizer.vis_backends.0.type=Tensorbord', r"vis_backends\.0\.type: .*'TensorboardVisBackend'"),
    option('level', 'log_level=DEBG', r"^log_level: .*did you mean 'DEBUG'"),
    option('log-processor', 'log_processor.foo=1', r'^log_processor\.foo: LogProcessor takes no'),
    option('environment', 'env_cfg.mp_cfg.foo=1', r'^env_cfg\.mp_cfg\.foo: set_multi_processing takes no'),
    option('randomness', 'randomness.foo=1', r'^randomness\.foo: set_randomness takes no'),
    config_file(
        'hook-of-a-file',
        inheriting('default_hooks = dict(checkpont=dict(interval=5))'),
        r"^default_hooks\.checkpont: .*did you mean 'checkpoint'",
    ),
]

_FILES = [
    config_file('syntax', "_base_ = './segmentor.py'\nmodel = dict(\n", r"mine\.py, line 2: '\(' was never closed"),
    config_file('code', 'a = 1\nb = a + c\n', r"mine\.py, line 2: NameError: name 'c' is not defined"),
    config_file(
        'base-missing',
        "_base_ = './segmentr.py'\n",
        r'mine\.py: there is no \S*segmentr\.py.*did you mean \S*segmentor',
    ),
    config_file('base-variable', inheriting('a = _base_.widht'), r'mine\.py, line 2: AttributeError: .*widht'),
    config_file('circle', "_base_ = './other.py'\n", r'inherits from itself: .*other', other="_base_ = './mine.py'\n"),
    config_file('syntax-in-base', "_base_ = './other.py'\n", r'other\.py, line 1: ', other='a = = 1\n'),
    config_file('bases-that-clash', "_base_ = ['./segmentor.py', './detector.py']\n", r'mine\.py.*Duplicate key'),
    config_file(
        'imports',
        inheriting("custom_imports = dict(imports=['no_such_module'])"),
        r'mine\.py: custom_imports: .*no_such_module',
    ),
    config_file('dict-for-text', inheriting('log_level = dict(a=1)'), r'mine\.py: TypeError: .*log_level'),
    config_file('yaml', 'model:\n  type: [a\nb: 1\n', r'mine\.yaml, line [23]: ', '.yaml'),
    config_file(
        'yaml-object',
        "a: !!python/object/apply:os.system ['echo']\n",
        r'mine\.yaml, line 1: could not determine',
        '.yaml',
    ),
    config_file('json', '{"model": {"type": 1,}\n', r'mine\.json, line 1: ', '.json'),
    config_file('json-list', '[1]', r"mine\.json: AttributeError: 'list'", '.json'),
    config_file(
        'optim_wraper',
        inheriting('optim_wraper = dict(optimizer=dict(lr=1))'),
        r"'optim_wraper'; did you mean 'optim_wrapper'",
    ),
    config_file('trian_cfg', inheriting('trian_cfg = dict(max_iters=3)'), r"'trian_cfg'; did you mean 'train_cfg'"),
    config_file('load_form', inheriting("load_form = 'w.pth'"), r"'load_form'; did you mean 'load_from'"),
    config_file(
        'nested', inheriting('model = dict(backbone=dict(drop_path_rat=0.1))'), r"drop_path_rat: .*'drop_path_rate'"
    ),
    config_file('print-syntax', 'a = (\n', r'mine\.py, line 1: ', tool='print_config'),
    config_file('no-model', "default_scope = 'mmseg'\n", r'cannot be trained: it has no'),
]

_TESTS = [
    evaluation('evaluator', 'test_evaluator.type=IoUMetrik', r"^test_evaluator\.type: .*'IoUMetric'"),
    evaluation('loader', 'test_dataloader.foo=1', r'^test_dataloader\.foo: DataLoader takes no'),
    evaluation('transform', 'test_dataloader.dataset.pipeline.0.type=LoadImag', r'pipeline\.0\.type: .*registered'),
    evaluation('loop', 'test_cfg.foo=1', r'^test_cfg\.foo: TestLoop takes no'),
    evaluation('model', 'model.backbone.foo=1', r'^model\.backbone\.foo: PlainViT takes no'),
    evaluation('batch', 'test_dataloader.batch_size=0', r'^test_dataloader\.batch_size: '),
    evaluation('pair', 'nonsense', r"expected KEY=VALUE, got 'nonsense'"),
    evaluation('brackets', 'model.test_cfg.stride=(1,2', r'model\.test_cfg\.stride: the brackets of'),
]

BAD_CONFIGS: list[BadInput] = [
    bad._replace(name=f'config-{bad.name}')
    for bad in (*_MODEL, *_OPTIMIZER, *_LOOPS, *_LOADERS, *_DETECTION, *_HOOKS, *_FILES, *_TESTS)
]
