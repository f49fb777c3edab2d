"""Files of kMaX-DeepLab's official code: a whole model on a ResNet-50, and what is refused."""

import re

import pytest
import torch
from mmengine.config import ConfigDict

from mmvitdense.apis.convert import convert_file
from mmvitdense.apis.official_weights import official_weights
from mmvitdense.checkpoints import CheckpointError, detect
from mmvitdense.registry import MODELS
from tests.fidelity.agreement import redraw
from tests.fidelity.golden import read_golden

pytest.importorskip('mmdet')


def detector(**classes):
    kwargs = read_golden('kmax')['meta']['kwargs']
    num_things, num_stuff = classes.values()
    neck = {'type': 'mmvitdense.KMaX', **kwargs, 'in_channels': [8, 16, 32, 64], 'num_classes': num_things + num_stuff}
    counts = {'num_things_classes': num_things, 'num_stuff_classes': num_stuff}
    config = ConfigDict(
        {
            'type': 'mmdet.MaskFormer',
            'backbone': {'type': 'mmdet.ResNet', 'depth': 18, 'base_channels': 8},
            'neck': [neck],
            'panoptic_head': {'type': 'mmvitdense.KMaXHead', **counts},
            'panoptic_fusion_head': {'type': 'mmvitdense.KMaXFusionHead', **counts},
        }
    )
    return MODELS.build(config)


OF_RESNET = (
    (r'^backbone\.(bn1)\.', 'backbone.stem.conv1.norm.'),
    (r'^backbone\.conv1\.', 'backbone.stem.conv1.'),
    (r'^backbone\.layer(\d)\.', lambda match: f'backbone.res{int(match[1]) + 1}.'),
    (r'\.bn(\d)\.', r'.conv\1.norm.'),
    (r'\.downsample\.0\.', '.shortcut.'),
    (r'\.downsample\.1\.', '.shortcut.norm.'),
)


def official_file(model):
    """The names of the golden file, which are the official ones, with the weights of a model."""
    golden = read_golden('kmax')
    names, form = list(golden['sd']), detect(official(golden['sd']))
    places = {name: torch.tensor(float(number)) for number, name in enumerate(names)}
    ours = form.convert(official(places))
    own, weights = model.state_dict(), {}
    for new, place in ours.items():
        old, weight = names[int(place)], own[new]
        weights[f'sem_seg_head.{old}'] = weight[..., 0] if golden['sd'][old].ndim == 3 else weight
    for name, weight in own.items():
        if name.startswith('backbone.'):
            for pattern, new in OF_RESNET:
                name = re.sub(pattern, new, name)
            weights[name] = weight
    return {**weights, 'criterion.empty_weight': torch.ones(1)}


def official(weights):
    return {f'sem_seg_head.{name}': x for name, x in weights.items()}


def test_whole_model(tmp_path):
    """Converted by the tool or as it is loaded, a file has every weight of the model."""
    model = redraw(detector(things=3, stuff=2))
    expected = {name: x for name, x in model.state_dict().items() if 'num_batches' not in name}
    torch.save({'model': official_file(model)}, tmp_path / 'kmax_r50.pth')
    converted = convert_file(tmp_path / 'kmax_r50.pth').weights
    loaded = official_weights(model, official_file(model), 'kmax_r50.pth')
    assert loaded.form.name == 'kMaX-DeepLab'
    for found in (converted, loaded.weights):
        assert {name for name in found if 'num_batches' not in name} == expected.keys()
        assert all(torch.equal(found[name], weight) for name, weight in expected.items())


def test_classes_of_ade20k():
    """In official files they are numbered as in the data, in panoptic models of mmdet things come first."""
    model = detector(things=100, stuff=50)
    weights = official_file(model)
    bias = {name: x for name, x in weights.items() if name.endswith(('class_head.conv.bias', 'final_conv.conv.bias'))}
    assert len(bias) == 5
    for name in bias:
        weights[name] = torch.arange(151.0)
    found = official_weights(model, weights, 'kmax_r50.pth').weights
    for name in [name for name in found if name.endswith('cls_embed.bias')]:
        # A bed, number 7, is the first thing, wall the first stuff class.
        assert found[name][[0, 100, 150]].tolist() == [7, 0, 150], name


def test_its_options_are_not_of_a_vit():
    weights = official_file(detector(things=3, stuff=2))
    with pytest.raises(CheckpointError, match='a kMaX-DeepLab of 5 classes whose backbone is no ViT: build its model'):
        detect(weights).options(weights)
