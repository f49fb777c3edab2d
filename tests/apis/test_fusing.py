"""Models fused for inference: what is folded, what stays as it is, and what a fused model refuses."""

import copy
import pickle
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from mmcv.cnn import ConvModule
from torch import nn

from mmvitdense.apis import freed_memory
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.fusing import fuse_for_inference
from mmvitdense.layers import Attention
from mmvitdense.models import PlainViT
from mmvitdense.models.tuning.lora import add_lora
from mmvitdense.ops import PackedLinear, WinogradConv2d, can_pack, can_transform, has_map_attention
from mmvitdense.ops.packed_linear import ACTIVATIONS
from tests.fidelity.agreement import redraw

SMALL = {'embed_dims': 64, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 96, 'img_size': 64}
packs = pytest.mark.skipif(not can_pack(torch.float32), reason='this machine multiplies by no packed weights')


def _vit(**options):
    return redraw(PlainViT(**SMALL, **options)).eval()


def _same(fused, model, image, within=1e-5):
    with torch.no_grad():
        (got,), (wanted,) = fused(image), model(image)
    assert (got - wanted).norm() <= within * wanted.norm()


@pytest.fixture
def image():
    return torch.randn(2, 3, 64, 50)


@packs
def test_a_block_has_nothing_beside_its_products_and_norms(image, monkeypatch):
    model = _vit(layer_scale_init=0.1, qkv_bias='qv', window_size=3, global_blocks=[1], rel_pos='decomposed')
    before = copy.deepcopy(model.state_dict())
    fused = fuse_for_inference(model)
    kinds = {type(module) for block in fused.blocks for module in block.modules() if not list(module.children())}
    assert kinds - {type(fused.blocks[0].drop_path)} == {PackedLinear, nn.LayerNorm, nn.Identity}
    assert all(block.joined for block in fused.blocks)
    if has_map_attention(torch.float32):
        monkeypatch.setattr(Attention, '_attend', None)  # is not called
    with torch.no_grad():
        (got,) = fused(image)
    monkeypatch.undo()
    _same(lambda _: (got,), model, image)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_packed_layers_hide_nothing_that_is_not_finite(dtype):
    if not can_pack(dtype):
        pytest.skip(f'this machine multiplies by no packed weights in {dtype}')
    layer, activations = nn.Linear(64, 96).to(dtype), {'none': nn.Identity(), 'gelu': nn.GELU(), 'silu': nn.SiLU()}
    activations['gelu_tanh'] = nn.GELU('tanh')
    assert activations.keys() == ACTIVATIONS.keys()
    for (name, activation), number in product(activations.items(), (torch.nan, torch.inf, -torch.inf)):
        tokens = torch.randn(5, 64).to(dtype)
        tokens[2, 3] = number
        with torch.no_grad():
            got, wanted = PackedLinear(layer.weight, layer.bias, dtype, name)(tokens), activation(layer(tokens))
        assert torch.equal(got.isfinite(), wanted.isfinite()), (name, number)


@pytest.mark.skipif(not has_map_attention(torch.float32), reason='no kernel of attention here')
@pytest.mark.parametrize(
    ('options', 'kernel'),
    [
        ({'rel_pos': 'bias'}, True),
        ({'rel_pos': 'bias', 'window_size': 3, 'global_blocks': [1], 'pos_embed': None}, True),
        ({'rope': {'kind': 'eva02'}}, True),
        ({'rope': {'kind': 'eva02'}, 'window_size': 3, 'global_blocks': [1], 'qkv_bias': 'qv'}, True),
        ({'rope': {'kind': 'eva02'}, 'window_size': 3, 'global_blocks': [1], 'window_pad': 'qkv'}, True),
        # Rotated biases of keys fill the windows, which differ from place to place.
        ({'rope': {'kind': 'eva02'}, 'window_size': 3, 'global_blocks': [1]}, False),
    ],
)
def test_one_kernel_attends_with_biases_and_rotations(image, monkeypatch, options, kernel):
    model = _vit(**options)
    fused = fuse_for_inference(model)
    with torch.no_grad():
        (expected,) = model(image)
    if kernel:
        monkeypatch.setattr(Attention, '_attend', None)  # is not called
    _same(fused, lambda _: (expected,), image)


