"""One config of each family on fake CUDA tensors: what a GPU would be given and asked, where there is none.

Forward alone: autograd asks the driver for a stream. The backward pass runs on the meta device, in tests/models.
"""

import inspect

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.configs.shrink import shrink
from tests.configs.test_configs import LEAVES, build_initialised, load
from tests.models.suite import Crossings

FIRST_OF_FAMILY = {name.partition('/')[0]: name for name in reversed(LEAVES)}


class Whole(nn.Module):
    """Backbone and neck, and the head of a segmentor that takes maps alone: others read sizes or choose boxes."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        head = getattr(model, 'decode_head', None)
        takes_maps = head is not None and len(inspect.signature(head.forward).parameters) == 1
        self.function = model._forward if takes_maps else getattr(model, 'extract_feat', None) or model.backbone

    def forward(self, images: torch.Tensor) -> object:
        return self.function(images)


def crossings_of(module: nn.Module, channels: int) -> list:
    """What enters or leaves a fake GPU in a forward, or in a second where the first may have kept what it made."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        tensors = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, device='cuda')
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]
        }
        images = torch.empty(2, channels, 96, 128, device='cuda')
        for _ in range(2):
            with Crossings() as crossings:
                torch.func.functional_call(module, tensors, images, strict=False)
            if not crossings.found:
                break
    return crossings.found


@pytest.mark.parametrize('family', FIRST_OF_FAMILY)
def test_no_copies_from_the_host(family, shapes_root):
    model = build_initialised(shrink(load(FIRST_OF_FAMILY[family]), shapes_root)).eval()
    channels = next(layer.in_channels for layer in model.backbone.modules() if isinstance(layer, nn.Conv2d))
    assert not crossings_of(Whole(model), channels)


def test_a_copy_is_found():
    class Copying(nn.Module):
        def forward(self, images):
            return images + torch.ones(128).to(images.device)

    assert crossings_of(Copying(), 3) == [('aten._to_copy.default', 'cpu', 'cuda')]
