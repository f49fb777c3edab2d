"""Weights of every ViT of `transformers` give its features in `PlainViT`, through the converter and its options.

Each oracle is tiny with all parameters drawn anew. It is converted twice: from the names in memory (transformers 5) and
from the names in a file (`save_pretrained`). Images are oblong, so that a grid is never that of the table.
"""

from __future__ import annotations

import pytest
import torch

from mmvitdense.checkpoints import detect, fit_to_vit, read_checkpoint
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw

transformers = pytest.importorskip('transformers')

SIZES = {
    'hidden_size': 32,
    'num_hidden_layers': 3,
    'num_attention_heads': 4,
    'intermediate_size': 48,
    'image_size': 40,
    'patch_size': 8,
    'layer_norm_eps': 1e-6,
}
IMAGES = {'native': (40, 40), 'tall': (64, 48), 'wide': (24, 56)}


def build(kind, **options):
    """A model of `transformers` by the first part of the names of its classes."""
    options = {**SIZES, **options}
    config = getattr(transformers, f'{kind}Config')(**options)
    # Models without a pooler have no argument for it.
    pooler = {'add_pooling_layer': False} if kind in ('ViT', 'DeiT', 'Beit', 'Data2VecVision') else {}
    model = getattr(transformers, f'{kind}Model')(config, **pooler)
    return redraw(model).eval()


def load(model, tmp_path, source, format_name, **options):
    """`PlainViT` with the weights of a model of `transformers` and the options that they imply."""
    if source == 'memory':
        weights = model.state_dict()
    else:
        model.save_pretrained(tmp_path)
        weights = read_checkpoint(tmp_path / 'model.safetensors')
    form = detect(weights)
    name = form.name
    assert name == format_name
    ours = redraw(PlainViT(**form.options(weights, **options)), seed=1).eval()
    kept, report = fit_to_vit(form.convert(weights), ours)
    assert not report.missing
    assert not report.resized
    ours.load_state_dict(kept)
    return ours, report


def compare(ours, size, run):
    """Compare patches only: run returns tokens of which the last h*w are patches, or a map."""
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        (got,), wanted = ours(image), run(image)
    if wanted.ndim == 3:
        patches = got.shape[2] * got.shape[3]
        wanted = wanted[:, -patches:].transpose(1, 2).unflatten(2, got.shape[2:])
    assert_within(got, wanted, OUTPUTS, 'patches')


def resizing(model):
    return lambda image: model(image, interpolate_pos_encoding=True).last_hidden_state


both_sources = pytest.mark.parametrize('source', ['memory', 'file'])
each_image = pytest.mark.parametrize('size', list(IMAGES.values()), ids=list(IMAGES))


