import os
from collections.abc import Iterator

import pytest
import torch
from cuda_on_cpu import library as emulation

from mmvitdense import ops
from mmvitdense.ops import backends, building

# The emulation with all types, where it is asked for: tests that compare bits of atomic sums fail on it.
EMULATED = ['all_types'] if os.environ.get('MMVITDENSE_EMULATE_CUDA') else []


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.cuda), *EMULATED])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == 'cuda' and not torch.cuda.is_available():
        pytest.skip('needs an NVIDIA GPU')
    if request.param in EMULATED:
        with emulation.used(emulation.load(request.param)):
            yield 'cpu'
    else:
        yield request.param


@pytest.fixture(autouse=True)
def _restore_backend() -> Iterator[None]:
    before = backends.chosen()
    yield
    ops.set_backend(before)


def _with_compiled_kernels(device: str) -> str:
    try:
        building.library(device)
    except building.UnavailableError as error:
        pytest.skip(f'no compiled kernels here: {error}')
    ops.set_backend('compiled')
    return device


@pytest.fixture
def compiled(device: str) -> str:
    """The device, with its compiled kernels chosen. The first test of a machine builds them, into the user's cache."""
    return _with_compiled_kernels(device)


@pytest.fixture
def compiled_for_cpu() -> str:
    return _with_compiled_kernels('cpu')


@pytest.fixture(params=['reference', 'compiled'])
def implementation(request: pytest.FixtureRequest, device: str) -> str:
    """The device, with the reference or the compiled kernels chosen."""
    if request.param == 'compiled':
        return request.getfixturevalue('compiled')
    ops.set_backend('reference')
    return device


@pytest.fixture(params=[pytest.param('cuda', marks=pytest.mark.cuda), *emulation.TESTED])
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """The device on which the CUDA kernels run: a GPU, or where there is none the CPU, on which they are emulated, as
    compiled for a type of GPU."""
    if request.param == 'cuda':
        yield request.getfixturevalue('gpu')
        return
    if torch.cuda.is_available():
        pytest.skip('a GPU runs the kernels')
    try:
        operators = emulation.load(request.param)
    except emulation.UnavailableError as error:
        pytest.skip(str(error))
    with emulation.used(operators):
        yield 'cpu'


@pytest.fixture
def gpu() -> str:
    if not torch.cuda.is_available():
        pytest.skip('needs an NVIDIA GPU')
    return _with_compiled_kernels('cuda')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the types for which an emulation has no kernels."""

    def wanted(item: pytest.Item) -> bool:
        of = getattr(getattr(item, 'callspec', None), 'params', {})
        types = emulation.TESTED.get(of.get('kernels') or of.get('device'), ())
        return not types or of.get('dtype', torch.float32) in types

    items[:] = filter(wanted, items)
