"""Formats: which is detected, what becomes of the names, and which files are turned away."""

import numpy as np
import pytest
import torch

from mmvitdense.checkpoints import CheckpointError, convert, detect, read_checkpoint
from mmvitdense.checkpoints.formats.detectron2_vitdet import FORMAT as DETECTRON2_VITDET
from mmvitdense.checkpoints.formats.plain_vit import FORMAT as PLAIN_VIT
from mmvitdense.checkpoints.formats.sam import FORMAT as SAM
from mmvitdense.checkpoints.formats.timm_vit import FORMAT as TIMM_VIT
from mmvitdense.checkpoints.formats.tips import FORMAT as TIPS
from mmvitdense.models import PlainViT, SimpleFeaturePyramid
from tests.fidelity.agreement import redraw

SMALL = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 24, 'patch_size': 8, 'img_size': 32}


@pytest.fixture
def vit():
    return redraw(PlainViT(**SMALL, with_cls_token=True, final_norm='last')).state_dict()


def with_prefix(prefix, weights):
    return {f'{prefix}{name}': tensor for name, tensor in weights.items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


class TestTimm:
    @pytest.mark.parametrize('prefix', ['', 'module.', 'encoder.', 'module.backbone.', 'vit.model.'])
    def test_prefixes(self, vit, prefix):
        weights = with_prefix(prefix, vit)
        assert detect(weights) is TIMM_VIT
        assert_same(convert(weights), vit)

    def test_what_is_beside_the_encoder_is_dropped(self, vit):
        weights = {**with_prefix('encoder.', vit), 'decoder.blocks.1.mlp.fc1.weight': torch.zeros(2, 2)}
        assert_same(convert(weights), vit)

    def test_head_and_decoder_without_a_prefix_stay(self, vit):
        """They are told to the user as left over."""
        weights = {**vit, 'head.weight': torch.zeros(5, 16), 'decoder_blocks.0.attn.qkv.weight': torch.zeros(48, 16)}
        assert detect(weights) is TIMM_VIT
        assert_same(convert(weights), weights)

    def test_base_encoder_of_moco(self, vit):
        momentum = {name: tensor + 1 for name, tensor in vit.items()}
        weights = {
            **with_prefix('module.momentum_encoder.', momentum),
            **with_prefix('module.base_encoder.', vit),
            'module.predictor.0.weight': torch.zeros(3, 3),
        }
        assert detect(weights) is TIMM_VIT
        assert_same(convert(weights), vit)

    @pytest.mark.parametrize('spelling', ['gamma_{}', 'ls{}.gamma'])
    def test_layer_scale(self, vit, spelling):
        """DeiT III writes gamma_1, timm ls1.gamma."""
        gains = {(block, branch): torch.randn(16) for block in (0, 1) for branch in (1, 2)}
        weights = {**vit, **{f'blocks.{i}.{spelling.format(j)}': gain for (i, j), gain in gains.items()}}
        expected = {**vit, **{f'blocks.{i}.ls{j}.gamma': gain for (i, j), gain in gains.items()}}
        assert_same(convert(weights), expected)

    def test_two_encoders_are_one_too_many(self, vit):
        with pytest.raises(CheckpointError, match='no known ViT format'):
            detect({**with_prefix('left.', vit), **with_prefix('right.', vit)})

    def test_the_teacher_is_taken(self, vit):
        student = {name: tensor + 1 for name, tensor in vit.items()}
        assert_same(convert({**with_prefix('student.', student), **with_prefix('teacher.backbone.', vit)}), vit)


def test_tips_as_it_is_published(vit, tmp_path):
    """An archive with the names of a state dict."""
    vit.update({f'blocks.{i}.ls{j}.gamma': torch.ones(16) for i in (0, 1) for j in (1, 2)})
    vit.update(register_tokens=torch.zeros(1, 1, 16), mask_token=torch.zeros(1, 16))
    np.savez(tmp_path / 'tips.npz', **{name: tensor.numpy() for name, tensor in vit.items()})
    weights = read_checkpoint(tmp_path / 'tips.npz')
    text = {'text_encoder.token_embedding.weight': torch.zeros(3), 'temperature': torch.zeros(1)}
    for found in (weights, {**with_prefix('vision_encoder.', weights), **text}):
        assert detect(found) is TIPS
        assert_same(convert(found), vit)


class TestOwn:
    @pytest.mark.parametrize('head', ['neck.lateral_convs.0.0.weight', 'decode_head.conv_seg.weight'])
    def test_detector_or_segmentor(self, head):
        """Also with options that no other format has."""
        model = PlainViT(**SMALL, window_size=2, rel_pos='decomposed', num_registers=2, conv_blocks=(0,))
        weights = {**with_prefix('backbone.', model.state_dict()), head: torch.zeros(1)}
        assert detect(weights) is PLAIN_VIT
        assert_same(convert(weights), weights)

    @pytest.mark.parametrize(
        'options',
        [
            {'rel_pos': 'decomposed', 'window_size': 2},
            {'num_registers': 2, 'with_cls_token': True},
            {'conv_blocks': (1,), 'layer_scale_init': 1.0, 'pre_norm': True},
        ],
        ids=['relative', 'registers', 'convolutions'],
    )
    def test_backbone_alone(self, options):
        weights = PlainViT(**SMALL, **options).state_dict()
        for prefix in ('', 'backbone.'):
            assert detect(with_prefix(prefix, weights)) is PLAIN_VIT
            assert_same(convert(with_prefix(prefix, weights)), with_prefix(prefix, weights))

    def test_the_encoder_of_sam_is_another_format(self):
        weights = PlainViT(**SMALL, rel_pos='decomposed').state_dict()
        assert detect({**weights, 'pos_embed': weights['pos_embed'].unflatten(1, (4, 4))}) is SAM


class TestDetectron2:
    # How detectron2 numbers the layers of each level: first those that change the scale, then the two convolutions.
    NUMBERS = {2: (0, 1, 3, 4, 5), 3: (0, 1, 2), 4: (0, 1), 5: (1, 2)}

    @pytest.fixture
    def parts(self):
        model = PlainViT(**SMALL, pos_embed_cls_slot=True, window_size=2, rel_pos='decomposed', conv_blocks=(1,))
        return redraw(model).state_dict(), redraw(SimpleFeaturePyramid(16, 8)).state_dict()

    def in_detectron2(self, name):
        """The official name of a parameter of our pyramid."""
        kind, level, *rest = name.split('.')
        level = int(level) + 2
        *_, first, second = self.NUMBERS[level]
        if kind == 'resample':
            return f'simfp_{level}.{".".join(rest)}'
        position = first if kind == 'lateral_convs' else second
        return f'simfp_{level}.{position}.{"norm." if rest[0] == "1" else ""}{rest[1]}'

    @pytest.mark.parametrize('prefix', ['', 'backbone.'], ids=['backbone', 'detector'])
    def test_names_both_ways(self, parts, prefix):
        vit, neck = parts
        official = {
            **with_prefix(f'{prefix}net.', vit),
            **{f'{prefix}{self.in_detectron2(name)}': tensor for name, tensor in neck.items()},
        }
        assert len(official) == len(vit) + len(neck)
        assert detect(official) is DETECTRON2_VITDET
        assert_same(convert(official), {**with_prefix('backbone.', vit), **with_prefix('neck.', neck)})


class TestTurnedAway:
    def test_two_models_of_different_formats(self, vit):
        tower = {'conv1.weight': 0, 'positional_embedding': 0, 'transformer.resblocks.0.attn.in_proj_weight': 0}
        tower.update({'class_embedding': 0, 'ln_pre.weight': 0, 'ln_post.weight': 0})
        weights = {**with_prefix('encoder.', vit), **with_prefix('visual.', tower)}
        message = '2 ViT formats, CLIP or OpenCLIP and timm ViT, have these .* names: .*encoder.cls_token'
        for found in (weights, dict(reversed(list(weights.items())))):
            with pytest.raises(CheckpointError, match='2 ViT formats, CLIP or OpenCLIP and timm ViT'):
                detect(found)
        with pytest.raises(CheckpointError, match=message):
            detect(weights)

    @pytest.mark.parametrize('name', ['attn.q_norm.weight', 'gamma_1_1', 'attn.qkv_a.weight', 'adapter.down.weight'])
    def test_a_part_of_a_block_that_no_format_knows(self, vit, name):
        with pytest.raises(CheckpointError, match=rf'no known ViT format .* with .*{name}.* in the first block'):
            detect({**vit, f'blocks.0.{name}': torch.zeros(2)})

    @pytest.mark.parametrize(
        'name',
        [
            'blocks.0.attn.q_bias',
            'blocks.0.attn.relative_position_index',
            'rel_pos_bias.relative_position_index',
            'rope_embed.periods',
            'blocks.0.mlp.w12.weight',
            'blocks.0.mlp.lin1.weight',
        ],
    )
    def test_relatives_of_the_plain_vit(self, vit, name):
        """They share most names and compute something else: loading the rest would give a wrong model."""
        with pytest.raises(CheckpointError, match='no known ViT format'):
            detect({**vit, name: torch.zeros(2)})

    @pytest.mark.parametrize(
        'name',
        [
            *('vit_base_patch16_rope_224', 'vit_betwixt_patch16_rope_reg4_gap_256', 'vit_small_resnet26d_224'),
            *('vit_srelpos_small_patch16_224', 'hiera_small_abswin_256', 'sam2_hiera_tiny'),
        ],
    )
    def test_models_of_timm_that_compute_something_else(self, name):
        """Rotary positions that are not in the file, biases made by a network, stems, shrinking maps."""
        timm = pytest.importorskip('timm')
        with torch.device('meta'):
            weights = timm.create_model(name).state_dict()
        message = 'no known ViT format|convolutional network|a Hiera'
        for prefix in ('', 'visual.trunk.'):
            with pytest.raises(CheckpointError, match=message):
                detect(with_prefix(prefix, weights))

    def test_radio_whose_weights_are_products(self):
        """Its training keeps a matrix, its norm and a factor apart."""
        part = 'blocks.0.attn.proj.parametrizations.weight.original'
        weights = {'patch_generator.embedder.weight': torch.zeros(1), part: torch.zeros(1)}
        with pytest.raises(CheckpointError, match='are products of others .* take the averages of the same file'):
            detect(with_prefix('base_model.', weights))

    def test_tips_of_jax(self):
        with pytest.raises(CheckpointError, match='the file of the same weights for PyTorch'):
            detect({'ToTokenSequence_0/embedding/kernel': torch.zeros(1), 'encoder_norm/scale': torch.zeros(1)})

    @pytest.mark.parametrize(
        'name',
        [
            *('HieraModel', 'InternVLVisionModel', 'MLCDVisionModel', 'TimesformerModel', 'VivitModel'),
            *('YolosModel', 'DINOv3ConvNextModel', 'Qwen3Model'),
        ],
    )
    def test_models_of_transformers_that_compute_something_else(self, name):
        """Blocks of stages, rotary positions that are not in the file, time, tokens that detect."""
        transformers = pytest.importorskip('transformers')
        kind = getattr(transformers, name)
        config = kind.config_class()
        for attribute in ('num_hidden_layers', 'vocab_size'):
            if hasattr(config, attribute):
                setattr(config, attribute, 1)
        with torch.device('meta'):
            weights = kind(config).state_dict()
        what = {'HieraModel': 'a Hiera', 'TimesformerModel': 'a model of video', 'Qwen3Model': 'a language model'}
        with pytest.raises(CheckpointError, match=f'no known ViT format.*{what.get(name, "")}'):
            detect(weights)

    def test_scaled_frequencies(self, vit):
        """OpenMixup may multiply what its blocks give by learned gains of two frequencies."""
        with pytest.raises(CheckpointError, match='scale the frequencies of their outputs'):
            detect({**with_prefix('backbone.', vit), 'backbone.layers.0.lamb1': torch.zeros(16)})

    def test_the_norm_before_the_blocks_of_an_owl(self):
        """OWL-ViT is a CLIP, and spells this norm as it should be."""
        transformers = pytest.importorskip('transformers')
        config = transformers.OwlViTVisionConfig(num_hidden_layers=1)
        with torch.device('meta'):
            weights = transformers.OwlViTVisionModel(config).state_dict()
        form = detect(weights)
        assert 'norm_pre.weight' in form.convert(weights)
        assert form.families(weights)[0] == 'clip'

    def test_other_families(self):
        message = (
            r'no known ViT format has these 2 names: stem.a, stem.b, .*; known are .*detectron2 ViTDet, .*timm ViT'
        )
        with pytest.raises(CheckpointError, match=message):
            convert({name: torch.zeros(1) for name in ('stem.a', 'stem.b')})

    @pytest.mark.parametrize(
        ('name', 'what'),
        [
            ('layers.0.blocks.0.attn.relative_position_bias_table', 'a Swin Transformer'),  # official
            ('stages.0.blocks.0.attn.w_msa.relative_position_bias_table', 'a Swin Transformer'),  # mmdet
            ('encoder.layers.0.blocks.0.attention.self.logit_scale', 'a Swin Transformer'),  # transformers
            ('stages.0.0.dwconv.weight', 'a ConvNeXt'),
            ('backbone.stages.0.blocks.0.conv_dw.weight', 'a ConvNeXt'),
            ('model.stages.0.layers.0.depthwise_conv.weight', 'a ConvNeXt'),
            ('radio_model.model.levels.0.blocks.0.conv1.weight', 'a FasterViT or an E-RADIO'),
            ('encoder.stages.0.layers.0.attn.qkv.weight', 'a Hiera'),
            ('layers.0.self_attn.q_proj.weight embed_tokens.weight', 'a language model'),
            ('h.0.attn.c_attn.weight transformer.wte.weight', 'a language model'),
            ('embeddings.word_embeddings.weight', 'a language model'),
            ('down_blocks.0.resnets.0.conv1.weight', 'a diffusion U-Net'),  # diffusers
            ('diffusion_model.input_blocks.0.0.weight', 'a diffusion U-Net'),
            ('transformer.double_blocks.0.img_attn.qkv.weight', 'a diffusion transformer'),  # FLUX
            ('transformer_blocks.0.img_mod.1.weight', 'a diffusion transformer'),  # Qwen-Image
            ('blocks.0.self_attn.q.weight blocks.0.modulation', 'a diffusion transformer'),  # Wan
            ('visual.trunk.patch_embed.backbone.stem.conv1.weight', 'ViTamin'),
            ('conv1.weight bn1.weight layer1.0.conv1.weight', 'a ResNet'),
            ('backbone.bottom_up.res2.0.conv1.weight', 'a ResNet'),  # detectron2
            ('backbone.layer1.0.conv1.weight query_embed.weight', 'a DETR'),
            (
                'backbone.body.layer1.0.conv1.weight roi_heads.box_head.fc6.weight',
                'a Faster or Mask R-CNN',
            ),  # torchvision
            ('base.layers.0.q_proj.lora_A.weight', 'LoRA'),
            ('unet.transformer_blocks.0.attn1.to_k.lora.down.weight', 'LoRA'),
            ('stem.weight blocks.0.attn.qkv.qweight', 'a model whose weights are quantised'),  # GPTQ
            ('stem.weight blocks.0.attn.qkv.weight.absmax', 'a model whose weights are quantised'),  # bitsandbytes
            ('stem.0.weight stem.1.running_mean', 'a network of convolutions'),
            ('token_embedding.weight transformer.resblocks.0.ln_1.weight', 'the text tower'),  # TIPS
            ('text_model.embeddings.token_embedding.weight', 'the text tower'),
            ('image_encoder.encoder.0.weight image_encoder.sem_encoder.0.weight', 'a NAF'),
            ('up1.up.weight up1.conv_1.double_conv.0.weight', 'a LiFT'),
        ],
    )
    def test_what_strangers_look_like(self, name, what):
        with pytest.raises(CheckpointError, match=rf'which look like those of .*{what}'):
            detect({part: torch.zeros(1) for part in name.split()})

    @pytest.mark.parametrize('sign', ['blocks.1.proj.weight', 'pos_embed_window'])
    @pytest.mark.parametrize('prefix', ['', 'backbone.'])
    def test_a_hiera_is_no_vit(self, vit, prefix, sign):
        """Its first blocks are named as those of a ViT without a class token, in SAM 2 beside a neck."""
        weights = {name: tensor for name, tensor in vit.items() if name != 'cls_token'}
        assert detect(with_prefix(prefix, weights)) is TIMM_VIT
        with pytest.raises(CheckpointError, match='the weights of a Hiera'):
            detect({**with_prefix(prefix, {**weights, sign: torch.zeros(32, 16)}), 'neck.conv.weight': torch.zeros(1)})

    @pytest.mark.parametrize('layout', ['official', 'transformers'])
    def test_a_vit_of_poses_is_no_vit(self, vit, layout):
        """Its patches begin 2 pixels further up and left; with a class token the names would be those of others."""
        if layout == 'official':
            weights = {**vit, 'last_norm.weight': torch.ones(1), 'keypoint_head.final_layer.weight': torch.ones(1)}
            weights = with_prefix('backbone.', {name: x for name, x in weights.items() if name != 'cls_token'})
        else:
            parts = {'patch_embeddings.projection.weight', 'position_embeddings'}
            weights = {f'backbone.embeddings.{name}': torch.ones(1) for name in parts}
            layer = 'backbone.encoder.layer.0'
            weights |= {f'{layer}.layernorm_before.weight': torch.ones(1), f'{layer}.mlp.fc1.weight': torch.ones(1)}
        with pytest.raises(CheckpointError, match='this is a ViTPose, which puts a border of 2 pixels'):
            detect(weights)
