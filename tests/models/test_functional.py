"""The functional transforms of torch go through our own backward passes of linear layers and attention."""

import torch
from torch.func import functional_call, grad

from mmvitdense.models import PlainViT
from tests.fidelity.agreement import assert_within, redraw

VIT = {'embed_dims': 256, 'num_layers': 4, 'num_heads': 4, 'img_size': 64, 'window_size': 3, 'rel_pos': 'decomposed'}


def test_gradients_of_parameters():
    """At a width at which linear layers may run on another library than torch's own."""
    model = redraw(PlainViT(**VIT, global_blocks=(1,)), std=0.05).eval()
    image = torch.randn(1, 3, 64, 256)

    def loss(parameters):
        return sum(level.square().mean() for level in functional_call(model, parameters, (image,)))

    parameters = dict(model.named_parameters())
    functional = grad(loss)({name: p.detach() for name, p in parameters.items()})
    loss(parameters).backward()
    for name, parameter in parameters.items():
        assert_within(functional[name], parameter.grad, 1e-4, name)