def test_hooks_lora_and_replaced_layers_count(image):
    model = _vit(act='quick_gelu')
    add_lora(model, rank=2, targets=('q', 'ffn'))
    redraw(model)
    seen = []
    model.blocks[0].attn.proj.register_forward_hook(lambda layer, inputs, output: seen.append(1) or 2 * output)
    model.blocks[1].mlp.act.register_forward_hook(lambda layer, inputs, output: seen.append(2))
    model.blocks[1].norm2.forward = lambda tokens: tokens.tanh()
    fused = fuse_for_inference(model)
    seen.clear()
    _same(fused, model, image)
    assert seen == [1, 2, 1, 2]
    # What is registered later sees what it would have seen.
    outputs = []
    for each in (fused, model):
        each.blocks[1].attn.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
    _same(fused, model, image)
    assert (outputs[0] - outputs[1]).norm() <= 1e-5 * outputs[1].norm()


def test_norms_of_convolutions_are_folded_where_the_convolution_is_not_shared():
    shared = nn.Conv2d(4, 4, 3)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 4, 2), nn.BatchNorm2d(4)),
        ConvModule(4, 4, 3, bias=True, norm_cfg={'type': 'BN'}),
        nn.Sequential(shared, nn.BatchNorm2d(4)),
        nn.Sequential(shared, nn.BatchNorm2d(4, track_running_stats=False)),
        nn.Sequential(nn.Conv2d(4, 128, 1), nn.Conv2d(128, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU()),
        ConvModule(128, 128, 3, padding=1, norm_cfg={'type': 'BN'}),
    )
    redraw(model).eval()
    fused = fuse_for_inference(model)
    left = [type(module) for module in fused.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) == 2
    wide = [module.relu for module in fused.modules() if isinstance(module, WinogradConv2d)]
    assert wide == ([True, False] if can_transform(nn.Conv2d(128, 128, 3)) else [])
    maps = torch.randn(2, 3, 32, 32)
    _same(lambda maps: (fused(maps),), lambda maps: (model(maps),), maps)


def test_wide_convolutions_of_a_model_in_bfloat16_compute_in_float32():
    model = redraw(nn.Sequential(nn.Conv2d(8, 512, 1), nn.Conv2d(512, 512, 3, padding=1), nn.ReLU())).eval()
    fused = fuse_for_inference(model, 'bfloat16')
    last = [WinogradConv2d, nn.Identity] if can_transform(nn.Conv2d(128, 128, 3)) else [nn.Conv2d, nn.ReLU]
    assert [type(layer) for layer in fused] == [nn.Conv2d, *last]
    for size in (21, 7):
        maps = torch.randn(1, 8, size, size)
        with torch.no_grad():
            got, wanted = fused(maps), model(maps)
        assert got.dtype == torch.bfloat16
        assert (got - wanted).norm() < 0.01 * wanted.norm()


@pytest.mark.skipif(not can_pack(torch.bfloat16), reason='this processor has no instructions for bfloat16')
def test_residuals_are_summed_in_float32_in_bfloat16(image):
    """Many layers add up no more rounding than autocast has, which sums in float32 too."""
    model = redraw(PlainViT(**{**SMALL, 'num_layers': 10}, layer_scale_init=0.1)).eval()
    with torch.no_grad():
        (expected,), (fused,) = model(image), fuse_for_inference(model, 'bfloat16')(image)
        with torch.autocast('cpu', torch.bfloat16):
            (autocast,) = model(image)
    assert (fused - expected).norm() < 1.15 * (autocast - expected).norm()


