"""LiFT and the keys that it doubles against the released code; the loss of its training against torch's."""

import pytest
import torch
from torch import nn

from mmvitdense.models import LiFT, LiftedViT, LiFTPretraining, TimmViT
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within, redraw
from tests.fidelity.golden import read_golden


@pytest.fixture(scope='module')
def golden():
    return read_golden('lift')


def of(golden, part):
    return {name.removeprefix(f'{part}.'): x for name, x in golden['sd'].items() if name.startswith(f'{part}.')}


@pytest.mark.parametrize('patch', [8, 16])
def test_one_pass(golden, patch):
    lift = LiFT(golden['meta']['kwargs']['in_channels'], patch).eval()
    missing, unexpected = lift.load_state_dict(of(golden, 'lift'), strict=False)
    assert not unexpected
    assert all(name.endswith('num_batches_tracked') for name in missing)
    image = golden['in']['image'].clone().requires_grad_()
    maps = golden['in'][f'map{patch}'].clone().requires_grad_()
    found = lift(image, maps)
    assert_within(found, golden['out'][f'doubled{patch}'], OUTPUTS, 'doubled map')
    (found * golden['cot'][f'doubled{patch}']).sum().backward()
    grads = {'image': image.grad, 'map': maps.grad} | {f'lift.{n}': p.grad for n, p in lift.named_parameters()}
    expected = {n.removeprefix(f'{patch}.'): x for n, x in golden['grad'].items() if n.startswith(f'{patch}.')}
    assert {'image', 'map'} <= expected.keys()
    assert patch == 8 or expected.keys() == grads.keys()
    for name, wanted in expected.items():
        assert_within(grads[name], wanted, GRADIENTS, f'gradient of {name}')


@pytest.mark.parametrize(('channels', 'millions'), [(384, 1.19), (768, 4.42), (1024, 7.72)])
def test_totals(golden, channels, millions):
    with torch.device('meta'):
        total = sum(p.numel() for p in LiFT(channels, 16).parameters())
    assert total == golden['meta']['totals'][str(channels)]
    assert total / 1e6 == pytest.approx(millions, abs=0.005)


def test_keys_and_two_passes(golden):
    """The released extractor around a ViT of timm: the order of the channels of keys, and the image between passes."""
    sizes = {**golden['meta']['vit'], 'img_size': (32, 48), 'with_cls_token': True, 'final_norm': 'all'}
    model = LiftedViT(sizes, num_iters=2, facet='key', keep_maps=True).eval()
    weights = {f'vit.{n}': x for n, x in of(golden, 'vit').items()}
    missing, unexpected = model.load_state_dict(
        weights | {f'lift.{n}': x for n, x in of(golden, 'lift').items()}, strict=False
    )
    assert not unexpected
    assert all(name.endswith('num_batches_tracked') for name in missing)
    image = golden['in']['image']
    names = (('mid', 'key'), ('mid', 'lift_1'), ('out', 'lift_2'))
    for found, (kind, name) in zip(model(image), names, strict=True):
        assert_within(found, golden[kind][name], OUTPUTS, name)
    tokens = LiftedViT(model.vit, model.lift, layer=0)
    assert_within(tokens.features(image), golden['mid']['token'], OUTPUTS, 'output of a block')


def test_keys_of_a_vit_of_timm(golden):
    pytest.importorskip('timm')
    vit = TimmViT('vit_tiny_patch16_224', img_size=32, depth=2, embed_dim=12, num_heads=3)
    redraw(vit)
    plain = LiftedViT(
        {**golden['meta']['vit'], 'img_size': 32, 'feedforward_channels': 48, 'with_cls_token': True}, facet='key'
    )
    plain.vit.load_state_dict({n: x for n, x in vit.model.state_dict().items() if not n.startswith('norm.')})
    image = torch.randn(2, 3, 32, 32)
    assert_within(LiftedViT(vit, facet='key').features(image), plain.features(image), OUTPUTS, 'keys')


@pytest.mark.parametrize('kind', ['cosine', 'l1', 'l2'])
def test_loss_of_the_training(kind):
    """`train_lift.py`: every second and fourth pixel, each doubled map against that of the next larger image."""
    vit = {'embed_dims': 12, 'num_layers': 1, 'num_heads': 3, 'patch_size': 8, 'img_size': 64, 'frozen_stages': 'all'}
    model = redraw(LiFTPretraining(LiftedViT(vit, frozen_lift=False), loss=kind))
    image, images = torch.randn(2, 3, 64, 32), []
    for step in (1, 2, 4):
        images.append(image[:, :, ::step, ::step])
    losses = model.train()(image, mode='loss')
    assert list(losses) == ['loss_half', 'loss_quarter']
    backbone = model.backbone
    with torch.no_grad():
        maps = [backbone.vit(each)[0] for each in images]
    criterion = {'cosine': nn.CosineEmbeddingLoss(), 'l1': nn.L1Loss(), 'l2': nn.MSELoss()}[kind]
    for value, small, found, wanted in zip(losses.values(), images[1:], maps[1:], maps):
        rows = [x.permute(0, 2, 3, 1).flatten(0, 2) for x in (backbone.lift(small, found), wanted)]
        target = (torch.ones(len(rows[0])),) if kind == 'cosine' else ()
        torch.testing.assert_close(value, criterion(*rows, *target), rtol=1e-5, atol=1e-6)
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.any() for p in backbone.lift.parameters())
    assert all(p.grad is None for p in backbone.vit.parameters())
