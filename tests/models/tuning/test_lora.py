"""LoRA: the formula, what is trained, merging, and the files of peft."""

import copy
import json
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from mmvitdense.engine import LayerDecayOptimWrapperConstructor
from mmvitdense.frozen_weights import frozen_of_files
from mmvitdense.layers import LowRankLinear
from mmvitdense.models import (
    MIMDet,
    PlainViT,
    TimmViT,
    ViTAdapter,
    ViTCoMer,
    add_lora,
    load_peft,
    merge_lora,
    remove_lora,
    save_peft,
    unmerge_lora,
)
from mmvitdense.registry import MODELS
from tests.fidelity.agreement import assert_within, redraw

SIZES = {'embed_dims': 32, 'num_layers': 4, 'num_heads': 2, 'feedforward_channels': 64, 'img_size': 64}
KINDS = {
    'plain': {},
    'windows': {'window_size': 3, 'global_blocks': (1, 3), 'rel_pos': 'decomposed'},
    'no key bias': {'qkv_bias': 'qv', 'window_size': 3, 'global_blocks': (1, 3)},
    'gated': {'ffn': 'swiglu', 'qkv_bias': False, 'final_norm': 'last'},
}
TARGETS = {'q and v': ('q', 'v'), 'all': ('qkv', 'proj', 'ffn'), 'k, named': ('k', 'attn.proj')}
IMAGE = torch.randn(2, 3, 64, 80, generator=torch.Generator().manual_seed(0))


def lora(kind='plain', init_cfg=None, **options):
    vit = {**SIZES, **KINDS[kind], 'init_cfg': init_cfg}
    return MODELS.build({'type': 'mmvitdense.LoRA', 'vit': vit, 'rank': 3, 'alpha': 6.0, **options})


def trained(model):
    """With updates that are not zero any more."""
    redraw(nn.ModuleList(m.low_rank for m in model.modules() if isinstance(m, LowRankLinear)), std=0.2)
    return model.eval()


@pytest.mark.parametrize('targets', TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize('kind', KINDS)
def test_the_formula(kind, targets):
    """The ViT without LoRA whose weights are W + alpha / rank * B A, by torch alone; merging gives the same."""
    base = redraw(PlainViT(**{**SIZES, **KINDS[kind]})).eval()
    model = lora(kind, targets=targets)
    model.load_state_dict(base.state_dict(), strict=False)
    if kind == 'no key bias':  # added in another order
        assert_within(model.eval()(IMAGE)[0], base(IMAGE)[0], 1e-5, 'at the start')
    else:
        assert torch.equal(model.eval()(IMAGE)[0], base(IMAGE)[0])
    trained(model)
    weights = copy.deepcopy(base.state_dict())
    for name, layer in model.named_modules():
        for part, (start, stop) in getattr(layer, 'rows', {}).items():
            update = layer.low_rank[part]
            weights[f'{name}.weight'][start:stop] += 2.0 * update.up @ update.down
    wanted = functional_call(base, weights, (IMAGE,))[0]
    output = model(IMAGE)[0]
    assert_within(output, wanted, 1e-5, 'output')
    with pytest.raises(AssertionError):
        assert_within(output, base(IMAGE)[0], 1e-2, 'output')
    before = copy.deepcopy(model.state_dict())
    merge_lora(model)
    merge_lora(model)
    assert_within(model(IMAGE)[0], wanted, 1e-5, 'merged')
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0.0, atol=1e-6)
    with pytest.raises(RuntimeError, match=r'loaded into blocks\.0\.\S+ while its updates are merged'):
        model.load_state_dict(before)
    unmerge_lora(model)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0.0, atol=1e-6)
    remove_lora(model)
    assert model.state_dict().keys() == base.state_dict().keys()
    assert {type(m) for m in model.modules() if isinstance(m, nn.Linear)} == {nn.Linear}
    base.load_state_dict(model.state_dict())
    assert_within(base(IMAGE)[0], wanted, 1e-5, 'a plain ViT')


def test_what_learns():
    model = trained(lora(blocks=(1, -1), dropout=0.5, targets=('q', 'v', 'proj'))).train()
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    parts = ('qkv.low_rank.q', 'qkv.low_rank.v', 'proj.low_rank.all')
    assert learning == {f'blocks.{i}.attn.{part}.{kind}' for i in (1, 3) for part in parts for kind in ('down', 'up')}
    model(IMAGE)[0].square().sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()} == learning
    assert not torch.equal(model(IMAGE)[0], model(IMAGE)[0])
    model.eval()
    assert torch.equal(model(IMAGE)[0], model(IMAGE)[0])


