"""Agreement of a model with an independent implementation of it: outputs, then the gradient of everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

OUTPUTS = 1e-4
GRADIENTS = 1e-3


def redraw(module: nn.Module, std: float = 0.2, seed: int = 0) -> nn.Module:
    """Draw every parameter anew, so that no zero or one of the initialisation hides a mistake.

    Gains of norms are drawn around one, which keeps attention far from uniform; all else around zero.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            centre = 1.0 if parameter.ndim == 1 and name.endswith('weight') else 0.0
            parameter.copy_(centre + std * torch.randn(parameter.shape, generator=generator))
    return module


def assert_within(actual: Tensor, expected: Tensor, fraction: float, what: str) -> None:
    """Fail unless no element is off by more than `fraction` of the standard deviation of `expected`."""
    assert actual.shape == expected.shape, f'{what}: {tuple(actual.shape)} instead of {tuple(expected.shape)}'
    std = expected.std()
    assert std > 0, f'{what}: the expected values are all the same, which compares nothing'
    error = ((actual - expected).abs().max() / std).item()
    assert error <= fraction, f'{what}: off by {error:.2g} of the standard deviation, allowed is {fraction:g}'


def assert_agreement(
    ours: nn.Module,
    oracle: nn.Module,
    image: Tensor,
    to_ours: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    run_oracle: Callable[[Tensor], Sequence[Tensor]],
) -> None:
    """Load the oracle's weights into our model; compare outputs and the gradients of image and parameters.

    Args:
        ours: Our model, image to a tuple of maps.
        oracle: The other model; its parameters are drawn anew.
        image: B x 3 x H x W.
        to_ours: From {name: tensor} of the oracle, weights or gradients, to the same for our model.
        run_oracle: From an image to the maps that `ours` should give.
    """
    redraw(oracle).eval()
    ours.eval().load_state_dict(to_ours(oracle.state_dict()))
    images = [image.clone().requires_grad_() for _ in range(2)]
    got, expected = ours(images[0]), run_oracle(images[1])
    assert len(got) == len(expected)
    for index, (actual, wanted) in enumerate(zip(got, expected)):
        assert_within(actual, wanted, OUTPUTS, f'output {index}')
    with torch.no_grad():
        for actual, wanted in zip(ours(image), expected):
            assert_within(actual, wanted, OUTPUTS, 'output without gradients')
    cotangents = [torch.randn_like(wanted) for wanted in expected]
    for outputs in (got, expected):
        sum((output * cotangent).sum() for output, cotangent in zip(outputs, cotangents)).backward()
    assert_within(images[0].grad, images[1].grad, GRADIENTS, 'gradient of the image')
    wanted_grads = to_ours({name: p.grad for name, p in oracle.named_parameters() if p.grad is not None})
    our_grads = {name: p.grad for name, p in ours.named_parameters()}
    assert wanted_grads.keys() == our_grads.keys()
    for name, wanted in wanted_grads.items():
        assert_within(our_grads[name], wanted, GRADIENTS, f'gradient of {name}')