@packs
def test_what_a_fused_model_is_not_for(image):
    model = _vit()
    fused = fuse_for_inference(model)
    refused = {
        'no state dict': fused.state_dict,
        'cannot be loaded': lambda: fused.load_state_dict(model.state_dict()),
        'stays on the CPU in torch.float32': lambda: copy.deepcopy(fused).half(),
        'is moved to meta': lambda: copy.deepcopy(fused).to('meta'),
        'gradients are asked': lambda: fused(image.clone().requires_grad_()),
        'compiled nor exported': lambda: torch.export.export(fused, (image,)),
        'cannot be trained': lambda: fused.train()(image),
    }
    for words, call in refused.items():
        with pytest.raises(RuntimeError, match=words):
            call()
    fused.eval()
    with torch.autocast('cpu', torch.bfloat16):
        _same(fused, lambda image: (model.float()(image)[0],), image, 0.02)
    for other in (copy.deepcopy(fused), pickle.loads(pickle.dumps(fused)), fused.to('cpu').float()):
        _same(other, model, image)
    with pytest.raises(InputError, match="precision is 'float16'; expected 'float32' or 'bfloat16'"):
        fuse_for_inference(model, 'float16')
    with pytest.raises(InputError, match='on meta, expected the CPU'):
        fuse_for_inference(copy.deepcopy(model).to('meta'))


def test_without_packed_weights_the_numbers_are_the_same(image, monkeypatch):
    monkeypatch.setattr('mmvitdense.layers.fusing.can_pack', lambda dtype: False)
    monkeypatch.setattr('mmvitdense.layers.attention.has_map_attention', lambda dtype: False)
    model = _vit(layer_scale_init=0.1, act='quick_gelu', stem={'kind': 'conv'})
    fused = fuse_for_inference(model)
    assert not any(isinstance(module, PackedLinear) for module in fused.modules())
    _same(fused, model, image)
    _same(fuse_for_inference(model, 'bfloat16'), model, image, 0.02)


@pytest.mark.parametrize('most', [2**28, 2**25, 0])
def test_memory_is_kept_as_far_as_the_library_takes_it(monkeypatch, most):
    calls = []

    def mallopt(what, size):
        calls.append((what.value, size.value))
        return int(what.value != -3 or size.value <= most)

    for name in freed_memory._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(freed_memory.platform, 'libc_ver', lambda: ('glibc', '2.36'))
    monkeypatch.setattr(freed_memory.ctypes, 'CDLL', lambda _: SimpleNamespace(mallopt=mallopt))
    keeps = freed_memory.keep_freed_memory.__wrapped__
    assert keeps() == bool(most)
    assert (calls[-1] == (-1, 2**30)) == bool(most)
    calls.clear()
    monkeypatch.setenv('MALLOC_TRIM_THRESHOLD_', '1')
    assert not keeps()
    assert not calls


def test_boxes_and_maps_are_made_in_float32():
    pytest.importorskip('mmdet')
    pytest.importorskip('mmseg')
    from mmdet.models import RPNHead
    from mmseg.models import FCNHead

    rpn = RPNHead(
        in_channels=8,
        feat_channels=8,
        anchor_generator={'type': 'mmdet.AnchorGenerator', 'scales': [8], 'ratios': [1.0], 'strides': [4]},
        bbox_coder={'type': 'mmdet.DeltaXYWHBBoxCoder'},
        loss_cls={'type': 'mmdet.CrossEntropyLoss', 'use_sigmoid': True},
        loss_bbox={'type': 'mmdet.SmoothL1Loss'},
    )
    decode = FCNHead(in_channels=8, channels=8, num_classes=3, in_index=0, dropout_ratio=0)
    maps = [torch.randn(1, 8, 6, 6)]
    for head in (rpn, decode):
        redraw(head).eval()
        with torch.no_grad():
            got = torch.utils._pytree.tree_leaves(fuse_for_inference(head, 'bfloat16')(maps))
            wanted = torch.utils._pytree.tree_leaves(head(maps))
        for output, expected in zip(got, wanted):
            assert output.dtype == torch.float32
            assert 0 < (output - expected).norm() < 0.03 * expected.norm()
