"""A Mask2Former of mmdet computes with our op what it computes with mmcv's own Python path; how often its layers, and
those of a DINO, read the sizes of the levels, which mmdet gives as a tensor."""

import copy

import pytest
import torch

pytest.importorskip('mmdet')

from mmcv.ops import MultiScaleDeformableAttention
from mmcv_python_path import mmcv_itself
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData


@pytest.fixture(scope='module')
def model():
    register_all_modules(init_default_scope=True)
    base = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'
    config = Config.fromstring(f'_base_ = {base!r}', '.py').model
    config.backbone.update(depth=18, init_cfg=None)
    head = config.panoptic_head
    head.update(in_channels=[64, 128, 256, 512], num_queries=12)
    head.pixel_decoder.encoder.num_layers = 2
    head.transformer_decoder.num_layers = 2
    config.train_cfg.num_points = 400
    model = MODELS.build(config)
    model.init_weights()
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if 'sampling_offsets' in name or 'attention_weights' in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def batch(size: int) -> tuple[torch.Tensor, list]:
    masks = torch.zeros(2, size, size, dtype=torch.uint8)
    masks[0, 8:30, 8:40] = 1
    masks[1, 30:60, 20:50] = 1
    samples = []
    for _ in range(2):
        instances = InstanceData(
            labels=torch.tensor([1, 7]),
            bboxes=torch.tensor([[8.0, 8, 40, 30], [20, 30, 50, 60]]),
            masks=BitmapMasks(masks.numpy(), size, size),
        )
        shape = {'img_shape': (size, size), 'batch_input_shape': (size, size), 'pad_shape': (size, size)}
        sample = DetDataSample(gt_instances=instances, metainfo={**shape, 'ori_shape': (size, size)})
        samples.append(sample)
    return torch.randn(2, 3, size, size), samples


def step(model, images, samples) -> tuple[dict, dict]:
    """Losses and gradients by name; the points that losses look at are the same each time."""
    model.zero_grad()
    torch.manual_seed(1)
    losses = model.loss(images, samples)
    sum(losses.values()).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {name: loss.item() for name, loss in losses.items()}, gradients


def test_losses_and_gradients(model):
    images, samples = batch(64)
    losses, _ = step(model, images, samples)
    # In float64: where a sample lies on the edge of two pixels, rounding decides what its gradient is.
    wide, images_in_float64 = copy.deepcopy(model).double(), images.double()
    _, gradients = step(wide, images_in_float64, samples)
    assert MultiScaleDeformableAttention.forward.__module__.startswith('mmvitdense')
    with mmcv_itself():
        assert not MultiScaleDeformableAttention.forward.__module__.startswith('mmvitdense')
        expected_losses, _ = step(model, images, samples)
        _, expected = step(wide, images_in_float64, samples)
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    assert gradients.keys() == expected.keys()
    assert any('sampling_offsets' in name for name in expected)
    for name, gradient in expected.items():
        error = (gradients[name] - gradient).norm() / gradient.norm().clamp(min=1e-6)
        assert error < 1e-9, (name, error)


def reads_of_sizes(monkeypatch, function) -> int:
    """How often our op asks for the numbers of a tensor of sizes: each time, a GPU has to have done all before."""
    reads = []

    def tolist(tensor):
        if tensor.dim() == 2 and tensor.size(1) == 2 and not tensor.is_floating_point():
            reads.append(tensor)
        return own(tensor)

    own = torch.Tensor.tolist
    with torch.no_grad(), monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, 'tolist', tolist)
        function()
    return len(reads)


def test_sizes_are_read_once_a_forward(model, monkeypatch):
    """By both layers of the pixel decoder; and by all four of encoder and decoder."""
    maps = model.extract_feat(torch.randn(1, 3, 64, 64))
    assert reads_of_sizes(monkeypatch, lambda: model.panoptic_head.pixel_decoder(maps)) == 1
    config = Config.fromstring("_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'", '.py').model
    config.backbone.update(depth=18, init_cfg=None)
    config.neck.in_channels = [128, 256, 512]
    config.update(num_queries=8)
    config.encoder.num_layers = config.decoder.num_layers = 2
    dino = MODELS.build(config).eval()
    layers = [layer for layer in dino.modules() if isinstance(layer, MultiScaleDeformableAttention)]
    assert len(layers) == 4
    images, samples = batch(64)
    for _ in range(2):
        assert reads_of_sizes(monkeypatch, lambda: dino._forward(images, samples)) == 1