def test_training_unmerges():
    model = trained(lora())
    merge_lora(model)
    model.train()(IMAGE)[0].square().sum().backward()
    assert all(p.grad.any() for p in model.parameters() if p.requires_grad)


SMALL = {'deform_num_heads': 2, 'conv_inplane': 4}
HOLDERS = {
    'adapter': (ViTAdapter, SMALL),
    'comer': (ViTCoMer, SMALL),
    'mimdet': (MIMDet, {'decoder': {'embed_dims': 24, 'num_layers': 1, 'num_heads': 2}}),
}


@pytest.mark.parametrize('holder', HOLDERS)
def test_in_a_holder(holder):
    holder, options = HOLDERS[holder]
    model = redraw(
        holder(
            vit={'type': 'mmvitdense.LoRA', 'vit': {**SIZES, 'out_indices': (0,)}, 'rank': 2}, in_channels=5, **options
        )
    )
    sum(level.square().sum() for level in model.train()(torch.randn(2, 5, 64, 64))).backward()
    learning = {name for name, p in model.vit.named_parameters() if p.requires_grad}
    assert learning == {name for name, _ in model.vit.named_parameters() if '.low_rank.' in name}
    assert all(p.grad is not None and p.grad.any() for p in model.vit.parameters() if p.requires_grad)
    layers = {'optimizer': {'type': 'SGD', 'lr': 1.0}}
    optimizer = LayerDecayOptimWrapperConstructor(layers, {'layer_decay_rate': 0.5})(model).optimizer
    rates = {id(p): group['lr'] for group in optimizer.param_groups for p in group['params']}
    assert len(rates) == sum(p.requires_grad for p in model.parameters())
    first, last = (model.vit.blocks[i].attn.qkv.low_rank['q'].up for i in (0, 3))
    assert (rates[id(first)], rates[id(last)]) == (2.0**-4, 2.0**-1)


def test_of_timm():
    timm = pytest.importorskip('timm')
    sizes = {'embed_dim': 32, 'depth': 4, 'num_heads': 2, 'img_size': 64, 'num_classes': 0, 'dynamic_img_size': True}
    base = redraw(TimmViT(timm.models.vision_transformer.VisionTransformer(**sizes))).eval()
    frozen = {name: p.requires_grad for name, p in base.named_parameters()}
    model = MODELS.build({'type': 'mmvitdense.LoRA', 'vit': base, 'targets': ('q', 'v', 'ffn'), 'blocks': (2,)}).eval()
    assert torch.equal(model(IMAGE)[0], base(IMAGE)[0])
    assert {name.split('.')[2] for name, p in model.named_parameters() if p.requires_grad} == {'2'}
    assert frozen == {name: p.requires_grad for name, p in base.named_parameters()}
    adapter = ViTAdapter({'type': 'mmvitdense.LoRA', 'vit': base}, **SMALL)
    assert adapter.vit.model.blocks[0].attn.qkv.low_rank['q'].down.any()


def test_its_weights_from_a_file(tmp_path):
    base = redraw(PlainViT(**SIZES)).eval()
    torch.save(base.state_dict(), tmp_path / 'base.pth')
    init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(tmp_path / 'base.pth')}
    model = lora(init_cfg=init_cfg).eval()
    model.init_weights()
    assert torch.equal(model(IMAGE)[0], base(IMAGE)[0])
    assert all(layer.low_rank['q'].down.any() for layer in model.modules() if isinstance(layer, LowRankLinear))
    assert frozen_of_files(model).keys() == base.state_dict().keys()
    remove_lora(model)
    assert {name for name in base.state_dict() if name not in frozen_of_files(model)} == {
        f'blocks.{i}.attn.qkv.weight' for i in range(4)
    }


def test_the_weights_of_one_seed_however_it_is_built():
    options = {'type': 'mmvitdense.LoRA', 'vit': SIZES}
    torch.manual_seed(3)
    usual = MODELS.build(options)
    with torch.device('meta'):
        model = MODELS.build(options)
    model.to_empty(device='cpu')
    for parameter in model.parameters():
        parameter.data.fill_(torch.nan)
    model.init_weights()
    assert all(p.isfinite().all() for p in model.parameters())
    for (name, p), other in zip(model.named_parameters(), usual.parameters()):
        assert p.requires_grad == other.requires_grad, name
        assert ('.up' in name) != bool(p.any()) or 'bias' in name or 'low_rank' not in name


