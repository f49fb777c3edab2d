"""Early exit of Mask2Former's encoder (ECO-M2F)."""

import copy
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet')

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData

from mmvitdense.datasets.transforms import LoadExitScores
from mmvitdense.layers.exit_gate import ExitGate
from mmvitdense.models.detection import EarlyExitPixelDecoder
from mmvitdense.models.mask_transformers.early_exit import exit_targets
from tests.fidelity.agreement import redraw

CONFIGS = Path(__file__).parents[3] / 'configs/eco_m2f'
DIMS, LAYERS = 32, 6
SIZE = (64, 64)


def options(**encoder):
    layer = {
        'self_attn_cfg': {'embed_dims': DIMS, 'num_heads': 4, 'num_levels': 3, 'num_points': 2, 'batch_first': True},
        'ffn_cfg': {'embed_dims': DIMS, 'feedforward_channels': 48},
    }
    return ConfigDict(
        in_channels=[DIMS] * 4,
        feat_channels=DIMS,
        out_channels=DIMS,
        norm_cfg={'type': 'GN', 'num_groups': 4},
        positional_encoding={'num_feats': DIMS // 2, 'normalize': True},
        encoder={'num_layers': LAYERS, 'layer_cfg': layer, **encoder},
    )


def decoder(**encoder):
    torch.manual_seed(0)
    built = EarlyExitPixelDecoder(**options(**encoder))
    redraw(built)
    return built.eval()


def maps(count=3):
    torch.manual_seed(1)
    return [torch.randn(count, DIMS, 48 // stride, 64 // stride) for stride in (2, 4, 8, 16)]


def flat(outputs):
    return [outputs[0], *outputs[1]]


class TestPixelDecoder:
    def test_all_layers_are_those_of_mmdet_bit_for_bit(self):
        ours, stock = decoder(), MODELS.get('mmdet.MSDeformAttnPixelDecoder')(**options()).eval()
        missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
        assert (missing, unexpected) == (['encoder.gate.head.weight', 'encoder.gate.head.bias'], [])
        for policy in ('full', LAYERS):
            with ours.encoder.stopping_at(policy):
                for own, other in zip(flat(ours(maps())), flat(stock(maps())), strict=True):
                    assert torch.equal(own, other)

    def test_a_depth_is_that_of_a_shorter_decoder(self):
        ours = decoder(exit=2)
        shorter = EarlyExitPixelDecoder(**options(num_layers=2, exit='full')).eval()
        weights = {k: v for k, v in ours.state_dict().items() if k in shorter.state_dict() and 'gate' not in k}
        shorter.load_state_dict(weights, strict=False)
        for own, other in zip(flat(ours(maps())), flat(shorter(maps())), strict=True):
            assert torch.equal(own, other)

    def test_images_of_several_depths_are_as_alone(self):
        ours = decoder(exit='gate')
        feats = maps(4)
        depths = [4, 2, 6, 2]
        ours.encoder.gate.choose = lambda logits: depths[: len(logits)]
        together = flat(ours(feats))
        assert ours.encoder.last_depths == depths
        for index, depth in enumerate(depths):
            with ours.encoder.stopping_at(depth):
                alone = flat(ours([feat[index : index + 1] for feat in feats]))
            for own, other in zip(together, alone, strict=True):
                torch.testing.assert_close(own[index : index + 1], other, rtol=1e-5, atol=1e-5)

    def test_the_gate_sees_the_coarsest_map_before_the_encoder(self):
        ours, feats = decoder(exit='gate'), maps()
        logits = ours.exit_logits(feats)
        tokens = ours.input_convs[0](feats[-1]).mean(dim=(2, 3))
        expected = tokens @ ours.encoder.gate.head.weight.T + ours.encoder.gate.head.bias
        torch.testing.assert_close(logits, expected)
        ours(feats)
        assert ours.encoder.last_depths == [2 + int(index) for index in expected.argmax(1)]
        assert ours.encoder.gate.counts == Counter(ours.encoder.last_depths)

    def test_random_depths(self):
        ours = decoder().train()
        seen = Counter()
        for step in range(12):
            ours.zero_grad()
            sum(out.sum() for out in flat(ours(maps(1)))).backward()
            depth = ours.encoder.last_depths[0]
            ours.encoder.gate.step = step
            assert depth == ours.encoder.gate.draw(), 'by the step alone'
            ours.encoder.gate.step = step + 1
            seen[depth] += 1
            for number, layer in enumerate(ours.encoder.layers, 1):
                grads = [p.grad for p in layer.parameters()]
                assert all(grad is not None for grad in grads), 'each process has gradients of all weights'
                assert any(grad.any() for grad in grads) == (number <= depth)
        gate = ExitGate(4, LAYERS)
        drawn = Counter(gate.draw() for _ in range(1000))
        assert set(drawn) == set(gate.depths) == {2, 3, 4, 5, 6}
        assert min(drawn.values()) > 150
        assert len(seen) > 1

    def test_multiplications_of_the_published_table(self):
        """Swin-T on Cityscapes: 411.981 with 2 layers and 537.848 with 6, in 10^9, of images of 1024 x 2048."""
        large = options()
        large.update(feat_channels=256, in_channels=[8] * 4, norm_cfg={'type': 'GN', 'num_groups': 32})
        large.positional_encoding.num_feats = 128
        large.encoder.layer_cfg.self_attn_cfg.update(embed_dims=256, num_heads=8, num_points=4)
        large.encoder.layer_cfg.ffn_cfg.update(embed_dims=256, feedforward_channels=1024)
        with torch.device('meta'):
            flops = EarlyExitPixelDecoder(**large).encoder.flops([(32, 64), (64, 128), (128, 256)])
        assert flops[6] - flops[2] == pytest.approx(537.848e9 - 411.981e9, rel=2e-3)

    @pytest.mark.parametrize('wrong', [{'exit': 7}, {'exit': 'early'}, {'train_exit': True}, {'min_depth': 7}])
    def test_wrong_options(self, wrong):
        with pytest.raises(ValueError, match=f'{next(iter(wrong))} must be'):
            EarlyExitPixelDecoder(**options(**wrong))

    def test_padding_does_not_count(self):
        gate, tokens = ExitGate(4, LAYERS), torch.randn(2, 5, 4)
        padding = torch.tensor([[False] * 3 + [True] * 2, [False] * 5])
        scores = gate(tokens, padding)
        torch.testing.assert_close(scores[:1], gate(tokens[:1, :3]))
        torch.testing.assert_close(scores[1:], gate(tokens[1:]))


def test_targets():
    scores = torch.tensor([[0.5, 0.52, 0.6, 0.6, 0.61], [0.3, 0.3, 0.3, 0.3, 0.3]])
    assert exit_targets(scores, 0.0).tolist() == [4, 0]
    assert exit_targets(scores, 0.02).tolist() == [2, 0]
    assert exit_targets(scores, 0.1).tolist() == [0, 0]
    shares = exit_targets(scores, 0.02, temperature=0.1)
    expected = ((scores[0] - 0.02 * torch.arange(5)) / 0.1).softmax(0)
    torch.testing.assert_close(shares[0], expected)


class Detection:
    """What is mmdet's."""

    scope, head, configs = 'mmdet', 'panoptic_head', 'vitdet-tiny_eco-m2f-{}_shapes.py'
    loss_arguments = ()

    @staticmethod
    def sample(meta):
        from mmdet.structures import DetDataSample
        from mmdet.structures.mask import BitmapMasks

        masks = BitmapMasks([np.ones(SIZE, np.uint8)], *SIZE)
        gt_instances = InstanceData(labels=torch.tensor([1]), masks=masks)
        return DetDataSample(
            metainfo=meta, gt_instances=gt_instances, gt_sem_seg=PixelData(sem_seg=torch.full((1, *SIZE), 255))
        )

    @staticmethod
    def labels(sample):
        return sample.pred_panoptic_seg.sem_seg


class Segmentation:
    """What is mmseg's."""

    scope, head, configs = 'mmseg', 'decode_head', 'vitdet-tiny_eco-m2f-{}_semantic_shapes.py'
    loss_arguments = (None,)

    @staticmethod
    def sample(meta):
        from mmseg.structures import SegDataSample

        return SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=torch.ones(1, *SIZE).long()))

    @staticmethod
    def labels(sample):
        return sample.pred_sem_seg.data


@pytest.fixture(params=[Detection, Segmentation])
def library(request):
    pytest.importorskip(request.param.scope)
    return request.param


def built(library, name='parent', stock=None, **head):
    """The model of a config; with the types of the library itself where `stock` gives them."""
    config = Config.fromfile(CONFIGS / library.configs.format(name)).model
    config[library.head].update(head)
    config.backbone.update(num_layers=2, global_blocks=(1,))
    if stock:
        config.type, config[library.head].type, config[library.head].pixel_decoder.type = stock
        for options, names in (
            (config[library.head], ('mode',)),
            (config[library.head].pixel_decoder.encoder, ('min_depth', 'exit', 'train_exit')),
        ):
            for option in names:
                options.pop(option)
    with DefaultScope.overwrite_default_scope(library.scope):
        return MODELS.build(copy.deepcopy(config))


def samples(library, *scores):
    meta = {'img_shape': SIZE, 'ori_shape': SIZE, 'batch_input_shape': SIZE, 'pad_shape': SIZE}
    return [library.sample({**meta, 'exit_scores': given}) for given in scores]


class TestModel:
    def test_losses_of_the_parent_have_the_weight_of_their_depth(self, library):
        model = built(library, depth_weights=[1, 2, 3, 4, 5])
        model.init_weights()
        head = getattr(model, library.head)
        feats = [torch.randn(1, 64, 64 // stride, 64 // stride) for stride in (4, 8, 16, 32)]
        for depth in (2, 5):
            losses = []
            with head.pixel_decoder.encoder.stopping_at(depth):
                for weight in (1, depth - 1):
                    torch.manual_seed(0)
                    head.depth_weights[depth] = weight
                    losses.append(head.loss(feats, samples(library, None), *library.loss_arguments))
            for name, loss in losses[0].items():
                torch.testing.assert_close(losses[1][name], loss * (depth - 1))
        assert getattr(built(library), library.head).depth_weights[3] == 0.5

    def test_the_gate_alone_is_trained(self, library):
        model = built(library, 'gate', beta=0.0)
        model.init_weights()
        model.train()
        gate = f'{library.head}.pixel_decoder.encoder.gate'
        training = {name for name, module in model.named_modules() if module.training and name}
        assert training == {gate, f'{gate}.head'}
        head = getattr(model, library.head)
        refuse = lambda *_, **__: pytest.fail('neither the encoder nor the mask decoder is run')  # noqa: E731
        head.forward = head.pixel_decoder.encoder.forward = refuse
        data = samples(library, [0.1, 0.2, 0.9, 0.3, 0.1], [0.9, 0.2, 0.1, 0.3, 0.1])
        loss, _ = model.parse_losses(model.loss(torch.randn(2, 3, 64, 64), data))
        loss.backward()
        reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert reached == {f'{gate}.head.weight', f'{gate}.head.bias'}
        assert not [name for name, p in built(library).named_parameters() if 'gate' in name and p.requires_grad]

    def test_the_state_of_the_stock_model_fits(self, library):
        stock = {
            'mmdet': ('Mask2Former', 'Mask2FormerHead', 'MSDeformAttnPixelDecoder'),
            'mmseg': ('EncoderDecoder', 'Mask2FormerHead', 'mmdet.MSDeformAttnPixelDecoder'),
        }[library.scope]
        state = built(library, stock=stock).state_dict()
        missing, unexpected = built(library).load_state_dict(state, strict=False)
        gate = f'{library.head}.pixel_decoder.encoder.gate.head.'
        assert (missing, unexpected) == ([f'{gate}weight', f'{gate}bias'], [])

    def test_predictions_by_depth_are_those_of_testing(self, library):
        """The backbone is run once, in windows once for each of them."""
        model = built(library, stock=None).eval()
        redraw(model)
        if library is Segmentation:
            model.test_cfg = ConfigDict(mode='slide', crop_size=(64, 64), stride=(32, 32))
        calls = []
        model.backbone.register_forward_hook(lambda *_: calls.append(1))
        size = (64, 96)
        data = {'inputs': [torch.randint(256, (3, *size), dtype=torch.uint8)], 'data_samples': samples(library, None)}
        data['data_samples'][0].set_metainfo({'img_shape': size, 'ori_shape': size})
        with torch.no_grad():
            found = model.predictions_by_depth(data)
            assert len(calls) == (2 if library is Segmentation else 1)
            assert list(found) == [2, 3, 4, 5, 6]
            for depth, (sample,) in found.items():
                getattr(model, library.head).pixel_decoder.encoder.exit = depth
                (expected,) = model.test_step(copy.deepcopy(data))
                assert 'seg_logits' not in sample
                assert torch.equal(library.labels(sample), library.labels(expected))
        assert any((library.labels(found[2][0]) != library.labels(found[depth][0])).any() for depth in found)

    def test_scores_that_do_not_fit(self, library):
        head = getattr(built(library, 'gate'), library.head)
        for given, text in ((None, 'none'), ([0.1, 0.2], '2')):
            with pytest.raises(ValueError, match=f'an image has {text} exit scores and the gate 5 depths'):
                head.gate_loss(torch.zeros(1, 5), samples(library, given))

    @pytest.mark.parametrize('wrong', [{'mode': 'both'}, {'depth_weights': [1]}, {'temperature': 0}, {'beta': 'low'}])
    def test_wrong_options(self, wrong, library):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            built(library, **wrong)

    def test_heads_and_decoders_without_early_exit(self, library):
        stock = ('mmvitdense.EarlyExitMask2Former', 'Mask2FormerHead', 'mmdet.MSDeformAttnPixelDecoder')
        if library is Segmentation:
            stock = ('mmvitdense.EarlyExitEncoderDecoder', *stock[1:])
        with pytest.raises(ValueError, match='needs a head with early exit, got Mask2FormerHead'):
            built(library, stock=stock)
        own = {Detection: 'EarlyExitMask2FormerHead', Segmentation: 'EarlyExitMask2FormerSegHead'}[library]
        with pytest.raises(ValueError, match='must be an EarlyExitPixelDecoder, got MSDeformAttnPixelDecoder'):
            built(library, stock=(stock[0], f'mmvitdense.{own}', stock[2]))


def test_loading_scores(tmp_path):
    path = tmp_path / 'scores.json'
    load = LoadExitScores(str(path))
    with pytest.raises(FileNotFoundError, match='make_exit_scores'):
        load({'img_path': 'a/one.jpg'})
    path.write_text(json.dumps({'one.jpg': [0.1, 0.2]}))
    assert load({'img_path': 'a/one.jpg'}) == {'img_path': 'a/one.jpg', 'exit_scores': [0.1, 0.2]}
    with pytest.raises(KeyError, match='has no scores of two.jpg'):
        load({'img_path': 'a/two.jpg'})