@both_sources
@each_image
class TestTransformers:
    @pytest.mark.parametrize('kind', ['ViT', 'DeiT'])
    def test_vit_and_deit(self, tmp_path, source, size, kind):
        """The distillation token of DeiT goes on as a register."""
        model = build(kind)
        ours, report = load(model, tmp_path, source, 'transformers ViT', num_heads=4)
        assert not report.left_over
        assert ours.num_prefix_tokens == {'ViT': 1, 'DeiT': 2}[kind]
        compare(ours, size, resizing(model))

    def test_mae(self, tmp_path, source, size):
        """The encoder without masking; the table of the oracle is fixed, and drawn anew like the others."""
        model = transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**SIZES, mask_ratio=0.0))
        redraw(model).eval()
        ours, _ = load(model, tmp_path, source, 'transformers ViT', num_heads=4)

        def run(image):
            patches = (size[0] // 8) * (size[1] // 8)
            order = torch.arange(patches).expand(len(image), -1).float()
            tokens = model.vit(image, noise=order, interpolate_pos_encoding=True).last_hidden_state
            assert tokens.shape[1] == patches + 1
            return tokens

        compare(ours, size, run)

    @pytest.mark.parametrize('gated', [False, True], ids=['mlp', 'swiglu'])
    def test_dinov2(self, tmp_path, source, size, gated):
        """transformers resizes the table by size and without smoothing, DINOv2 itself by scale."""
        model = build('Dinov2', mlp_ratio=2, use_swiglu_ffn=gated)
        ours, report = load(model, tmp_path, source, 'transformers DINOv2', num_heads=4, pos_resize=None)
        assert report.left_over == ['embeddings.mask_token']
        compare(ours, size, lambda image: model(image).last_hidden_state)

    def test_dinov2_with_registers(self, tmp_path, source, size):
        model = build('Dinov2WithRegisters', mlp_ratio=2, num_register_tokens=3)
        ours, _ = load(model, tmp_path, source, 'transformers DINOv2', num_heads=4)
        assert ours.num_prefix_tokens == 4
        compare(ours, size, lambda image: model(image).last_hidden_state)

    @pytest.mark.parametrize('gated', [False, True], ids=['mlp', 'swiglu'])
    def test_tips(self, tmp_path, source, size, gated):
        """The oracle resizes as google-deepmind/tips; its files have the names of TIPS."""
        model = build('Tipsv2Vision', mlp_ratio=2, use_swiglu_ffn=gated)
        name = 'transformers TIPS' if source == 'memory' else 'TIPS'
        ours, report = load(model, tmp_path, source, name, num_heads=4)
        assert [left.removeprefix('embeddings.') for left in report.left_over] == ['mask_token']
        compare(ours, size, lambda image: model(image).last_hidden_state)
        if size != IMAGES['native']:
            ours.pos_resize = {'antialias': True}
            with pytest.raises(AssertionError, match='patches: off by'):
                compare(ours, size, lambda image: model(image).last_hidden_state)

    @pytest.mark.parametrize('gated', [False, True], ids=['mlp', 'swiglu'])
    def test_dinov3(self, tmp_path, source, size, gated):
        options = {'use_gated_mlp': True, 'hidden_act': 'silu'} if gated else {}
        model = build('DINOv3ViT', num_register_tokens=2, layer_norm_eps=1e-5, **options)
        ours, report = load(model, tmp_path, source, 'transformers DINOv3', num_heads=4)
        assert report.left_over == ['embeddings.mask_token']
        compare(ours, size, lambda image: model(image).last_hidden_state)

    def test_vitdet(self, tmp_path, source, size):
        model = build(
            'VitDet',
            mlp_ratio=2,
            image_size=64,
            pretrain_image_size=40,
            window_size=3,
            window_block_indices=[0, 2],
            residual_block_indices=[1],
            use_relative_position_embeddings=True,
        )
        ours, report = load(model, tmp_path, source, 'transformers ViTDet', pos_embed_cls_slot=True)
        assert not report.left_over
        compare(ours, size, lambda image: model(image).last_hidden_state)

    def test_clip(self, tmp_path, source, size):
        model = build('CLIPVision', layer_norm_eps=1e-5)
        given = {'num_heads': 4, 'final_norm': None, 'pos_resize': None}  # transformers smooths no positions
        ours, report = load(model, tmp_path, source, 'transformers CLIP or SigLIP', **given)
        assert sorted(report.left_over) == ['norm.bias', 'norm.weight']
        compare(ours, size, resizing(model))

    def test_siglip(self, tmp_path, source, size):
        model = build('SiglipVision')
        ours, report = load(model, tmp_path, source, 'transformers CLIP or SigLIP', num_heads=4)
        assert {name.split('.')[0] for name in report.left_over} == {'head'}
        compare(ours, size, resizing(model))


@both_sources
class TestTransformersAtTheNativeGrid:
    """transformers has another rule than BEiT to resize tables of biases, and SAM has one size only."""

    @pytest.mark.parametrize('shared', [False, True], ids=['per-block', 'shared'])
    def test_beit(self, tmp_path, source, shared):
        table = {'use_shared_relative_position_bias' if shared else 'use_relative_position_bias': True}
        model = build('Beit', **table, use_absolute_position_embeddings=False, layer_scale_init_value=0.1)
        ours, report = load(model, tmp_path, source, 'transformers BEiT', final_norm=None)
        assert not report.left_over
        compare(ours, IMAGES['native'], lambda image: model(image, output_hidden_states=True).hidden_states[-1])

    def test_data2vec(self, tmp_path, source):
        model = build(
            'Data2VecVision',
            use_relative_position_bias=True,
            use_absolute_position_embeddings=False,
            layer_scale_init_value=0.1,
        )
        ours, _ = load(model, tmp_path, source, 'transformers BEiT', final_norm=None)
        compare(ours, IMAGES['native'], lambda image: model(image, output_hidden_states=True).hidden_states[-1])

    def test_sam(self, tmp_path, source):
        """Before the convolutions that follow the ViT."""
        model = build('SamVision', window_size=3, global_attn_indexes=[1], output_channels=16, mlp_dim=48)
        ours, report = load(model, tmp_path, source, 'transformers SAM')
        # By the release's names of them a converted file is known again.
        assert {name.rpartition('.')[0] for name in report.left_over} == {f'neck.{index}' for index in range(4)}
        found = []
        model.vision_encoder.layers[-1].register_forward_hook(lambda *call: found.append(call[-1]))

        def run(image):
            model(image)
            output = found[0]
            return (output[0] if isinstance(output, tuple) else output).flatten(1, 2)

        compare(ours, IMAGES['native'], run)
