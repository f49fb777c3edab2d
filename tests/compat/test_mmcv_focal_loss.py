import pytest
import torch
from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss
from torch.autograd import gradcheck

TARGET = [0, 3, 1, 1, 2, 4]  # 4 is background, of classes 0..3


def sigmoid_definition(logits, target, gamma, alpha, weight):
    """-alpha_t (1 - p_t)^gamma log(p_t), equation 5 of Lin et al. 2017."""
    loss = torch.zeros_like(logits)
    for n, label in enumerate(target):
        for c in range(logits.size(1)):
            p = 1 / (1 + torch.exp(-logits[n, c]))
            p, a = (p, alpha) if label == c else (1 - p, 1 - alpha)
            w = 1 if weight is None or label >= logits.size(1) else weight[label]
            loss[n, c] = -w * a * (1 - p) ** gamma * torch.log(p)
    return loss


def softmax_definition(logits, target, gamma, alpha, weight):
    loss = torch.zeros_like(logits[:, 0])
    for n, label in enumerate(target):
        p = torch.exp(logits[n, label]) / torch.exp(logits[n]).sum()
        w = 1 if weight is None else weight[label]
        loss[n] = -w * alpha * (1 - p) ** gamma * torch.log(p)
    return loss


CASES = [(sigmoid_focal_loss, sigmoid_definition, TARGET), (softmax_focal_loss, softmax_definition, TARGET[:5])]


@pytest.mark.parametrize(('loss', 'definition', 'target'), CASES)
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (1.5, 0.6), (0.0, 0.5)])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_values_and_gradients(device, loss, definition, target, weighted, gamma, alpha, reduction):
    logits = (3 * torch.randn(len(target), 4, dtype=torch.float64, device=device)).requires_grad_()
    weight = torch.rand(4, dtype=torch.float64, device=device) + 0.5 if weighted else None
    labels = torch.tensor(target, device=device)

    result = loss(logits, labels, gamma, alpha, weight, reduction)
    expected = definition(logits, target, gamma, alpha, weight)
    if reduction != 'none':
        expected = expected.sum() / (len(target) if reduction == 'mean' else 1)
    torch.testing.assert_close(result, expected)

    if loss is softmax_focal_loss and reduction == 'none':
        return  # mmcv multiplies N x C derivatives by N incoming gradients, which fails with a compiled mmcv too
    (gradient,) = torch.autograd.grad(result.sum(), logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), logits)[0])
    if reduction == 'mean':
        assert gradcheck(lambda x: loss(x, labels, gamma, alpha, weight, reduction), logits)


def test_sigmoid_background_rows_are_negatives(device):
    logits = torch.randn(2, 3, device=device)
    loss = sigmoid_focal_loss(logits, torch.tensor([3, -1], device=device), 2.0, 0.25, None, 'none')
    p = logits.sigmoid()
    torch.testing.assert_close(loss, -0.75 * p**2 * torch.log(1 - p))


def test_softmax_ignores_negative_labels(device):
    logits = torch.randn(2, 3, device=device, requires_grad=True)
    loss = softmax_focal_loss(logits, torch.tensor([1, -1], device=device), 2.0, 0.25, torch.ones(3).to(device), 'sum')
    loss.backward()
    assert loss.item() > 0
    assert logits.grad[0].any()
    assert not logits.grad[1].any()


@pytest.mark.parametrize('loss', [sigmoid_focal_loss, softmax_focal_loss])
def test_extreme_logits_stay_finite(device, loss):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], device=device, requires_grad=True)
    result = loss(logits, torch.zeros(2, dtype=torch.int64, device=device), 2.0, 0.25, None, 'sum')
    result.backward()
    assert torch.isfinite(result)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_16_bit(device, dtype):
    logits = torch.randn(6, 4, device=device).to(dtype).requires_grad_()
    exact = logits.detach().float().requires_grad_()
    labels = torch.tensor(TARGET, device=device)
    loss = sigmoid_focal_loss(logits, labels, 2.0, 0.25, None, 'none')
    expected = sigmoid_focal_loss(exact, labels, 2.0, 0.25, None, 'none')
    loss.sum().backward()
    expected.sum().backward()
    assert torch.equal(loss, expected.to(dtype))
    assert torch.equal(logits.grad, exact.grad.to(dtype))


def test_no_rows(device):
    for loss in (sigmoid_focal_loss, softmax_focal_loss):
        logits = torch.zeros(0, 4, device=device, requires_grad=True)
        result = loss(logits, torch.zeros(0, dtype=torch.int64, device=device), 2.0, 0.25, None, 'sum')
        result.backward()
        assert result.item() == 0
        assert logits.grad.shape == (0, 4)
