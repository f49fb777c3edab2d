"""EoMT: images of any size, masks of queries, ViTs of any kind, what it refuses."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.layers import QueryMasking
from mmvitdense.models import EoMT, PlainViT, TimmViT
from tests.fidelity.agreement import assert_within, redraw

SIZES = {'embed_dims': 32, 'num_layers': 4, 'num_heads': 2, 'feedforward_channels': 48, 'img_size': 64, 'patch_size': 8}
TOKENS = {'with_cls_token': True, 'num_registers': 2, 'pos_embed_cls_slot': False}
VITS = {
    'absolute': {**SIZES, **TOKENS},
    'rotary': {**SIZES, **TOKENS, 'pos_embed': None, 'rope': {'kind': 'dinov3', 'rescale': 2.0}},
    'biases': {**SIZES, 'with_cls_token': True, 'pos_embed': None, 'rel_pos': 'bias_shared'},
    'decomposed': {**SIZES, 'rel_pos': 'decomposed'},
    'windows first': {**SIZES, 'window_size': 4, 'global_blocks': (2, 3)},
}


def build(kind='absolute', **options):
    options = {'num_classes': 5, 'num_queries': 7, 'num_query_blocks': 2, **options}
    return redraw(EoMT(VITS[kind] if isinstance(kind, str) else kind, **options))


@pytest.mark.parametrize('size', [(64, 64), (40, 96), (37, 61), (8, 5)])
@pytest.mark.parametrize('kind', VITS)
def test_images_of_any_size(kind, size):
    model, image = build(kind), torch.randn(2, 3, *size)
    grid = tuple(-(-side // 8) for side in size)
    for training in (True, False):
        out = model.train(training)(image)
        count = 3 if training else 1
        assert [tuple(x.shape) for x in out.classes] == [(2, 7, 6)] * count
        assert [tuple(x.shape) for x in out.masks] == [(2, 7, 2 * grid[0], 2 * grid[1])] * count
        assert (out.image_size, out.covered) == (size, (8 * grid[0], 8 * grid[1]))
        assert out.pixel_masks().shape == (2, 7, *size)
        assert all(value.isfinite().all() for value in (*out.classes, *out.masks))


@pytest.mark.parametrize('kind', VITS)
def test_gradients_reach_everything(kind):
    model = build(kind).train()
    out = model(torch.randn(2, 3, 64, 64))
    sum(value.square().sum() for value in (*out.classes, *out.masks)).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters() if p.requires_grad)


def test_masks_are_stretched_over_whole_patches():
    """An image that ends within a patch has the masks of the padded image, cut."""
    model = build().eval()
    image = torch.randn(1, 3, 37, 61)
    padded = model(F.pad(image, (0, 3, 0, 3)))
    alone = model(image)
    assert torch.equal(alone.pixel_masks(), padded.pixel_masks()[..., :37, :61])


class TestMasks:
    def test_none_in_force_is_none(self):
        model, image = build(), torch.randn(2, 3, 64, 64)
        expected = model.eval()(image)
        model.train().masking.set_probabilities([0.0, 0.0])
        assert_within(model(image).masks[-1], expected.masks[-1], 1e-5, 'masks')
        without = build(masked_attention=False).train()(image)
        assert len(without.masks) == 1
        assert torch.equal(without.masks[-1], expected.masks[-1])

    def test_they_change_the_predictions_of_later_blocks(self):
        model, image = build(), torch.randn(2, 3, 64, 64)
        masked = model.train()(image)
        model.masking.set_probabilities([0.0, 0.0])
        opened = model(image)
        assert torch.equal(masked.masks[0], opened.masks[0])
        assert not torch.allclose(masked.masks[1], opened.masks[1], atol=1e-3)

    def test_rows(self):
        masking = QueryMasking(2)
        logits = torch.tensor([[[[1.0, -1.0], [-1.0, 1.0]], [[-1.0, -1.0], [-1.0, -1.0]]]])
        rows = masking(0, logits, (2, 2), 1).rows
        # Two queries, a class token, four patches.
        assert rows[0, 0].tolist() == [[True] * 3 + [True, False, False, True], [True] * 3 + [False] * 4]
        finer = F.interpolate(logits, scale_factor=4, mode='nearest')
        assert torch.equal(masking(1, finer, (2, 2), 1).rows, rows)
        masking.set_probabilities([0.0, 1.0])
        assert masking(0, logits, (2, 2), 1).rows.all()
        assert torch.equal(masking(1, logits, (2, 2), 1).rows, rows)

    def test_probability(self):
        masking = QueryMasking(1)
        masking.set_probabilities([0.25])
        opened = masking(0, -torch.ones(40, 100, 2, 2), (2, 2), 1).rows[:, 0, :, -4:].float()
        assert set(opened.mean(-1).unique().tolist()) == {0.0, 1.0}, 'a query is opened as a whole'
        assert opened.mean().item() == pytest.approx(0.75, abs=0.03)

    def test_other_number_of_probabilities(self):
        with pytest.raises(ValueError, match='3 probabilities of masks are given for 2 blocks'):
            QueryMasking(2).set_probabilities([1.0, 1.0, 1.0])

    def test_windows_take_no_queries(self):
        """Nor without masks, where they would stay as they are without a word."""
        model = build({**SIZES, 'window_size': 4, 'global_blocks': (3,)})
        for training in (True, False):
            with pytest.raises(ValueError, match='7 tokens such as queries precede .* name such'):
                model.train(training)(torch.randn(1, 3, 64, 64))


def test_random_angles_are_drawn_once():
    """Blocks before and after the queries come see the same positions."""
    model, image = build('rotary').train(), torch.randn(2, 3, 64, 64)
    seen = []
    model.vit.rope.register_forward_hook(lambda module, inputs, output: seen.append(output))
    torch.manual_seed(3)
    first = model(image).masks[0]
    assert len(seen) == 1
    torch.manual_seed(3)
    tokens, grid = model.vit.embed(image)
    tokens = model.vit.run_blocks(tokens, grid, 0, 2)
    assert_within(first, model.head(model.vit.norm(model.head.with_queries(tokens)), grid)[1], 1e-6, 'masks')


def test_a_vit_of_timm():
    timm = pytest.importorskip('timm')
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=64,
        patch_size=8,
        embed_dim=32,
        depth=4,
        num_heads=2,
        mlp_ratio=1.5,
        reg_tokens=2,
        no_embed_class=True,
        num_classes=0,
        dynamic_img_size=True,
    )
    held, plain = build(TimmViT(vit)), build({**VITS['absolute'], 'pos_resize': {'antialias': True}})
    names = {
        name: name.replace('vit.model.', 'vit.').replace('reg_token', 'register_tokens') for name in held.state_dict()
    }
    plain.load_state_dict({names[name]: value for name, value in held.state_dict().items()})
    image = torch.randn(2, 3, 48, 64)
    for training in (True, False):
        got, expected = held.train(training)(image), plain.train(training)(image)
        assert_within(got.masks[-1], expected.masks[-1], 1e-4, 'masks')
        assert_within(got.classes[-1], expected.classes[-1], 1e-4, 'classes')


def test_scale_blocks():
    """Strides of the masks: 4 pixels, 7 for patches of 14."""
    for patch_size, stride in ((8, 4), (14, 7), (16, 4), (32, 4)):
        vit = {**SIZES, 'patch_size': patch_size, 'img_size': 2 * patch_size}
        assert EoMT(vit, 2, 3, 1).eval()(torch.zeros(1, 3, 2 * patch_size, patch_size)).masks[0].shape[-1] == (
            patch_size // stride
        )


def test_depths():
    model = build()
    depths = {name: model.get_layer_depth(f'backbone.{name}', 'backbone.') for name, _ in model.named_parameters()}
    assert depths['vit.pos_embed'] == (0, 6)
    assert depths['vit.blocks.3.mlp.fc1.weight'] == (4, 6)
    assert {depths[name] for name in depths if not name.startswith('vit.')} == {(5, 6)}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_query_blocks': 5}, 'num_query_blocks must be 1 to 4, the blocks of the ViT, got 5'),
        ({'num_query_blocks': 2.0}, 'num_query_blocks must be a whole number of at least 1, got 2.0'),
        ({'num_classes': 0}, 'num_classes must be a whole number of at least 1, got 0'),
        ({'num_queries': 0}, 'num_queries must be a whole number of at least 1, got 0'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_a_vit_without_final_norm():
    with pytest.raises(ValueError, match="no final norm: give it final_norm='all'"):
        EoMT(PlainViT(**SIZES), 5)
    assert isinstance(EoMT(SIZES, 5).vit.norm, torch.nn.LayerNorm)


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_start(device):
    """Queries are drawn, masks are all in force, on the meta device after the weights are drawn too."""
    with torch.device(device):
        model = EoMT(SIZES, 5, 7, 2)
    if device == 'meta':
        model.to_empty(device='cpu')
    model.init_weights()
    assert model.masking.attn_mask_probs.tolist() == [1.0, 1.0]
    assert model.head.query_embed.weight.std().item() == pytest.approx(1.0, abs=0.2)
    assert model.head.upscale[0].norm.weight.eq(1).all()
