"""A runner all parts of which are built, and tried on a batch, before anything of a run is written."""

from __future__ import annotations

import copy
import itertools
import os.path as osp
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.runner import BaseLoop, Runner
from mmengine.runner.checkpoint import load_state_dict
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from mmvitdense.datasets.bad_images import guard_images
from mmvitdense.engine.full_sharding import FullyShardedModel
from mmvitdense.engine.fused_steps import fuse_steps
from mmvitdense.engine.whole_checkpoint import bare_model, single_wrappers
from mmvitdense.frozen_weights import RECORDS

from .build_errors import building
from .checkpoint import read_run_checkpoint
from .errors import InputError
from .first_batch import try_loss, try_prediction, try_sample_batch
from .hook_arguments import check_backends, check_hook_arguments
from .metric_names import check_metrics, check_watched
from .official_weights import fits_by_name, official_weights
from .option_kinds import check_kinds
from .own_metrics import with_own_metrics
from .pixels import warn_of_loaded_pixels
from .rate_rule import rate_factor
from .run_log import RunLog
from .trial_steps import try_optimizers, try_schedules
from .unread_keys import refuse_unread_keys, refuse_unread_rules
from .wide_heads import computes_in_16_bits, give_float32

_number = itertools.count()


class PreparedRun:
    """Put before mmengine's `Runner` among the bases of a class: builds in advance what a run needs.

    The constructor of mmengine makes the work dir in its first line, and its `train` and `test` build loaders, loops,
    optimizer and schedules when the folder is full of files. Here the same methods of mmengine (or of a runner that
    overrides them) build the same parts in the same order from the same random numbers, before that constructor; it is
    given the parts that are built. So a run is the same with the preparation as without, and nothing is built twice.

    Class attributes set by `mmvitdense.apis.build.build_runner`:
        given_model: A model that is already built, in the place of the config's.
        max_bad_images: As for `build_runner`.
        trains: Whether the run trains, or tests.
        tried: Whether the loss of a first batch is computed, and a prediction made.
        log: What the run says so far.
        before_writing: Called with the runner when all is built.
        only_prepared: Whether it ends here: there is no work dir, and nothing can be run.
        given_datasets: Data sets that are already built, by 'train' and 'val', in the place of the config's.
    """

    before_writing: Callable[[Runner], Any] | None = None

    log: RunLog
    given_model: nn.Module | None = None
    max_bad_images: int | None = None
    trains = True
    tried = True
    only_prepared = False
    given_datasets: Mapping[str, Any] = MappingProxyType({})
    _preparing = _prepared = False
    _scaled = _initialized = _pixels_compared = False
    batch_tried = False
    """Whether a loss, or a prediction, of a first batch was computed."""
    _part = 'train'

    def __init__(self, **arguments: Any) -> None:
        if not isinstance(self, Runner):  # such as FlexibleRunner, whose strategies build in an order of their own
            self.log.logger.warning(
                f'{type(self).__mro__[2].__name__} builds its parts by itself: mistakes in them show when it runs.'
            )
            super().__init__(**arguments)
            return
        started = time.monotonic()
        self._name = f'mmvitdense_run_{next(_number)}'
        self._preparing = True
        try:
            self._prepare(arguments)
        except BaseException:
            MessageHub._instance_dict.pop(self._name, None)
            raise
        finally:
            self._preparing = False
        self._prepared = True
        self.seconds_of_preparation = time.monotonic() - started
        if self.only_prepared:
            return
        if self.before_writing is not None:
            self.before_writing(self)
        super().__init__(**arguments)

    def forget(self) -> None:
        """Take what was only prepared out of mmengine's lists of instances."""
        MessageHub._instance_dict.pop(self._name, None)
        if isinstance(described := self.cfg.get('visualizer'), dict):
            _forget_visualizer(described)

    def _prepare(self, arguments: dict[str, Any]) -> None:
        """Build all parts and put them into the arguments of mmengine's constructor.

        Raises:
            InputError: A part cannot be built, or fails on a first batch.
        """
        self.cfg = copy.deepcopy(arguments['cfg'])
        self._read(arguments)
        with self._building('env_cfg'):
            self.setup_env(arguments['env_cfg'])
        with self._building('randomness'):
            self.set_randomness(**arguments['randomness'])
        self._log_dir = osp.join(self._work_dir, self._timestamp)
        with self._building('log_processor'):
            arguments['log_processor'] = self.build_log_processor(arguments['log_processor'] or {})
        if arguments['visualizer'] is not None:
            _forget_visualizer(arguments['visualizer'])
            with self._building('visualizer'), _instances_kept(arguments['visualizer']):
                arguments['visualizer'] = self.visualizer = self.build_visualizer(arguments['visualizer'])
                self._build_rest(arguments)
        else:
            arguments['visualizer'] = self.visualizer = self.build_visualizer(None)
            self._build_rest(arguments)

    def _read(self, arguments: dict[str, Any]) -> None:
        """Set what the methods of mmengine that build look at."""
        self._work_dir = osp.abspath(arguments['work_dir'])
        self._launcher = arguments['launcher']
        self._distributed = self._launcher != 'none'
        self._randomness_cfg = arguments['randomness']
        self._experiment_name = self._name
        self.logger = self.log.logger
        self.message_hub = MessageHub.get_instance(self._name)
        self._hooks: list[Hook] = []
        for split in ('train', 'val', 'test'):
            setattr(self, f'_{split}_dataloader', arguments[f'{split}_dataloader'])
            setattr(self, f'_{split}_loop', arguments[f'{split}_cfg'])
        self._val_evaluator, self._test_evaluator = arguments['val_evaluator'], arguments['test_evaluator']
        self.optim_wrapper, self.param_schedulers = arguments['optim_wrapper'], arguments['param_scheduler']

    def _build_rest(self, arguments: dict[str, Any]) -> None:
        """The model, hooks and what a training or a test runs on."""
        with self._building('model'):
            if isinstance(arguments['model'], dict) and arguments['data_preprocessor'] is not None:
                arguments['model'].setdefault('data_preprocessor', arguments['data_preprocessor'])
            self.model = self.build_model(arguments['model'])
        refuse_unread_keys(self.model, self.cfg.get('model'))
        if computes_in_16_bits(self.cfg):
            give_float32(self.model)
        with self._building('model_wrapper_cfg' if self._distributed else 'model'):
            self.model = self.wrap_model(self.cfg.get('model_wrapper_cfg'), self.model)
        arguments['model'] = self.model
        with self._building('default_hooks'):
            self.register_default_hooks(arguments['default_hooks'])
        with self._building('custom_hooks'):
            self.register_custom_hooks(arguments['custom_hooks'] or [])
        _check_sharding(self)
        self._ready_hooks = self._hooks
        if self.trains:
            self._build_training(arguments)
        else:
            with self._building('test_cfg'):
                arguments['test_cfg'] = self._test_loop = self.build_test_loop(self._test_loop)
            check_metrics(self._test_loop.evaluator, 'test_evaluator')
            check_kinds(self.cfg)
            check_backends(self.cfg.get('visualizer'))
            try_sample_batch(self._test_loop.dataloader, 'test_dataloader')

    def _build_training(self, arguments: dict[str, Any]) -> None:
        with self._building('train_cfg'):
            arguments['train_cfg'] = self._train_loop = self.build_train_loop(self._train_loop)
        with self._building('optim_wrapper'):
            arguments['optim_wrapper'] = self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        fuse_steps(self.optim_wrapper)
        _check_clipping(self.optim_wrapper)
        with self._building('auto_scale_lr'):
            self.scale_lr(self.optim_wrapper, arguments['auto_scale_lr'])
        self._scaled = True
        if self.param_schedulers is not None:
            with self._building('param_scheduler'):
                self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
                arguments['param_scheduler'] = self.param_schedulers
        if self._val_loop is not None:
            with self._building('val_cfg'):
                arguments['val_cfg'] = self._val_loop = self.build_val_loop(self._val_loop)
            check_metrics(self._val_loop.evaluator, 'val_evaluator')
            check_watched(self.cfg, self._val_loop.evaluator, 'val_evaluator')
        self._check_later()
        with self._building('model'):
            self._init_model_weights()
        self._initialized = True
        batch = try_sample_batch(self._train_loop.dataloader, 'train_dataloader')
        to_score = try_sample_batch(self._val_loop.dataloader, 'val_dataloader') if self._val_loop is not None else None
        if self.tried and not self._distributed:
            self.batch_tried = True
            with hub_of_its_own(self):
                if batch is not None:
                    try_loss(self, batch)
                if to_score is not None:
                    try_prediction(self, to_score)

    def _check_later(self) -> None:
        """Check what is read, or computed, when a run is under way."""
        check_kinds(self.cfg)
        check_backends(self.cfg.get('visualizer'))
        check_hook_arguments(self)
        refuse_unread_rules(self.cfg.optim_wrapper)
        try_optimizers(self.optim_wrapper, self.cfg.optim_wrapper)
        try_schedules(self.param_schedulers, self.cfg.get('param_scheduler'))

    def _building(self, key: str) -> Any:
        return building(key, self.cfg.get(key))

    # What mmengine's constructor and `train` call again when it is done.

    def setup_env(self, env_cfg: dict) -> None:
        if not self._prepared:
            super().setup_env(env_cfg)

    def set_randomness(self, *args: Any, **kwargs: Any) -> None:
        if not self._prepared:
            super().set_randomness(*args, **kwargs)

    def build_visualizer(self, visualizer: Any = None) -> Any:
        return self.visualizer if self._prepared else super().build_visualizer(visualizer)

    def build_model(self, model: Any) -> nn.Module:
        return super().build_model(model) if self.given_model is None else self.given_model

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        if not isinstance(self, Runner):
            return super().build_logger(*args, **kwargs)
        return self.log.write_to(osp.join(self._log_dir, f'{self.timestamp}.log'))

    def build_message_hub(self, message_hub: dict | None = None) -> MessageHub:
        return self.message_hub if self._prepared else super().build_message_hub(message_hub)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        return model if self._prepared else super().wrap_model(model_wrapper_cfg, model)

    def register_hooks(self, default_hooks: Any = None, custom_hooks: Any = None) -> None:
        if self._prepared:
            self._hooks = self._ready_hooks
        else:
            super().register_hooks(default_hooks, custom_hooks)

    def scale_lr(self, optim_wrapper: Any, auto_scale_lr: dict | None = None) -> None:
        if not self._scaled:
            loader = self._train_dataloader
            batch = loader.batch_size if isinstance(loader, DataLoader) else loader['batch_size']
            super().scale_lr(optim_wrapper, _real_scaling(optim_wrapper, batch * self.world_size, auto_scale_lr))

    def _init_model_weights(self) -> None:
        if not self._initialized:
            super()._init_model_weights()

    def load_or_resume(self) -> None:
        if not self._pixels_compared:  # the weights of the ViTs are initialised by now
            warn_of_loaded_pixels(self.model, self.cfg)
        self._pixels_compared = True
        super().load_or_resume()

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Load weights to start from; those of other code are converted, of which mmengine would load nothing."""
        content = None if self._resume else read_run_checkpoint(filename)
        model = bare_model(self.model)
        official = None
        if content and RECORDS not in content and not fits_by_name(model, content['state_dict']):
            official = official_weights(model, content['state_dict'], filename)
        if official is None:
            return super().load_checkpoint(filename, *args, **kwargs)
        content['state_dict'] = official.weights
        self.call_hook('after_load_checkpoint', checkpoint=content)
        load_state_dict(model, content['state_dict'], strict=False, logger=self.logger)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return content

    # What names the part that is built in messages.

    def build_train_loop(self, loop: Any) -> BaseLoop:
        self._part = 'train'
        return super().build_train_loop(loop)

    def build_val_loop(self, loop: Any) -> BaseLoop:
        self._part = 'val'
        return super().build_val_loop(loop)

    def build_test_loop(self, loop: Any) -> BaseLoop:
        self._part = 'test'
        return super().build_test_loop(loop)

    def build_dataloader(self, dataloader: Any, *args: Any, **kwargs: Any) -> DataLoader:
        given = self.given_datasets.get(self._part) if self._preparing else None
        if given is not None:
            return super().build_dataloader({**dataloader, 'dataset': given}, *args, **kwargs)
        with self._building_part('dataloader'):
            loader = super().build_dataloader(dataloader, *args, **kwargs)
            guard_images(loader.dataset, self.max_bad_images, training=self._part == 'train')
        return loader

    def build_evaluator(self, evaluator: Any) -> Any:
        with self._building_part('evaluator'):
            return super().build_evaluator(with_own_metrics(evaluator))

    @contextmanager
    def _building_part(self, name: str) -> Iterator[None]:
        if not self._preparing:
            yield
            return
        with self._building(f'{self._part}_{name}'):
            yield


@contextmanager
def hub_of_its_own(runner: Runner) -> Iterator[None]:
    """Models read and write mmengine's message hub; what is tried leaves none of it in that of the run."""
    name = f'{runner._name}_trial'
    hub = MessageHub.get_instance(name)
    try:
        for key, value in {
            'iter': 0,
            'epoch': 0,
            'max_iters': runner.max_iters,
            'max_epochs': runner.max_epochs,
            'dataset_meta': getattr(runner.train_loop.dataloader.dataset, 'metainfo', None),
        }.items():
            hub.update_info(key, value)
        yield
    finally:
        MessageHub._instance_dict.pop(name, None)


