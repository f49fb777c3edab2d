"""What every test gets: the same random numbers each time, and a skip where no GPU is."""

import copy
import functools
import gc
import random
import signal
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
def pytest_collection():
    """Imports leave next to no garbage, and looking for it takes a seventh of their time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


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


def pytest_runtest_setup(item):
    if item.get_closest_marker('cuda') and not torch.cuda.is_available():
        pytest.skip('needs an NVIDIA GPU')


@pytest.fixture(autouse=True)
def _seed():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope='session', autouse=True)
def _missing_devices_are_not_seeded():
    """With each seed, torch formats the stack for each kind of device that may be initialised later."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (torch.cuda, torch.xpu, torch.mtia):
            if not kind.is_available():
                patch.setattr(kind, 'manual_seed_all', lambda seed: None)
        yield


@pytest.fixture(scope='session', autouse=True)
def _metafiles_are_read_once():
    """For each base that a config has of mmdet, mmengine reads the 100 metafiles of mmdet anew."""
    from mmengine.config import utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, 'load', functools.cache(utils.load))
        yield


@pytest.fixture(scope='session', autouse=True)
def _bases_of_configs_are_read_once():
    """Three hundred configs have two thousand bases, most of them the same."""
    from mmengine.config import Config

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, '_file2dict', staticmethod(reading_bases_once(Config._file2dict)))
        yield


@pytest.fixture(scope='session', autouse=True)
def _configs_are_formatted_once():
    from yapf.yapflib import yapf_api

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yapf_api, 'FormatCode', formatting_once(yapf_api.FormatCode))
        yield


@pytest.fixture(scope='session', autouse=True)
def _garbage_is_collected_as_usual():
    """mmengine asks for a collection of all with each data set, a quarter of the time of the configs' tests."""
    from mmengine.dataset import base_dataset

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_dataset, 'gc', SimpleNamespace(collect=lambda: 0))
        yield


@pytest.fixture(scope='session', autouse=True)
def _initial_values_are_not_logged():
    """mmengine formats a line for each parameter of a model that it initialises."""
    from mmengine.model import BaseModule

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseModule, '_dump_init_info', lambda module: None)
        yield


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