def test_compiled_under_autocast_and_quantised():
    model = trained(lora(targets=('q', 'v', 'ffn'), vit={**SIZES, 'num_layers': 1}))
    wanted = model(IMAGE)[0]
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    assert_within(compiled(IMAGE)[0], wanted, 1e-5, 'compiled')
    with torch.autocast('cpu', torch.bfloat16):
        assert_within(model(IMAGE)[0].float(), wanted, 0.1, 'autocast')
    if torch.backends.quantized.engine == 'none':
        pytest.skip('this torch quantises nothing')
    # What is quantised are the layers of torch beside it, and all of them once it is merged.
    for change, count in ((lambda model: None, 1), (remove_lora, 4)):
        change(model)
        quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
        assert sum('quantized' in type(m).__module__ for m in quantised.modules() if hasattr(m, 'scale')) == count
        assert_within(quantised(IMAGE)[0], wanted, 0.2, 'quantised')


@pytest.mark.parametrize('targets', [('qkv', 'proj'), ('q', 'v', 'mlp.fc1')])
def test_files_of_peft(tmp_path, targets):
    """The layout by the documents of peft: names, and a scale of lora_alpha / r for each layer."""
    safetensors = pytest.importorskip('safetensors.torch')
    model = trained(lora(targets=targets, blocks=(1, 2)))
    save_peft(model, tmp_path)
    config = json.loads((tmp_path / 'adapter_config.json').read_text())
    weights = safetensors.load_file(tmp_path / 'adapter_model.safetensors')
    for name, layer in model.named_modules():
        if isinstance(layer, LowRankLinear):
            rank = config['rank_pattern'].get(name, config['r'])
            alpha = config['alpha_pattern'].get(name, config['lora_alpha'])
            down, up = (weights[f'base_model.model.{name}.lora_{kind}.weight'] for kind in 'AB')
            assert len(down) == rank
            torch.testing.assert_close(alpha / rank * up @ down, layer.delta())
            assert name in config['target_modules']
    if targets[0] != 'qkv':
        with pytest.raises(ValueError, match=r"has an update for each of \['q', 'v'\].* give targets=\('qkv'"):
            load_peft(model, tmp_path)
        return
    other = lora(targets=targets, blocks=(1, 2), alpha=1.0)
    other.load_state_dict({n: x for n, x in model.state_dict().items() if '.low_rank.' not in n}, strict=False)
    load_peft(other, tmp_path)
    assert_within(other.eval()(IMAGE)[0], model(IMAGE)[0], 1e-5, 'output')
    (tmp_path / 'adapter_config.json').write_text(json.dumps({**config, 'use_rslora': True}))
    load_peft(other, tmp_path)
    name, layer = next((n, m) for n, m in model.named_modules() if isinstance(m, LowRankLinear))
    torch.testing.assert_close(other.get_submodule(name).delta(), math.sqrt(3) * layer.delta())
    for changed, wrong, message in (
        ({'use_dora': True}, other, "of another kind than LoRA alone: .'use_dora'"),
        ({}, lora(targets=targets), 'LoRA on other layers, 8 names differ, first blocks.0.attn.proj'),
        ({}, lora(targets=targets, blocks=(1, 2), rank=4), 'give rank=3'),
    ):
        (tmp_path / 'adapter_config.json').write_text(json.dumps({**config, **changed}))
        with pytest.raises(ValueError, match=message):
            load_peft(wrong, tmp_path)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'rank': 0}, 'rank must be a whole number of at least 1, got 0'),
        ({'rank': True}, 'rank must be a whole number of at least 1, got True'),
        ({'alpha': -1.0}, 'alpha must be above 0'),
        ({'alpha': float('nan')}, 'alpha must be above 0'),
        ({'blocks': ()}, 'blocks names no block'),
        ({'dropout': 1.0}, 'dropout must be at least 0 and below 1'),
        ({'targets': ()}, 'targets must be some of'),
        ({'targets': ('qkv', 'v')}, 'targets must be some of'),
        (
            {'targets': ('query',)},
            r"is the target 'query': there are \['attn.proj', 'attn.qkv', 'mlp.fc1', 'mlp.fc2'\]",
        ),
        ({'blocks': (4,)}, 'blocks'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        lora(**options)


def test_blocks_that_never_run_and_lora_twice():
    model = MODELS.build({'type': 'mmvitdense.LoRA', 'vit': {**SIZES, 'out_indices': (0, 1)}})
    assert {name.split('.')[1] for name, p in model.named_parameters() if p.requires_grad} == {'0', '1'}
    with pytest.raises(ValueError, match='has LoRA already'):
        add_lora(model)
    with pytest.raises(ValueError, match=r'blocks names \[3\], which never run: the last output is that of block 1'):
        MODELS.build({'type': 'mmvitdense.LoRA', 'vit': {**SIZES, 'out_indices': (0, 1)}, 'blocks': (3,)})
    with pytest.raises(ValueError, match='PlainViT has no layer with LoRA'):
        merge_lora(PlainViT(**SIZES))
