"""Heads whose memory comes after their construction."""

from pathlib import Path

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvitdense.models.detection import FederatedLoss
from mmvitdense.registry import MODELS

CONFIGS = Path(__file__).parents[3] / 'configs/vitdet'


@pytest.mark.parametrize('part', ['roi_head', 'mask_head'])
def test_box_and_mask_heads(part):
    """All that one seed draws in a usual construction and `init_weights`."""
    model = Config.fromfile(CONFIGS / 'vitdet-b-mae_cascade-mask-rcnn_lsj-100e_coco.py').model
    options = {**model.roi_head, 'train_cfg': model.train_cfg.rcnn, 'test_cfg': model.test_cfg.rcnn}
    _narrow(options)
    options = options if part == 'roi_head' else options['mask_head']
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.manual_seed(2)
        usual = MODELS.build(options)
        drawn = {name: tensor.clone() for name, tensor in usual.state_dict().items()}
        usual.init_weights()
        with torch.device('meta'):
            head = MODELS.build(options)
    head.to_empty(device='cpu')
    for tensor in (*head.parameters(), *head.buffers()):
        tensor.data.fill_(torch.nan)
    torch.manual_seed(2)
    head.init_weights()
    for name, tensor in head.state_dict().items():
        assert torch.equal(tensor, usual.state_dict()[name]), name
        assert name.endswith('bias') or drawn[name].any(), name
    mask_head = head if part == 'mask_head' else head.mask_head
    assert 0.0005 < mask_head.conv_logits.weight.std() < 0.002
    for conv in (m for m in head.modules() if isinstance(m, ConvModule)):
        bound = (2 / conv.conv.weight[0].numel()) ** 0.5
        assert 0.5 * bound < conv.conv.weight.std() < 2 * bound


def _narrow(options):
    """Eight channels wherever a head names their number."""
    for name, value in options.items():
        if name.endswith('_channels'):
            options[name] = 8
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                _narrow(part)


def test_counts_of_classes_have_values_on_any_device():
    """They are no weights, so that nothing would give them any later."""
    with torch.device('meta'):
        loss = FederatedLoss(class_counts=[4, 9, 16])
    assert loss.class_weights.tolist() == [2.0, 3.0, 4.0]
