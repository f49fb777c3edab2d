"""The image encoder of SAM 3 against that of `transformers`, in its layouts and in the official one."""

from __future__ import annotations

import pytest
import torch

from mmvitdense.checkpoints import detect, fit_to_vit, read_checkpoint
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw
from tests.fidelity.pretraining import rename

transformers = pytest.importorskip('transformers')
PATCH, WINDOW = 8, 4
# Rows and columns of patches: the grid of the positions, whole windows, padded windows, a wide image.
GRIDS = [(4, 4), (8, 8), (7, 7), (3, 9)]
GIVEN = {
    'num_heads': 2,
    'window_size': WINDOW,
    'global_blocks': (1,),
    'rope': {'kind': 'axial', 'pretrain_grid': WINDOW},
}


def build(grid):
    """transformers has one size of images to a model, as (width, height)."""
    config = transformers.Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=(grid[1] * PATCH, grid[0] * PATCH),
        pretrain_image_size=WINDOW * PATCH,
        patch_size=PATCH,
        window_size=WINDOW,
        global_attn_indexes=[1],
        layer_norm_eps=1e-5,
    )
    return redraw(transformers.Sam3ViTModel(config)).eval()


def angles(side, scale=1.0):
    """The buffer of the official code, columns before rows, complex."""
    index = scale * torch.arange(side).float()
    turn = index[:, None] * 1e4 ** -(torch.arange(4) / 4)
    columns, rows = turn.expand(side, -1, -1), turn[:, None].expand(-1, side, -1)
    both = torch.cat([columns, rows], dim=-1).flatten(0, 1)
    return torch.polar(torch.ones_like(both), both)


def official(weights, side, with_angles):
    """The names of facebookresearch/sam3, beside those of other parts."""
    rules = (
        (r'^embeddings\.patch_embeddings\.projection\.', 'patch_embed.proj.'),
        (r'^embeddings\.position_embeddings$', 'pos_embed'),
        (r'^layer_norm\.', 'ln_pre.'),
        (r'^layers\.', 'blocks.'),
        (r'\.layer_norm([12])\.', r'.norm\1.'),
        (r'\.attention\.o_proj\.', '.attn.proj.'),
    )
    found = rename(weights, *rules)
    for name in [name for name in found if '.attention.q_proj.' in name]:
        parts = [found.pop(name.replace('q_proj', f'{part}_proj')) for part in 'qkv']
        found[name.replace('attention.q_proj', 'attn.qkv')] = torch.cat(parts)
    found['pos_embed'] = torch.cat([torch.randn(1, 1, 32), found['pos_embed']], dim=1)
    if with_angles:
        sizes = {0: (WINDOW, 1.0), 1: (side, WINDOW / side), 2: (WINDOW, 1.0)}
        found.update({f'blocks.{i}.attn.freqs_cis': angles(*size) for i, size in sizes.items()})
    found = {f'detector.backbone.vision_backbone.trunk.{name}': x for name, x in found.items()}
    return {**found, 'detector.backbone.vision_backbone.convs.0.conv_1x1.weight': torch.zeros(2)}


def load(weights, name, **given):
    form = detect(weights)
    assert (form.name, form.families(weights)) == (name, ('sam3',))
    model = PlainViT(**describe(form, weights, given).options).eval()
    kept, report = fit_to_vit(form.converted(weights, 2), model)
    assert not report.missing + report.left_over + report.resized
    model.load_state_dict(kept)
    return model


def assert_same(model, oracle, grid):
    image = torch.randn(2, 3, grid[0] * PATCH, grid[1] * PATCH)
    with torch.no_grad():
        expected = oracle(image).last_hidden_state
        got = model(image)[0].flatten(2).transpose(1, 2)
    assert_within(got, expected, OUTPUTS, 'patches')


@pytest.mark.parametrize('grid', GRIDS, ids=str)
@pytest.mark.parametrize('layout', ['memory', 'file', 'official', 'official without angles'])
def test_features(tmp_path, layout, grid):
    """Positions repeat; windows count their own patches, the map is as long as a window. Longer sides count."""
    oracle = build(grid)
    if layout == 'memory':
        weights, name = oracle.state_dict(), 'transformers SAM 3'
    elif layout == 'file':
        oracle.save_pretrained(tmp_path)
        weights, name = read_checkpoint(tmp_path / 'model.safetensors'), 'transformers SAM 3'
    else:
        saved = official(oracle.state_dict(), max(grid), layout == 'official')
        torch.save({'model': saved}, tmp_path / 'sam3.pt')
        weights, name = read_checkpoint(tmp_path / 'sam3.pt'), 'SAM 3'
    # At the size of the positions the angles of all blocks are alike, and do not show windows.
    given = {'num_heads': 2} if layout == 'official' and grid[0] == grid[1] != WINDOW else GIVEN
    model = load(weights, name, **given)
    assert (model.window_sizes, model.global_blocks) == ((WINDOW,), (1,))
    assert_same(model, oracle, grid)


@pytest.mark.parametrize(
    'change',
    [
        lambda model: model.pos_resize.update(by='size'),
        lambda model: setattr(model.rope, 'pretrain_grid', None),
        lambda model: setattr(model, 'rope', None),
    ],
    ids=['resized positions', 'indices as they are', 'no rotation'],
)
def test_what_would_not_be_it(change):
    oracle = build((7, 7))
    model = load(oracle.state_dict(), 'transformers SAM 3', **GIVEN)
    change(model)
    with pytest.raises(AssertionError, match='patches: off by'):
        assert_same(model, oracle, (7, 7))
