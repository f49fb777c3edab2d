import pytest
import torch

import mmvitdense  # noqa: F401  (makes mmcv.ops importable)
from mmvitdense.compat import stand_in


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    if stand_in.compiled_extension() is not None:
        pytest.skip('a compiled mmcv serves mmcv.ops here')
    if request.param == 'cuda' and not torch.cuda.is_available():
        pytest.skip('needs an NVIDIA GPU')
    return request.param
