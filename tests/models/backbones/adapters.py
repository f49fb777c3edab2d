"""What ViT-Adapter and ViT-CoMer have to show besides the suite of backbones."""

from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmvitdense.layers import SyncBatchNorm
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import assert_within, redraw
from tests.models.backbones.small_presets import small_presets
from tests.models.suite import BackboneSuite

VIT = {
    'embed_dims': 32,
    'num_layers': 4,
    'num_heads': 2,
    'feedforward_channels': 48,
    'img_size': 64,
    'pos_embed_cls_slot': True,
    'layer_scale_init': 1.0,
}
# Sizes that take the place of those of a preset.
SMALL_VIT = {'embed_dims': 64, 'num_layers': 2, 'num_heads': 4, 'feedforward_channels': 128}


class AdapterSuite(BackboneSuite):
    """Tests of a backbone that holds a plain ViT; subclasses give `common` options of all variants."""

    patch_size = 16
    trunk = 'vit.'
    sizes = [(64, 96), (33, 80), (111, 49), (16, 1), (1, 1)]
    common: dict
    # Options of few stages on top of those.
    one_stage: ClassVar[dict] = {'interaction_indexes': [[0, 1]]}
    autocast_gradients = 0.8  # the stem has a kink at every pixel
    kept_when_recomputing = 0.75  # the stem is not recomputed, and is large in a model as narrow as these

    def build(self, options):
        options = {**self.common, **options}
        vit = {**options['vit'], 'frozen_stages': options.pop('frozen_stages', -1)}
        model = redraw(self.model_class(**{**options, 'vit': vit}))
        generator = torch.Generator().manual_seed(5)
        for name, buffer in model.named_buffers():
            if name.endswith(('running_mean', 'running_var')):
                centre = 1.0 if name.endswith('var') else 0.0
                buffer.copy_(centre + 0.4 * (torch.rand(buffer.shape, generator=generator) - 0.5))
        return model.eval()

    def strides_and_channels(self, options):
        return [(16, 32)] * options.get('out_vit_map', False) + [(stride, 32) for stride in (4, 8, 16, 32)]

    @pytest.fixture
    def options(self, request, variant):
        return {**self.common, **self._variants_for(request.function)[variant]}

    def test_autocast_to_bfloat16(self, model, example):
        """With sampling points that the rounding does not carry into other cells, where gradients jump."""
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.mul_(0.02 if 'sampling_offsets' in name else 0.3 if 'attention_weights' in name else 1.0)
        super().test_autocast_to_bfloat16(model, example)

    def test_other_sizes_are_padded_with_zeros_and_cropped(self, model, options):
        image = torch.randn(2, 3, 49, 70)
        padded = model(F.pad(image, (0, 26, 0, 15)))
        for level, whole, (stride, _) in zip(model(image), padded, self.strides_and_channels(options)):
            assert torch.equal(level, whole[..., : -(-49 // stride), : -(-70 // stride)])

    @pytest.mark.parametrize('training', [False, True])
    def test_gradients_of_one_image_are_right(self, model, training):
        """torch's batch norm on a CPU is wrong for a single image in mixed layouts: compare with finite differences."""
        model = model.double().train(training)
        image = torch.randn(1, 3, 64, 96, dtype=torch.float64, requires_grad=True)
        torch.manual_seed(0)
        outputs = model(image)
        # Gradients come from heads in any layout.
        cotangents = [torch.randn_like(level) for level in outputs]
        cotangents[1] = cotangents[1].contiguous(memory_format=torch.channels_last)
        torch.autograd.backward(outputs, cotangents)
        direction, step = torch.randn_like(image), 1e-7
        with torch.no_grad():
            ahead, behind = (self._again(model, image + sign * step * direction) for sign in (1, -1))
        slopes = [((a - b) * c).sum() / (2 * step) for a, b, c in zip(ahead, behind, cotangents)]
        torch.testing.assert_close((image.grad * direction).sum(), sum(slopes), rtol=1e-4, atol=1e-4)

    @staticmethod
    def _again(model, image):
        torch.manual_seed(0)
        return model(image)

    def test_drop_path_is_for_training(self, options, example):
        if options.get('cffn_ratio', 0.25) is None:
            pytest.skip('drops nothing but networks, and has none')
        super().test_drop_path_is_for_training(options, example)

    def test_outputs_are_contiguous(self, model, example):
        """As those of other backbones: heads may take views of them."""
        size = self.sizes[0]
        assert size[0] % 32 == size[1] % 32 == 0
        assert all(level.is_contiguous() for level in model(*example))

    def test_gradients_have_the_layout_of_the_parameters(self, model, example):
        """Distributed training copies others, and warns."""
        sum(level.square().sum() for level in model(*example)).backward()
        assert all(p.grad is None or p.grad.stride() == p.stride() for p in model.parameters())

    def test_norms_by_config(self, options):
        model = self.model_class(**{**options, 'norm_cfg': {'type': 'SyncBN', 'requires_grad': False}})
        assert isinstance(model.norm1, SyncBatchNorm)
        assert isinstance(model.spm.stem[1], SyncBatchNorm)
        assert not model.norm4.weight.requires_grad
        groups = self.model_class(**{**options, 'norm_cfg': {'type': 'GN', 'num_groups': 4}})
        assert isinstance(groups.spm.conv2[1], nn.GroupNorm)

    @pytest.mark.parametrize(
        ('changed', 'message'),
        [
            (
                {'vit': {**VIT, 'patch_size': 14}},
                r'must have 16 pixels .* got patch_size=14: give vit=dict\(patch_size',
            ),
            ({'vit_feature': 'all'}, "vit_feature must be one of .* got 'all'"),
            ({'interaction_indexes': [[0, 1], [3, 3]]}, r'follow each other from 0 to 3, got \[\[0, 1\], \[3, 3\]\]'),
            ({'interaction_indexes': [[0, 1]]}, 'from 0 to 3'),
            ({'vit_feature': 'stagewise', 'interaction_indexes': [[0, 3]]}, 'needs 4 stages, .* got 1'),
            (
                {'vit': {**VIT, 'final_norm': 'last'}, 'vit_feature': None},
                "final norm .*'last'.* vit=dict\\(final_norm",
            ),
            ({'norm_cfg': {'type': 'IN'}}, "type of norm_cfg must be one of .* got 'IN'"),
            ({'deform_num_heads': 5}, 'multiples of num_heads=5'),
        ],
    )
    def test_a_bad_option_is_named(self, changed, message):
        with pytest.raises(ValueError, match=message):
            self.model_class(**{'vit': VIT, **self.common, **changed})

    def test_final_norm_of_the_vit(self):
        """The maps that are added are those which the ViT would return."""
        options = {**self.common, 'vit': {**VIT, 'final_norm': 'all'}}
        model = self.build(options)
        image = torch.randn(1, 3, 64, 64)
        with_map = model(image)
        nn.init.zeros_(model.vit.norm.weight)
        nn.init.zeros_(model.vit.norm.bias)
        without = model(image)
        model.vit_feature = None
        for level, expected in zip(without, model(image)):
            assert torch.equal(level, expected)
        assert not torch.equal(with_map[0], without[0])

    def test_init_cfg_of_the_vit(self, tmp_path):
        vit = redraw(PlainViT(**VIT))
        torch.save(vit.state_dict(), tmp_path / 'vit.pth')
        init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(tmp_path / 'vit.pth')}
        model = self.model_class(**{**self.common, 'vit': {**VIT, 'init_cfg': init_cfg}})
        model.init_weights()
        assert_within(model.vit.blocks[2].mlp.fc1.weight, vit.blocks[2].mlp.fc1.weight, 1e-7, 'weight')

    @pytest.mark.parametrize('preset', small_presets(patch_size=16, **SMALL_VIT))
    def test_around_the_vit_of_any_pre_training(self, preset):
        """Whatever its tokens, positions, norms and feed-forward network are."""
        vit = {'preset': preset, 'patch_size': 16, **SMALL_VIT}
        model = self.model_class(**{**self.common, 'vit': vit, **self.one_stage}).eval()
        with torch.no_grad():
            outputs = model(torch.randn(1, model.vit.in_channels, 50, 33))
        assert [tuple(level.shape) for level in outputs] == [
            (1, 64, 13, 9),
            (1, 64, 7, 5),
            (1, 64, 4, 3),
            (1, 64, 2, 2),
        ]
        assert all(level.isfinite().all() for level in outputs)
