"""Frozen ViTs: in evaluation, without gradients, and with nothing kept for the backward pass."""

import pytest
import torch
from torch import nn

from mmvitdense.models import MIMDet, PlainViT, TimmViT, ViTAdapter, ViTCoMer
from tests.fidelity.agreement import redraw
from tests.models.suite import count_saved

SIZES = {'embed_dims': 32, 'num_layers': 4, 'num_heads': 2, 'feedforward_channels': 64, 'img_size': 64}
RANDOM = {**SIZES, 'drop_path_rate': 0.5, 'final_norm': 'all', 'num_registers': 2, 'with_cls_token': True}
SHARED = {'rel_pos': 'bias_shared', 'rel_pos_at': 'window', 'pos_embed': None, 'window_size': (2, 0, 2, 0)}
DINOV3 = {**RANDOM, 'pos_embed': None, 'rope': {'kind': 'dinov3', 'rescale': 2.0}}
KINDS = {'plain': RANDOM, 'shared tables': {**SIZES, **SHARED, 'drop_path_rate': 0.5}, 'rotary': DINOV3}
SMALL = {'deform_num_heads': 2, 'conv_inplane': 4}


def _timm(**options):
    timm = pytest.importorskip('timm')
    sizes = {'embed_dim': 32, 'depth': 4, 'num_heads': 2, 'img_size': 64, 'num_classes': 0, 'drop_path_rate': 0.5}
    return TimmViT(timm.models.vision_transformer.VisionTransformer(**sizes, dynamic_img_size=True), **options)


def _build(kind, **options):
    return redraw(_timm(**options) if kind == 'timm' else PlainViT(**KINDS[kind], **options))


@pytest.mark.parametrize('kind', [*KINDS, 'timm'])
def test_a_whole_vit(kind):
    model = _build(kind, frozen_stages='all').eval().train()
    image = torch.randn(2, 3, 64, 64)
    assert not any(p.requires_grad for p in model.parameters())
    outputs, kept = count_saved(model, (image,))
    assert kept == 0
    assert torch.equal(model(image)[0], outputs[0])
    image.requires_grad_()
    model(image)[0].sum().backward()
    assert image.grad.any()
    assert _build(kind).train()(image.detach())[0].requires_grad


@pytest.mark.parametrize('kind', ['plain', 'rotary', 'timm'])
def test_first_blocks_keep_nothing(kind):
    model = _build(kind, frozen_stages=2).train()
    tokens, grid = model.embed(torch.randn(2, 3, 64, 64))
    tokens, kept = count_saved(model.run_blocks, (tokens, grid, 0, 2))
    assert (kept, tokens.requires_grad) == (0, False)
    tokens, kept = count_saved(model.run_blocks, (tokens, grid, 2, 3))
    assert kept > 0


@pytest.mark.parametrize('kind', ['plain', 'timm'])
def test_tuned_blocks_alone_learn(kind):
    model = _build(kind, frozen_stages='all', tuned_blocks=(1, -1)).train()
    sum(level.square().sum() for level in model(torch.randn(2, 3, 64, 64))).backward()
    learning = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learning == {name for name, _ in model.named_parameters() if '.1.' in f'.{name}' or '.3.' in f'.{name}'}
    blocks = model.model.blocks if kind == 'timm' else model.blocks
    assert [block.training for block in blocks] == [False, True, False, True]


@pytest.mark.parametrize('inject', [False, True])
def test_in_an_adapter(inject):
    """Without injectors the whole trunk is out of the graph, with them its blocks from the first on are in it."""
    model = ViTAdapter({**RANDOM, 'frozen_stages': 'all'}, use_injector=inject, **SMALL)
    model = redraw(model).train()
    run, kept = model.vit.run_blocks, []

    def run_counted(*args):
        tokens, count = count_saved(run, args)
        kept.append(count)
        return tokens

    model.vit.run_blocks = run_counted
    sum(level.square().sum() for level in model(torch.randn(2, 3, 64, 64))).backward()
    assert all(kept) if inject else not any(kept)
    assert all((p.grad is None) == name.startswith('vit.') for name, p in model.named_parameters())


@pytest.mark.parametrize(
    ('holder', 'options'),
    [(ViTCoMer, {'vit': SIZES, **SMALL}), (MIMDet, {'vit': SIZES, 'decoder': {'embed_dims': 24, 'num_heads': 2}})],
)
def test_in_other_holders(holder, options):
    """The encoder is frozen, and what comes before it learns through it."""
    model = holder(**{**options, 'vit': {**options['vit'], 'frozen_stages': 'all'}})
    model = redraw(model).train()
    sum(level.square().sum() for level in model(torch.randn(2, 3, 64, 64))).backward()
    for name, p in model.named_parameters():
        assert (p.grad is None) == (name.startswith('vit.') or name == 'decoder.pos_embed'), name


def test_distributed_training_looks_for_no_unused_parameters():
    """Without that option a parameter that gets no gradient would stop the second step."""
    torch.distributed.init_process_group('gloo', store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = redraw(ViTAdapter({**RANDOM, 'frozen_stages': 'all'}, use_injector=False, **SMALL)).train()
        wrapped = nn.parallel.DistributedDataParallel(model)
        for _ in range(2):
            sum(level.sum() for level in wrapped(torch.randn(2, 3, 32, 32))).backward()
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'frozen_stages': 'every'}, "frozen_stages must be -1 to 4 .* or 'all', got 'every'"),
        ({'frozen_stages': 2.0}, 'got 2.0'),
        ({'tuned_blocks': (1,)}, r'names the blocks \[1\], which frozen_stages=-1 does not freeze'),
        ({'frozen_stages': 2, 'tuned_blocks': (1, 2)}, r'names the blocks \[2\]'),
        ({'frozen_stages': 'all', 'tuned_blocks': (4,)}, 'tuned_blocks'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        PlainViT(**SIZES, **options)
    with pytest.raises(ValueError, match=message):
        _timm(**options)
