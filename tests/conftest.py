"""What every test gets: the same random numbers each time, and a skip where no GPU is."""

import copy
import functools
import gc
import importlib.util
import logging
import random
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests import scheduling
from tests.warm_python import REPOSITORY, WarmPython, formatting_once


def pytest_configure():
    """A shell lets its jobs in the background ignore Ctrl-C, and all that they start: tests send it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart():
    """Convolutions on a GPU round to TF32 by torch's own choice; results are compared in float32."""
    torch.backends.cudnn.allow_tf32 = False


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Imports leave next to no garbage, and looking for it takes a seventh of their time."""
    gc.disable()
    try:
        _import_what_all_need(session.config)
        return (yield)
    finally:
        gc.enable()


def _import_what_all_need(config: pytest.Config) -> None:
    """Without transformers, a fifth of it: there for an optimizer and models of text that no test takes."""
    modules = ['mmvitdense', 'mmengine.optim']
    if [Path(name).name for name in config.args] == ['tests'] and importlib.util.find_spec('mmdet') is not None:
        modules += ['mmdet.models', 'mmdet.datasets']
    if 'transformers' not in sys.modules:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, 'transformers', None)
            for module in modules:
                importlib.import_module(module)


def pytest_collection_modifyitems(items):
    scheduling.order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return scheduling.scheduler(config, log) if config.getvalue('dist') == 'loadfile' else None


def pytest_collection_finish():
    """Leave what is imported out of later collections of garbage."""
    gc.collect()
    gc.freeze()


def reading_bases_once(file2dict):
    """Of what mmengine reads, files of this repository and of installed packages: tests change neither."""
    read = {}

    def read_once(filename, *args, **kwargs):
        path = Path(filename).resolve()
        if '_base_' not in path.parts or not ('.mim' in path.parts or path.is_relative_to(REPOSITORY / 'configs')):
            return file2dict(filename, *args, **kwargs)
        # The text of a config names its files as they were given.
        key = str(filename), args, tuple(kwargs.items())
        if key not in read:
            read[key] = file2dict(filename, *args, **kwargs)
            assert not read[key][2], f'{filename} depends on variables of the environment, which tests may set'
        return copy.deepcopy(read[key])

    return read_once


def once_for_each_text(look: Callable) -> Callable:
    """Of what the text of a file alone decides, which mmengine parses four times for each config."""
    found = {}

    def look_once(filename):
        try:
            key = Path(filename).suffix, Path(filename).read_bytes()
        except OSError:
            return look(filename)
        if key not in found:
            found[key] = look(filename)
        return copy.copy(found[key])

    return look_once


def pytest_runtest_setup(item):
    if item.get_closest_marker('cuda') and not torch.cuda.is_available():
        pytest.skip('needs an NVIDIA GPU')


def _start_same() -> None:
    """Whatever other tests have drawn and built: the scope of a config, which stays, decides what a name means."""
    from mmengine.registry import DefaultScope

    DefaultScope._instance_dict.clear()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope='module', autouse=True)
def _modules_start_same():
    _start_same()


@pytest.fixture(scope='class', autouse=True)
def _classes_start_same():
    _start_same()


@pytest.fixture(autouse=True)
def _tests_start_same():
    _start_same()


@pytest.fixture(scope='session', autouse=True)
def _what_repeats_is_done_once():
    """One fixture, as each costs every test time."""
    with pytest.MonkeyPatch.context() as patch:
        _seed_no_missing_devices(patch)
        _read_configs_once(patch)
        _spare_mmengine_work(patch)
        yield


def _seed_no_missing_devices(patch: pytest.MonkeyPatch) -> None:
    """With each seed, torch formats the stack for each kind of device that may be initialised later."""
    for kind in (torch.cuda, torch.xpu, torch.mtia):
        if not kind.is_available():
            patch.setattr(kind, 'manual_seed_all', lambda seed: None)


def _read_configs_once(patch: pytest.MonkeyPatch) -> None:
    """Three hundred configs have two thousand bases, most of them the same, and a run formats its config three times.

    For each base that a config has of mmdet, mmengine reads the 100 metafiles of mmdet anew.
    """
    from mmengine.config import Config, utils
    from yapf.yapflib import yapf_api

    patch.setattr(utils, 'load', functools.cache(utils.load))
    patch.setattr(Config, '_file2dict', staticmethod(reading_bases_once(Config._file2dict)))
    for name in ('_is_lazy_import', '_validate_py_syntax', '_get_base_files'):
        patch.setattr(Config, name, staticmethod(once_for_each_text(getattr(Config, name))))
    patch.setattr(yapf_api, 'FormatCode', formatting_once(yapf_api.FormatCode))


def _spare_mmengine_work(patch: pytest.MonkeyPatch) -> None:
    """It asks for a collection of all garbage with each data set, a quarter of the time of the configs' tests; and it
    formats a line for each parameter that it initialises or optimises."""
    from mmengine.dataset import base_dataset
    from mmengine.model import BaseModule
    from mmengine.optim.optimizer import default_constructor

    print_log = default_constructor.print_log

    def print_warnings(message, logger=None, level=logging.INFO):
        if level >= logging.WARNING:
            print_log(message, logger, level)

    patch.setattr(default_constructor, 'print_log', print_warnings)
    patch.setattr(base_dataset, 'gc', SimpleNamespace(collect=lambda: 0))
    patch.setattr(BaseModule, '_dump_init_info', lambda module: None)


@pytest.fixture(scope='session')
def onnx_operators():
    """For each export, torch parses the source of its 700 operators in ONNX anew."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, 'from_torchlib', staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture(scope='session')
def shapes_root(tmp_path_factory):
    """A small copy of the built-in data set: 6 training and 3 validation images of 96 x 128 pixels."""
    from mmvitdense.datasets.shapes import write_shapes

    return write_shapes(tmp_path_factory.mktemp('data') / 'shapes', 6, 3, image_size=(96, 128), seed=1)


@pytest.fixture(scope='session')
def bare_python():
    """A Python that has torch and mmengine, and neither this package nor mmcv, mmdet and mmseg."""
    parts = ('config', 'dataset', 'model', 'optim')
    with closing(WarmPython('torch', 'torchvision', *(f'mmengine.{part}' for part in parts))) as python:
        yield python


@pytest.fixture(scope='session')
def tools_python():
    """A Python that has imported what the tools import; for files of the first unit of `scheduling.TOGETHER`."""
    from tests.integration.workshop import IMPORTED_BY_TOOLS

    with closing(WarmPython(*IMPORTED_BY_TOOLS)) as python:
        yield python
