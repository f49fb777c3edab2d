"""The detection-transfer baseline: numbers of MIMDet's BenchmarkingViTDet itself."""

import pytest
import torch
from torch import nn

from mmvitdense.checkpoints import convert, detect
from mmvitdense.checkpoints.formats.benchmarking_vitdet import FORMAT as BENCHMARKING_VITDET
from mmvitdense.layers import window_merge
from mmvitdense.models import PlainViT, ViTFPN
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden


@pytest.fixture(params=['mimdet_benchmarking', 'mimdet_benchmarking_beit'])
def golden(request):
    return read_golden(request.param)


def build(golden, prefix=''):
    kwargs = golden['meta']['kwargs']
    depth, width = kwargs['depth'], kwargs['embed_dim']
    vit = PlainViT(
        embed_dims=width,
        num_layers=depth,
        num_heads=kwargs['num_heads'],
        feedforward_channels=int(width * kwargs['mlp_ratio']),
        img_size=kwargs['img_size'],
        patch_size=kwargs['patch_size'],
        drop_path_rate=kwargs['drop_path_rate'],
        out_indices=[depth // 4 * quarter - 1 for quarter in (1, 2, 3, 4)],
        window_size=kwargs['window_size'],
        rel_pos='bias_shared',
        rel_pos_at='window',
        qkv_bias='qv' if kwargs['beit_qkv_bias'] else True,
        layer_scale_init=kwargs['init_values'],
    )
    model = nn.ModuleDict({'backbone': vit, 'neck': nn.ModuleList([ViTFPN(width)])}).eval()
    model.load_state_dict(convert({f'{prefix}{name}': tensor for name, tensor in golden['sd'].items()}))
    return model


def run(model, image):
    return dict(zip(('s0', 's1', 's2', 's3'), model['neck'][0](model['backbone'](image))))


@pytest.mark.parametrize('prefix', ['', 'backbone.bottom_up.'], ids=['backbone', 'detector'])
def test_outputs(golden, prefix):
    model = build(golden, prefix)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            outputs = run(model, golden['in']['image'])
        assert outputs.keys() == golden['out'].keys()
        for name, wanted in golden['out'].items():
            assert_within(outputs[name], wanted, OUTPUTS, name)


def test_each_block(golden):
    vit = build(golden)['backbone']
    window = golden['meta']['kwargs']['window_size']
    tokens, grid = vit.embed(golden['in']['image'])
    for index in range(vit.num_layers):
        tokens = vit.run_blocks(tokens, grid, index, index + 1)
        wanted = golden['mid'][f'block{index}']
        if index not in vit.global_blocks:
            wanted = window_merge(wanted, window, grid).flatten(1, 2)
        assert_within(tokens, wanted, OUTPUTS, f'block {index}')


def test_gradients(golden):
    model = build(golden)
    image = golden['in']['image'].clone().requires_grad_()
    outputs = run(model, image)
    sum((outputs[name] * golden['cot'][name]).sum() for name in outputs).backward()
    wanted = golden['grad']
    assert_within(image.grad, wanted.pop('image'), GRADIENTS, 'image')
    # The file holds some of the gradients; the others are not numbers once they went through the converter.
    absent = {name: torch.full_like(tensor, torch.nan, dtype=torch.float32) for name, tensor in golden['sd'].items()}
    converted = convert({**absent, **wanted})
    parameters = dict(model.named_parameters())
    compared = 0
    for name, grad in converted.items():
        known = ~grad.isnan()
        if name.endswith('attn.qkv.bias') and 'blocks.0.attn.q_bias' in golden['sd']:
            query, key, value = known.chunk(3)
            known = torch.cat([query, torch.zeros_like(key), value])  # the keys have no bias
        if known.any():
            assert_within(parameters[name].grad[known], grad[known], GRADIENTS, name)
            compared += 1
    assert compared == len(wanted)


def test_options(golden):
    """Read off the weights: the grid too, which is no square, and of which the tables alone do not give the sides."""
    kwargs = golden['meta']['kwargs']
    assert detect(golden['sd']) is BENCHMARKING_VITDET
    for prefix in ('', 'backbone.bottom_up.'):
        options = BENCHMARKING_VITDET.options({f'{prefix}{name}': tensor for name, tensor in golden['sd'].items()})
        vit = PlainViT(**options)
        reference = build(golden)['backbone']
        assert vit.state_dict().keys() == reference.state_dict().keys()
        assert vit.pos_grid == tuple(side // kwargs['patch_size'] for side in kwargs['img_size'])
        assert (vit.out_indices, vit.global_blocks) == (reference.out_indices, reference.global_blocks)
        assert options.get('qkv_bias', True) == ('qv' if kwargs['beit_qkv_bias'] else True)
        vit.load_state_dict(reference.state_dict())
        image = golden['in']['image']
        for output, wanted in zip(vit.eval()(image), reference(image)):
            assert torch.equal(output, wanted)
