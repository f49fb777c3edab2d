from collections.abc import Iterator

import pytest
import torch

from mmvitdense import ops
from mmvitdense.ops import backends, building


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == 'cuda' and not torch.cuda.is_available():
        pytest.skip('needs an NVIDIA GPU')
    return request.param


@pytest.fixture(autouse=True)
def _restore_backend() -> Iterator[None]:
    before = backends.chosen()
    yield
    ops.set_backend(before)


@pytest.fixture
def compiled(device: str) -> str:
    """The device, with its compiled kernels chosen. The first test of a machine builds them, into the user's cache."""
    try:
        building.library(device)
    except building.UnavailableError as error:
        pytest.skip(f'no compiled kernels here: {error}')
    ops.set_backend('compiled')
    return device


@pytest.fixture(params=['reference', 'compiled'])
def implementation(request: pytest.FixtureRequest, device: str) -> str:
    """The device, with the reference or the compiled kernels chosen."""
    if request.param == 'compiled':
        return request.getfixturevalue('compiled')
    ops.set_backend('reference')
    return device
