"""Early exit of Mask2Former's encoder (ECO-M2F)."""

import copy
import json
from collections import Counter
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmdet')

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

from mmvitdense.datasets.transforms import LoadExitScores
from mmvitdense.layers.exit_gate import ExitGate
from mmvitdense.models.detection import EarlyExitPixelDecoder
from mmvitdense.models.detection.early_exit_head import exit_targets
from tests.fidelity.agreement import redraw

CONFIGS = Path(__file__).parents[3] / 'configs/eco_m2f'
DIMS, LAYERS = 32, 6


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


def detector(name='parent', **head):
    config = Config.fromfile(CONFIGS / f'vitdet-tiny_eco-m2f-{name}_shapes.py').model
    config.panoptic_head.update(head)
    config.backbone.update(num_layers=2, global_blocks=(1,))
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(copy.deepcopy(config))


def samples(*scores):
    from mmdet.structures import DetDataSample

    made = []
    for given in scores:
        sample = DetDataSample(metainfo={'img_shape': (64, 64), 'batch_input_shape': (64, 64), 'exit_scores': given})
        sample.gt_instances = InstanceData(labels=torch.tensor([1]), masks=torch.ones(1, 64, 64).long())
        made.append(sample)
    return made


class TestHead:
    def test_losses_of_the_parent_have_the_weight_of_their_depth(self):
        model = detector(depth_weights=[1, 2, 3, 4, 5])
        model.init_weights()
        head = model.panoptic_head
        feats = [torch.randn(1, 64, 64 // stride, 64 // stride) for stride in (4, 8, 16, 32)]
        head.preprocess_gt = lambda instances, _: instances
        for depth in (2, 5):
            losses = []
            with head.pixel_decoder.encoder.stopping_at(depth):
                for weight in (1, depth - 1):
                    torch.manual_seed(0)
                    head.depth_weights[depth] = weight
                    losses.append(head.loss(feats, samples(None)))
            for name, loss in losses[0].items():
                torch.testing.assert_close(losses[1][name], loss * (depth - 1))
        assert detector().panoptic_head.depth_weights[3] == 0.5

    def test_the_gate_alone_is_trained(self):
        model = detector('gate', beta=0.0)
        model.init_weights()
        model.train()
        training = {name for name, module in model.named_modules() if module.training and name}
        assert training == {f'panoptic_head.pixel_decoder.encoder.gate{end}' for end in ('', '.head')}
        head = model.panoptic_head
        refuse = lambda *_, **__: pytest.fail('neither the encoder nor the mask decoder is run')  # noqa: E731
        head.forward = head.pixel_decoder.encoder.forward = refuse
        data = samples([0.1, 0.2, 0.9, 0.3, 0.1], [0.9, 0.2, 0.1, 0.3, 0.1])
        losses = model.loss(torch.randn(2, 3, 64, 64), data)
        losses['loss_gate'].backward()
        reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert reached == {f'panoptic_head.pixel_decoder.encoder.gate.head.{end}' for end in ('weight', 'bias')}
        assert not [name for name, p in detector().named_parameters() if 'gate' in name and p.requires_grad]

    def test_the_state_of_the_stock_detector_fits(self):
        model = detector()
        config = Config.fromfile(CONFIGS.parent / 'vitdet/vitdet-tiny_mask2former-panoptic_shapes.py').model
        config.panoptic_head.pixel_decoder.encoder.num_layers = 6
        config.backbone.update(num_layers=2, global_blocks=(1,))
        with DefaultScope.overwrite_default_scope('mmdet'):
            stock = MODELS.build(config)
        missing, unexpected = model.load_state_dict(stock.state_dict(), strict=False)
        gate = 'panoptic_head.pixel_decoder.encoder.gate.head.'
        assert (missing, unexpected) == ([f'{gate}weight', f'{gate}bias'], [])

    def test_scores_that_do_not_fit(self):
        head = detector('gate').panoptic_head
        for given, found in ((None, 'none'), ([0.1, 0.2], '2')):
            with pytest.raises(ValueError, match=f'an image has {found} exit scores and the gate 5 depths'):
                head.gate_loss(torch.zeros(1, 5), samples(given))

    @pytest.mark.parametrize('wrong', [{'mode': 'both'}, {'depth_weights': [1]}, {'temperature': 0}])
    def test_wrong_options(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            detector(**wrong)


def test_loading_scores(tmp_path):
    path = tmp_path / 'scores.json'
    load = LoadExitScores(str(path))
    with pytest.raises(FileNotFoundError, match='make_exit_scores'):
        load({'img_path': 'a/one.jpg'})
    path.write_text(json.dumps({'one.jpg': [0.1, 0.2]}))
    assert load({'img_path': 'a/one.jpg'}) == {'img_path': 'a/one.jpg', 'exit_scores': [0.1, 0.2]}
    with pytest.raises(KeyError, match='has no scores of two.jpg'):
        load({'img_path': 'a/two.jpg'})
