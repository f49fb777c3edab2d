"""MIMDet: numbers of the official code of both releases, through the converter."""

import pytest
import torch

from mmvitdense.checkpoints import convert, detect
from mmvitdense.checkpoints.formats.mimdet import FORMAT as MIMDET
from mmvitdense.models import MIMDet
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden

LEVELS = ('c2', 'c3', 'c4', 'c5')


@pytest.fixture(params=['v120_sr100', 'v120_sr050', 'v100_sr100', 'v100_sr050'])
def golden(request):
    """Two images of different size on one canvas, position tables at another grid than the canvas."""
    return {'name': request.param, **read_golden(f'mimdet_{request.param}')}


def build(golden, prefix=''):
    encoder, decoder = (golden['meta']['kwargs'][part] for part in ('encoder', 'decoder'))
    ratio = golden['meta']['kwargs']['sample_ratio']
    model = MIMDet(
        vit={
            'embed_dims': encoder['embed_dim'],
            'num_layers': encoder['depth'],
            'num_heads': encoder['num_heads'],
            'pretrain_img_size': encoder['img_size'],
            'drop_path_rate': encoder['dpr'],
            'norm_eps': encoder['norm_eps'],
        },
        decoder={
            'embed_dims': decoder['decoder_embed_dim'],
            'num_layers': decoder['depth'],
            'num_heads': decoder['num_heads'],
        },
        test_sample_ratio=ratio,
        fill='conv_feat' if 'v120' in golden['name'] else 'mask_token',
    )
    official = {f'{prefix}{name}': tensor for name, tensor in golden['sd'].items()}
    assert detect(official) is MIMDET
    backbone = 'backbone.' if prefix else ''
    model.load_state_dict({name.removeprefix(backbone): tensor for name, tensor in convert(official).items()})
    return model.eval()


@pytest.mark.parametrize('prefix', ['', 'backbone.bottom_up.'], ids=['backbone', 'detector'])
def test_outputs(golden, prefix):
    model = build(golden, prefix)
    given = golden['in']
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            outputs = model(given['image'], given['image_sizes'], given['noise'])
        for name, output in zip(LEVELS, outputs, strict=True):
            assert_within(output, golden['out'][name], OUTPUTS, name)


def test_gradients(golden):
    model = build(golden)
    given = golden['in']
    image = given['image'].clone().requires_grad_()
    outputs = model(image, given['image_sizes'], given['noise'])
    sum((output * golden['cot'][name]).sum() for name, output in zip(LEVELS, outputs, strict=True)).backward()
    wanted = golden['grad']
    assert_within(image.grad, wanted.pop('image'), GRADIENTS, 'image')
    # The file holds some of the gradients, but the format is told from the whole set of names.
    absent = torch.empty(0)
    renamed = convert({name: wanted.get(name, absent) for name in golden['sd']})
    compared = {name: grad for name, grad in renamed.items() if grad is not absent}
    assert len(compared) == len(golden['meta']['grads']) - 1
    parameters = dict(model.named_parameters())
    for name, grad in compared.items():
        if grad.any():
            assert_within(parameters[name].grad, grad, GRADIENTS, name)
        else:
            assert parameters[name].grad is not None, f'{name} has no gradient'
            assert not parameters[name].grad.any(), name


def test_inside(golden):
    """The stem, the tokens that were chosen, and what the encoder made of them."""
    model = build(golden)
    given = golden['in']
    features = model.stem(given['image'])[2]
    assert_within(features, golden['mid']['stem_f16'], OUTPUTS, 'stem')
    grid = tuple(features.shape[-2:])
    ratio = golden['meta']['kwargs']['sample_ratio']
    seen = model._choose(given['noise'], ratio, grid, given['image_sizes'])
    keep = given['ids_keep']
    if ratio < 1:
        assert torch.equal(seen, keep)
    tokens = features.flatten(2).transpose(1, 2) + model.vit.position_table(grid)
    tokens = tokens.gather(1, keep[..., None].expand(-1, -1, tokens.shape[2]))
    encoded = model.vit.norm(model.vit.run_blocks(tokens, (1, keep.shape[1])))
    assert_within(encoded, golden['mid']['encoder_tokens'], OUTPUTS, 'encoder')
