"""EoMT against the two ports of `transformers`, its published sizes, rates and schedules, and its losses by hand."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData

from mmvitdense.checkpoints import convert, detect
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.checkpoints.formats.parts.mask_transformer_names import own_names
from mmvitdense.models import EoMT
from mmvitdense.models.mask_transformers import MaskPredictions
from mmvitdense.registry import MODELS
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within, redraw
from tests.fidelity.pretraining import NORM, rename

ROOT = Path(__file__).parents[2] / 'configs'
WIDTH, HEADS, QUERIES, CLASSES = 48, 3, 5, 7
PORTS = {
    'dinov2': ('eomt', 'EomtForUniversalSegmentation', 'EomtConfig', {}),
    'dinov2-swiglu': ('eomt', 'EomtForUniversalSegmentation', 'EomtConfig', {'use_swiglu_ffn': True}),
    'dinov3': ('eomt_dinov3', 'EomtDinov3ForUniversalSegmentation', 'EomtDinov3Config', {'intermediate_size': 96}),
}
VITS = {
    'dinov2': {'feedforward_channels': 4 * WIDTH},
    'dinov2-swiglu': {'feedforward_channels': 128, 'ffn': 'swiglu'},
    'dinov3': {
        'feedforward_channels': 96,
        'pos_embed': None,
        'rope': {'kind': 'dinov3'},
        'qkv_bias': 'qv',
        'norm_eps': 1e-5,
    },
}


def build_port(kind, blocks=2):
    transformers = pytest.importorskip('transformers')
    _, model, config, options = PORTS[kind]
    if not hasattr(transformers, model):
        pytest.skip(f'this transformers has no {model}')
    config = getattr(transformers, config)(
        hidden_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=HEADS,
        image_size=64,
        patch_size=16,
        num_blocks=blocks,
        num_queries=QUERIES,
        num_labels=CLASSES,
        num_upscale_blocks=2,
        layer_norm_eps=VITS[kind].get('norm_eps', 1e-6),
        attn_implementation='eager',
        **options,
    )
    return redraw(getattr(transformers, model)(config)).eval()


def build_ours(kind, blocks=2):
    vit = {
        'embed_dims': WIDTH,
        'num_layers': 3,
        'num_heads': HEADS,
        'img_size': 64,
        'with_cls_token': True,
        'num_registers': 4,
        'pos_embed_cls_slot': False,
        'layer_scale_init': 1.0,
        **VITS[kind],
    }
    return EoMT(vit, num_classes=CLASSES, num_queries=QUERIES, num_query_blocks=blocks)


def to_ours(weights):
    """Names of the ports, of weights or gradients, to ours."""
    rules = (
        (r'^embeddings\.(cls_token|register_tokens)$', r'vit.\1'),
        (r'^embeddings\.patch_embeddings\.(projection\.)?', 'vit.patch_embed.proj.'),
        (r'^embeddings\.position_embeddings\.weight$', 'vit.pos_embed'),
        (r'^layers\.(\d+)\.attention\.(out|o)_proj\.', r'vit.blocks.\1.attn.proj.'),
        (r'^layers\.', 'vit.blocks.'),
        (r'layer_scale([12])\.lambda1', r'ls\1.gamma'),
        (r'mlp\.(up_proj|weights_in)\.', 'mlp.fc1.'),
        (r'mlp\.(down_proj|weights_out)\.', 'mlp.fc2.'),
        (r'^layernorm\.', 'vit.norm.'),
        (r'^query\.', 'head.query_embed.'),
        (r'^class_predictor\.', 'head.cls_embed.'),
        (r'^upscale_block\.block\.', 'head.upscale.'),
        (r'layernorm2d\.', 'norm.'),
        (r'^mask_head\.fc1\.', 'head.mask_embed.0.'),
        (r'^mask_head\.fc2\.', 'head.mask_embed.2.'),
        (r'^mask_head\.fc3\.', 'head.mask_embed.4.'),
        (r'^attn_mask_probs$', 'masking.attn_mask_probs'),
    )
    ours = rename(weights, *rules)
    for name in [name for name in ours if name.endswith('attention.q_proj.weight')]:
        start = name.removesuffix('q_proj.weight')
        block = start.removesuffix('attention.')
        for part in ('weight', 'bias'):
            values = [ours.pop(f'{start}{letter}_proj.{part}', None) for letter in 'qkv']
            zero = torch.zeros_like(values[0])
            ours[f'{block}attn.qkv.{part}'] = torch.cat([zero if value is None else value for value in values])
    for name in [name for name in ours if '.mlp.gate_proj.' in name]:
        linear = name.replace('gate_proj', 'fc1')
        ours[name.replace('gate_proj', 'w12')] = torch.cat([ours.pop(name), ours.pop(linear)])
        ours[name.replace('gate_proj', 'w3')] = ours.pop(name.replace('gate_proj', 'fc2'))
    if 'vit.pos_embed' in ours:
        ours['vit.pos_embed'] = ours['vit.pos_embed'][None]
    left_out = ('embeddings.mask_token', 'criterion.', 'embeddings.position_ids', 'rope')
    return {name: value for name, value in ours.items() if not name.startswith(left_out)}


@pytest.mark.parametrize('masked', [True, False])
@pytest.mark.parametrize('kind', PORTS)
class TestAgainstTransformers:
    def compare(self, kind, masked, dtype, outputs, gradients):
        port, ours = build_port(kind).to(dtype), build_ours(kind).to(dtype)
        port.attn_mask_probs.fill_(float(masked))
        ours.load_state_dict(to_ours(port.state_dict()))
        ours.train(masked)
        images = [torch.randn(2, 3, 64, 64, dtype=dtype).requires_grad_()]
        images.append(images[0].detach().clone().requires_grad_())
        got, expected = ours(images[0]), port(pixel_values=images[1])
        pairs = [(got.classes[-1], expected.class_queries_logits), (got.masks[-1], expected.masks_queries_logits)]
        assert len(got.classes) == len(got.masks) == (3 if masked else 1)
        for what, (actual, wanted) in zip(('classes', 'masks'), pairs):
            assert_within(actual, wanted, outputs, what)
        directions = [torch.randn_like(wanted) for _, wanted in pairs]
        sum((actual * way).sum() for (actual, _), way in zip(pairs, directions)).backward()
        sum((wanted * way).sum() for (_, wanted), way in zip(pairs, directions)).backward()
        assert_within(images[0].grad, images[1].grad, gradients, 'gradient of the image')
        wanted = to_ours({name: p.grad for name, p in port.named_parameters() if p.grad is not None})
        found = {name: p.grad for name, p in ours.named_parameters()}
        assert wanted.keys() == found.keys()
        for name, gradient in wanted.items():
            assert_within(found[name], gradient, gradients, f'gradient of {name}')

    def test_float64(self, kind, masked):
        # Softmax and the angles of rotary positions are float32 in the ports.
        close = 1e-5
        self.compare(kind, masked, torch.float64, close, 10 * close)

    def test_float32(self, kind, masked):
        self.compare(kind, masked, torch.float32, OUTPUTS, GRADIENTS)


# Of models by config: parameters, and tensors of the official files without pixel_mean, pixel_std and attn_mask_probs.
TOTALS = {
    's-dinov2_panoptic_12e_coco-640': (23_975_942, 194),
    'b-dinov2_panoptic_12e_coco-640': (93_663_110, 194),
    'l-dinov2_panoptic_12e_coco-640': (316_695_686, 362),
    'l-dinov2_panoptic_12e_coco-1280': (321_610_886, 362),
    'l-dinov2_semantic_31e_ade20k-512': (316_020_887, 362),
    'l-dinov2_semantic_107e_cityscapes-1024': (319_032_340, 362),
    'g-dinov2_panoptic_12e_coco-640': (1_163_622_022, 586),
}


@pytest.mark.parametrize('name', TOTALS)
def test_size_of_a_published_model(name):
    config = Config.fromfile(ROOT / f'eomt/eomt-{name}.py')
    with torch.device('meta'):
        model = MODELS.build(config.model.backbone)
    parameters = [p.numel() for p in model.parameters()]
    assert (sum(parameters), len(parameters)) == TOTALS[name]
    assert model.vit.drop_path_rate == 0.0
    (hook,) = config.custom_hooks
    assert len(hook.starts) == len(hook.ends) == model.num_query_blocks
    assert max(hook.ends) < config.max_iters


class TestLosses:
    """Against the losses of `transformers`, with the same points: draws depend on their shape alone."""

    @pytest.fixture
    def problem(self, monkeypatch):
        numbers = torch.Generator().manual_seed(1)
        draw = torch.rand

        def rand(*shape, **_):
            shape = shape[0] if isinstance(shape[0], tuple) else shape
            return draw(*shape, generator=torch.Generator().manual_seed(sum(shape)))

        classes = [torch.randn(2, 9, CLASSES + 1, generator=numbers) for _ in range(3)]
        masks = [3 * torch.randn(2, 9, 16, 20, generator=numbers) for _ in range(3)]
        labels = [torch.tensor([1, 4, 6]), torch.tensor([0, 6])]
        maps = [torch.randint(0, 4, (64, 80), generator=numbers) for _ in range(2)]
        targets = [torch.stack([of_image == k for k in range(len(found))]) for of_image, found in zip(maps, labels)]
        monkeypatch.setattr(torch, 'rand', rand)
        return classes, masks, labels, targets

    def expected(self, problem):
        port, losses = build_port('dinov2'), {}
        port.criterion.num_points = port.criterion.matcher.num_points = 100
        classes, masks, labels, targets = problem
        for index, (of_class, of_mask) in enumerate(zip(classes, masks)):
            masks_and_labels = [target.float() for target in targets], labels
            found = port.get_loss_dict(of_mask, of_class, *masks_and_labels, auxiliary_predictions=None)
            prefix = '' if index == 2 else f'd{index}.'
            names = {'loss_cross_entropy': 'loss_cls', 'loss_mask': 'loss_mask', 'loss_dice': 'loss_dice'}
            losses |= {prefix + names[name]: value for name, value in found.items()}
        return losses

    def assert_same(self, found, problem):
        expected = self.expected(problem)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value.item(), rel=1e-4), name

    def test_of_mmdet(self, problem):
        """Things as instances, the last two classes as stuff in a map."""
        structures = pytest.importorskip('mmdet.structures')
        from mmdet.structures.mask import BitmapMasks

        classes, masks, labels, targets = problem
        head = MODELS.build(
            {
                'type': 'mmvitdense.MaskTransformerHead',
                'num_things_classes': CLASSES - 2,
                'num_stuff_classes': 2,
                'train_cfg': {'num_points': 100},
            }
        )
        samples = []
        for of_image, found in zip(targets, labels):
            thing = found < CLASSES - 2
            kept = BitmapMasks(of_image[thing].numpy().astype('uint8'), 64, 80)
            sample = structures.DetDataSample(gt_instances=InstanceData(labels=found[thing], masks=kept))
            stuff = torch.full((64, 80), 255)
            for label, mask in zip(found[~thing], of_image[~thing]):
                stuff[mask] = label
            sample.gt_sem_seg = PixelData(sem_seg=stuff[None])
            samples.append(sample)
        self.assert_same(head.loss(MaskPredictions(tuple(classes), tuple(masks), (64, 80), (64, 80)), samples), problem)

    def test_of_mmseg(self, problem):
        structures = pytest.importorskip('mmseg.structures')
        classes, masks, labels, targets = problem
        head = MODELS.build(
            {'type': 'mmvitdense.MaskTransformerSegHead', 'num_classes': CLASSES, 'train_cfg': {'num_points': 100}}
        )
        samples = []
        for of_image, found in zip(targets, labels):
            seg_map = torch.full((64, 80), 255)
            for label, mask in zip(found, of_image):
                seg_map[mask] = label
            samples.append(structures.SegDataSample(gt_sem_seg=PixelData(data=seg_map[None])))
        self.assert_same(head.loss(MaskPredictions(tuple(classes), tuple(masks), (64, 80), (64, 80)), samples), problem)


def test_the_trunk_is_loaded_as_timm_does(tmp_path):
    """Weights of patches of 14 pixels at a grid of 5 x 5, for patches of 16 at 8 x 8: kernel and positions resized."""
    timm = pytest.importorskip('timm.models.vision_transformer')
    sizes = {'embed_dim': 192, 'depth': 2, 'num_heads': 3, 'num_classes': 0, 'reg_tokens': 4, 'init_values': 1.0}
    sizes |= {'no_embed_class': True, 'norm_layer': NORM}
    source = redraw(timm.VisionTransformer(patch_size=14, img_size=70, **sizes))
    torch.save(source.state_dict(), tmp_path / 'vit.pth')
    wanted = timm.VisionTransformer(patch_size=16, img_size=128, **sizes).eval()
    wanted.load_state_dict(timm.checkpoint_filter_fn(source.state_dict(), wanted))
    init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(tmp_path / 'vit.pth'), 'patch_resize': 'pinv_antialias'}
    vit = {
        'preset': 'dinov2-reg-small',
        'patch_size': 16,
        'pretrain_img_size': 128,
        'pos_embed_cls_slot': False,
        'embed_dims': 192,
        'num_layers': 2,
        'num_heads': 3,
        'feedforward_channels': 768,
        'init_cfg': {**init_cfg, 'allow': ['preset']},
    }
    model = EoMT(vit, 3, num_query_blocks=1).eval()
    model.init_weights()
    image = torch.randn(2, 3, 128, 128)
    tokens, grid = model.vit.embed(image)
    with torch.no_grad():
        tokens = model.vit.norm(model.vit.run_blocks(tokens, grid))
        assert_within(tokens, wanted.forward_features(image), OUTPUTS, 'tokens')


@pytest.mark.parametrize('kind', PORTS)
def test_files_of_the_ports(kind):
    """What the format makes of them is what agrees with the ports above; its options build the model."""
    port = build_port(kind)
    converted = own_names(convert(port.state_dict()))
    expected = to_ours(port.state_dict())
    assert converted.keys() == expected.keys()
    for name, value in converted.items():
        assert torch.equal(value, expected[name]), name
    described = describe(detect(port.state_dict()), port.state_dict(), {'num_heads': HEADS})
    EoMT(**described.options).load_state_dict(converted)
    assert described.options['num_query_blocks'] == 2