@contextmanager
def _instances_kept(described: Any) -> Iterator[None]:
    """Forget a visualizer when what follows it fails."""
    try:
        yield
    except BaseException:
        _forget_visualizer(described)
        raise


def _forget_visualizer(described: Any) -> None:
    """mmengine keeps visualizers by their names, and would draw for a second run into the folder of a first."""
    name = described.get('name') if isinstance(described, dict) else None
    for cls in (Visualizer, *_subclasses(Visualizer)):
        cls._instance_dict.pop(name, None)


def _subclasses(cls: type) -> Iterator[type]:
    for inner in cls.__subclasses__():
        yield inner
        yield from _subclasses(inner)


def _check_sharding(runner: Runner) -> None:
    """Refuse hooks that need whole weights in a process that has a part of them."""
    averaging = [type(hook).__name__ for hook in runner.hooks if isinstance(hook, EMAHook)]
    if averaging and isinstance(runner.model, FullyShardedModel):
        raise InputError(
            f'custom_hooks: {averaging[0]} averages whole weights, and FullyShardedModel has parts of them in each '
            'process: leave one of the two out.'
        )


def _check_clipping(optim_wrapper: Any) -> None:
    """Refuse arguments of the clipping of gradients that torch would refuse at the first step."""
    for wrapper in single_wrappers(optim_wrapper):
        given = getattr(wrapper, 'clip_grad_kwargs', None)
        if given and getattr(wrapper, 'clip_func', None):
            with building('optim_wrapper.clip_grad', given):
                wrapper.clip_func([torch.zeros(1, requires_grad=True)], **given)


def _real_scaling(optim_wrapper: Any, batch: int, auto_scale_lr: dict | None) -> dict | None:
    """Let `base_batch_size` be the number from which mmengine computes the factor that is meant.

    mmengine takes the images of one batch over it. A step of the optimizer has those of `accumulative_counts` batches,
    whose gradients are averaged; and by the rule 'sqrt' the rate goes with the square root of the ratio.

    Args:
        optim_wrapper: What was built.
        batch: Images of a batch, of all processes together.
        auto_scale_lr: The field of the config; 'rule' is 'linear', as mmengine has it, or 'sqrt'.
    """
    if not (auto_scale_lr or {}).get('enable'):
        return auto_scale_lr
    counts = getattr(optim_wrapper, '_accumulative_counts', 1)
    factor = rate_factor(auto_scale_lr, batch * counts)
    return auto_scale_lr if factor is None else {**auto_scale_lr, 'base_batch_size': batch / factor}
