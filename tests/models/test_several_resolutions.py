"""Detectors and segmentors that are trained at several resolutions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData

from mmvitdense.models.tuning.several_resolutions import scale_consistency
from tests.configs.test_configs import ROOT


def test_consistency_by_its_definition():
    """A loop over the cells of an oblong map; nothing flows into the larger map."""
    torch.manual_seed(0)
    maps = torch.randn(2, 6, 2, 3, requires_grad=True)
    larger = torch.randn(2, 6, 4, 6, requires_grad=True)
    expected = 0
    for row in range(2):
        for column in range(3):
            target = larger[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((2, 3))
            target = (target - target.mean(1, keepdim=True)) / (target.var(1, correction=0, keepdim=True) + 1e-6).sqrt()
            off = (maps[:, :, row, column] - target).abs()
            expected += torch.where(off < 1, off**2 / 2, off - 0.5).sum() / maps.numel()
    loss = scale_consistency(maps, larger)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert larger.grad is None
    assert maps.grad.abs().sum() > 0


SEGMENTOR = 'resformer/vit-tiny_upernet_multi-resolution_shapes.py'


def model_config(name, changes):
    config = Config.fromfile(ROOT / name)
    blocks = {'num_layers': 1, 'init_cfg': None, 'window_size': 0, 'global_blocks': None}
    config.merge_from_dict({f'model.backbone.{key}': value for key, value in blocks.items()})
    config.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    return config.model


def segmentor(**changes):
    from mmseg.structures import SegDataSample

    config = model_config(SEGMENTOR, changes)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(config)
    model.init_weights()
    labels = torch.arange(48 * 64).reshape(1, 48, 64) % 6
    sample = SegDataSample(metainfo={'img_shape': (48, 64), 'ori_shape': (48, 64)}, gt_sem_seg=PixelData(data=labels))
    return model, torch.randn(2, 3, 48, 64), [sample, sample.clone()]


def test_segmentor():
    """Sizes in whole patches, targets of their size, shares of the losses, and the samples as they were."""
    pytest.importorskip('mmseg')
    model, images, samples = segmentor()
    seen, sizes = [], []
    model.backbone.register_forward_pre_hook(lambda module, inputs: sizes.append(tuple(inputs[0].shape[-2:])))
    head = model.decode_head.loss
    model.decode_head.loss = lambda maps, given, cfg: (seen.append(given[0].gt_sem_seg.data), head(maps, given, cfg))[1]
    losses = model.loss(images, samples)
    assert sizes == [(48, 64), (40, 48), (24, 32)]
    assert [tuple(labels.shape) for labels in seen] == [(1, *size) for size in sizes]
    assert torch.equal(
        seen[2], F.interpolate(samples[0].gt_sem_seg.data[None].float(), (24, 32), mode='nearest-exact')[0]
    )
    assert samples[0].gt_sem_seg.data.shape == (1, 48, 64)
    assert {name.split('.')[-1] for name in losses} == {'loss_ce', 'acc_seg', 'loss_consistency'}
    assert 'x1.loss_consistency' not in losses
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(p.grad is not None for p in model.backbone.parameters() if p.requires_grad)


def test_one_resolution_is_the_model_itself():
    """With the same names of parameters."""
    pytest.importorskip('mmseg')
    model, images, samples = segmentor(resolutions=(1.0,))
    config = model_config(SEGMENTOR, {'type': 'mmvitdense.WindowedEncoderDecoder'})
    del config['resolutions'], config['consistency']
    with DefaultScope.overwrite_default_scope('mmseg'):
        plain = MODELS.build(config)
    plain.load_state_dict(model.state_dict())
    model.decode_head.dropout = model.auxiliary_head.dropout = plain.decode_head.dropout = None
    plain.auxiliary_head.dropout = None
    found, expected = model.loss(images, samples), plain.loss(images, samples)
    assert {name.removeprefix('x1.') for name in found} == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[f'x1.{name}'], value)


def test_detector():
    """Boxes and masks follow the batch; each loss is there at each resolution."""
    pytest.importorskip('mmdet')
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    changes = {'type': 'mmvitdense.MultiResolutionTwoStageDetector', 'resolutions': (1.0, 0.5)}
    config = model_config('quickstart/vitdet-tiny_mask-rcnn_shapes.py', changes)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config)
    masks = np.zeros((1, 128, 128), np.uint8)
    masks[0, 8:40, 16:80] = 1
    objects = InstanceData(
        bboxes=torch.tensor([[16.0, 8.0, 80.0, 40.0]]),
        labels=torch.tensor([1]),
        masks=BitmapMasks(masks, 128, 128),
    )
    metas = {'img_shape': (100, 128), 'ori_shape': (100, 128), 'batch_input_shape': (128, 128), 'pad_shape': (128, 128)}
    sample = DetDataSample(metainfo=metas, gt_instances=objects)
    (half,) = model.resized([sample], (128, 128), (64, 64))
    assert half.gt_instances.bboxes.tolist() == [[8.0, 4.0, 40.0, 20.0]]
    assert half.gt_instances.masks.masks[0, 4:20, 8:40].all()
    assert half.gt_instances.masks.masks.sum() == 16 * 32
    assert (half.img_shape, half.batch_input_shape) == ((50, 64), (64, 64))
    assert objects.bboxes.tolist() == [[16.0, 8.0, 80.0, 40.0]]
    losses = model.loss(torch.randn(1, 3, 128, 128), [sample])
    names = {name.split('.', 1)[1] for name in losses if name.startswith('x1.')}
    assert {name.removeprefix('x0.5.') for name in losses if name.startswith('x0.5.')} == names | {'loss_consistency'}
    assert {'loss_rpn_cls', 'loss_mask'} <= names


@pytest.mark.parametrize(
    'changes', [{'resolutions': (0.5, 1.0)}, {'resolutions': ()}, {'resolutions': (1, 0)}, {'consistency': -1.0}]
)
def test_options_that_mean_nothing(changes):
    pytest.importorskip('mmseg')
    with pytest.raises(ValueError, match='resolutions must be|consistency must be'):
        segmentor(**changes)
