import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

pytest.importorskip('mmdet')

from mmdet.models.layers import MLP
from mmdet.models.layers.transformer import coordinate_to_encoding

from mmvitdense.models.detection.dino import ReferencePointHead


def published(boxes, channels):
    """The released code: y, x, width, height; of each sine and cosine in turn, by 10000^(2 k / F), F = channels / 2."""
    width = channels // 2
    powers = 10000 ** (2 * torch.arange(width // 2, dtype=torch.float64) / width)
    angles = 2 * math.pi * boxes.double()[..., [1, 0, 2, 3], None] / powers
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-3).float()


@pytest.mark.parametrize('channels', [256, 64])
@pytest.mark.parametrize('given', [128, 256])
def test_the_published_layer_whatever_mmdet_hands_in(channels, given):
    """mmdet 3.3.0 hands in 4 x 128 numbers, onedl-mmdetection 4 x channels."""
    head, plain = ReferencePointHead(channels), MLP(2 * channels, channels, channels, 2)
    plain.load_state_dict(head.state_dict())
    boxes = torch.rand(2, 5, 4)
    expected = plain(published(boxes, channels))
    torch.testing.assert_close(head(coordinate_to_encoding(boxes, num_feats=given)), expected, rtol=1e-4, atol=1e-5)


def test_a_width_that_does_not_fit():
    with pytest.raises(ValueError, match='decoder of 96 channels got boxes encoded in 512 numbers .* divides 256'):
        ReferencePointHead(96)(torch.zeros(1, 1, 512))


def test_two_models_of_one_config():
    """mmdet writes into the config of the head, and refuses what it has written."""
    config = Config.fromfile(Path(__file__).parents[3] / 'configs/co_detr/vitdet-tiny_co-dino_shapes.py')
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmdet'):
        first, second = (MODELS.build(config.model).state_dict() for _ in range(2))
    assert first.keys() == second.keys()
