"""A whole Mask R-CNN or Cascade Mask R-CNN of detectron2 becomes our mmdet model, name by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmvitdense.apis.library_export import export_to
from mmvitdense.checkpoints import CheckpointError, convert, detect
from mmvitdense.checkpoints.formats.detectron2_vitdet import FORMAT as DETECTRON2_VITDET
from mmvitdense.checkpoints.formats.parts.detectron2_heads import rename_heads
from mmvitdense.checkpoints.targets.detectron2.heads import around_names

ROOT = Path(__file__).parents[2]
# (embed_dims, blocks, heads, global blocks, entries of the official files of Mask R-CNN and of the cascade)
SIZES = {
    'b': (768, 12, 12, (2, 5, 8, 11), 245, 281),
    'l': (1024, 24, 16, (5, 11, 17, 23), 413, 449),
    'h': (1280, 32, 16, (7, 15, 23, 31), 525, 561),
}


def official_shapes(size, cascade=False, lvis=False):
    """Names and shapes of detectron2's detectors, written down from their modules."""
    width, depth, heads, global_blocks, *_ = SIZES[size]
    num_classes = 1203 if lvis else 80
    shapes = {'backbone.net.pos_embed': (1, 197, width)}

    def layer(name, *shape, bias=True):
        shapes[f'{name}.weight'] = shape
        if bias:
            shapes[f'{name}.bias'] = (shape[0],)

    def normed(name, *shape):
        layer(name, *shape, bias=False)
        layer(f'{name}.norm', shape[0])

    layer('backbone.net.patch_embed.proj', width, 3, 16, 16)
    for i in range(depth):
        block = f'backbone.net.blocks.{i}'
        for norm in ('norm1', 'norm2'):
            layer(f'{block}.{norm}', width)
        for axis in 'hw':
            shapes[f'{block}.attn.rel_pos_{axis}'] = (127 if i in global_blocks else 27, width // heads)
        layer(f'{block}.attn.qkv', 3 * width, width)
        layer(f'{block}.attn.proj', width, width)
        layer(f'{block}.mlp.fc1', 4 * width, width)
        layer(f'{block}.mlp.fc2', width, 4 * width)
    for name, (outer, inner) in {'2.0': (width, width // 2), '2.3': (width // 2, width // 4)}.items():
        shapes[f'backbone.simfp_{name}.weight'] = (outer, inner, 2, 2)
        shapes[f'backbone.simfp_{name}.bias'] = (inner,)
    layer('backbone.simfp_2.1', width // 2)
    shapes['backbone.simfp_3.0.weight'] = (width, width // 2, 2, 2)
    shapes['backbone.simfp_3.0.bias'] = (width // 2,)
    for level, first, inner in ((2, 4, width // 4), (3, 1, width // 2), (4, 0, width), (5, 1, width)):
        normed(f'backbone.simfp_{level}.{first}', 256, inner, 1, 1)
        normed(f'backbone.simfp_{level}.{first + 1}', 256, 256, 3, 3)
    for i in range(2):
        layer(f'proposal_generator.rpn_head.conv.conv{i}', 256, 256, 3, 3)
    layer('proposal_generator.rpn_head.objectness_logits', 3, 256, 1, 1)
    layer('proposal_generator.rpn_head.anchor_deltas', 12, 256, 1, 1)
    for i in range(1, 5):
        normed(f'roi_heads.mask_head.mask_fcn{i}', 256, 256, 3, 3)
    for stage in ('0.', '1.', '2.') if cascade else ('',):
        for i in range(1, 5):
            normed(f'roi_heads.box_head.{stage}conv{i}', 256, 256, 3, 3)
        layer(f'roi_heads.box_head.{stage}fc1', 1024, 12544)
        layer(f'roi_heads.box_predictor.{stage}cls_score', num_classes + 1, 1024)
        layer(f'roi_heads.box_predictor.{stage}bbox_pred', 4 if cascade else 4 * num_classes, 1024)
        if lvis:
            shapes[f'roi_heads.box_predictor.{stage}fed_loss_cls_weights'] = (num_classes,)
    shapes['roi_heads.mask_head.deconv.weight'] = (256, 256, 2, 2)
    shapes['roi_heads.mask_head.deconv.bias'] = (256,)
    layer('roi_heads.mask_head.predictor', num_classes, 256, 1, 1)
    return shapes


@pytest.mark.parametrize('size', list(SIZES))
@pytest.mark.parametrize('cascade', [False, True], ids=['mask-rcnn', 'cascade'])
@pytest.mark.parametrize('dataset', ['coco', 'lvis-v1'])
def test_every_name_of_the_detector(size, cascade, dataset):
    """None left over, none missing, every shape equal; settings that are no weights are dropped."""
    pytest.importorskip('mmdet')
    shapes = official_shapes(size, cascade, lvis=dataset == 'lvis-v1')
    assert len(shapes) == SIZES[size][5 if cascade else 4] + (3 if cascade else 1) * (dataset == 'lvis-v1')
    kind = 'cascade-mask-rcnn' if cascade else 'mask-rcnn'
    (path,) = (ROOT / 'configs' / 'vitdet').glob(f'vitdet-{size}-mae_{kind}_*_{dataset}.py')
    config = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        expected = {name: tuple(tensor.shape) for name, tensor in MODELS.build(config.model).state_dict().items()}
    weights = {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}
    settings = {
        'pixel_mean': torch.zeros(3, 1, 1),
        'pixel_std': torch.ones(3, 1, 1),
        'proposal_generator.anchor_generator.cell_anchors.0': torch.zeros(3, 4),
    }
    official = {**weights, **settings}
    assert detect(official) is DETECTRON2_VITDET
    converted = convert(official)
    assert {name: tuple(tensor.shape) for name, tensor in converted.items()} == expected
    vit = {name: value for name, value in config.model.backbone.items() if name != 'type'}
    back = export_to('detectron2', converted, vit, 'a file', {}).write(converted)
    assert {name: tuple(x.shape) for name, x in back.items()} == {
        n: x for n, x in shapes.items() if 'fed_loss' not in n
    }


@pytest.mark.parametrize('cascade', [False, True], ids=['mask-rcnn', 'cascade'])
def test_every_tensor_comes_back(cascade):
    """Numbers under detectron2's names, to ours and to detectron2's again."""
    official = {name: torch.tensor([float(i)]) for i, name in enumerate(official_shapes('b', cascade))}
    official['roi_heads.mask_head.predictor.bias'] = torch.zeros(80)
    converted = convert(official)
    around = {name: x for name, x in converted.items() if not name.startswith('backbone.')}
    back = around_names(around, patch_size=16)
    expected = {name: x for name, x in official.items() if not name.startswith('backbone.net.')}
    assert back.keys() == expected.keys()
    assert all(torch.equal(back[name], x) for name, x in expected.items())


def test_its_vit_alone():
    """As `--to detectron2` writes it of a `PlainViT`."""
    weights = {
        n: torch.zeros(x, device='meta') for n, x in official_shapes('b').items() if n.startswith('backbone.net')
    }
    assert detect(weights) is DETECTRON2_VITDET
    assert convert(weights).keys() == {name.replace('.net', '') for name in weights}


def test_what_detectron2_does_not_have():
    with pytest.raises(CheckpointError, match='detectron2 has no neck.extra.0.0.weight in its ViTDet'):
        around_names({'neck.extra.0.0.weight': torch.zeros(1)}, patch_size=16)


def test_stages_keep_their_places():
    official = {name: torch.tensor(float(i)) for i, name in enumerate(official_shapes('b', cascade=True))}
    converted = convert(official)
    for ours, theirs in {
        'roi_head.bbox_head.0.shared_convs.0.conv.weight': 'roi_heads.box_head.0.conv1.weight',
        'roi_head.bbox_head.1.shared_convs.3.ln.bias': 'roi_heads.box_head.1.conv4.norm.bias',
        'roi_head.bbox_head.2.shared_fcs.0.weight': 'roi_heads.box_head.2.fc1.weight',
        'roi_head.bbox_head.1.fc_cls.weight': 'roi_heads.box_predictor.1.cls_score.weight',
        'roi_head.bbox_head.2.fc_reg.bias': 'roi_heads.box_predictor.2.bbox_pred.bias',
    }.items():
        assert converted[ours] is official[theirs]


@pytest.mark.parametrize('stage', ['', '1.'])
def test_the_unused_row_of_a_federated_classifier_is_dropped(stage):
    """It is the last one, of the background; without frequencies of classes the row of the background is used."""
    predictor = f'roi_heads.box_predictor.{stage}'
    official = {f'{predictor}cls_score.weight': torch.rand(6, 2), f'{predictor}cls_score.bias': torch.rand(6)}
    for name, tensor in rename_heads({**official, f'{predictor}fed_loss_cls_weights': torch.ones(5)}).items():
        assert tensor.equal(official[f'{predictor}cls_score.{name.split(".")[-1]}'][:5])
    assert {len(tensor) for tensor in rename_heads(official).values()} == {6}


def test_equal_shapes_keep_their_places():
    """The order of equal layers cannot be read off shapes: the numbers of the names can."""
    official = {name: torch.tensor(float(i)) for i, name in enumerate(official_shapes('b'))}
    converted = convert(official)
    for ours, theirs in {
        'rpn_head.rpn_conv.1.conv.bias': 'proposal_generator.rpn_head.conv.conv1.bias',
        'roi_head.bbox_head.shared_convs.0.conv.weight': 'roi_heads.box_head.conv1.weight',
        'roi_head.bbox_head.shared_convs.3.ln.bias': 'roi_heads.box_head.conv4.norm.bias',
        'roi_head.bbox_head.shared_fcs.0.weight': 'roi_heads.box_head.fc1.weight',
        'roi_head.bbox_head.fc_cls.bias': 'roi_heads.box_predictor.cls_score.bias',
        'roi_head.bbox_head.fc_reg.bias': 'roi_heads.box_predictor.bbox_pred.bias',
        'roi_head.mask_head.convs.2.conv.weight': 'roi_heads.mask_head.mask_fcn3.weight',
        'roi_head.mask_head.convs.0.ln.weight': 'roi_heads.mask_head.mask_fcn1.norm.weight',
        'roi_head.mask_head.upsample.weight': 'roi_heads.mask_head.deconv.weight',
        'roi_head.mask_head.conv_logits.weight': 'roi_heads.mask_head.predictor.weight',
    }.items():
        assert converted[ours] is official[theirs]


def test_an_unknown_name_stays_to_be_told():
    official = {name: torch.zeros(1) for name in official_shapes('b')}
    official['roi_heads.keypoint_head.score.weight'] = torch.zeros(1)
    assert 'roi_heads.keypoint_head.score.weight' in convert(official)


@pytest.mark.parametrize('golden', ['vitdet_window', 'vitdet_convprop'])
def test_options_of_the_golden_files(golden):
    with np.load(ROOT / 'tests' / 'golden' / f'{golden}.npz') as file:
        weights = {name[3:]: torch.from_numpy(file[name]) for name in file.files if name.startswith('sd/')}
    options = DETECTRON2_VITDET.options({f'backbone.{name}': tensor for name, tensor in weights.items()})
    assert options['rel_pos'] == 'decomposed'
    assert options['patch_size'] == weights['net.patch_embed.proj.weight'].shape[-1]
    assert options['embed_dims'] == options['num_heads'] * weights['net.blocks.0.attn.rel_pos_h'].shape[1]
    assert ('conv_blocks' in options) == (golden == 'vitdet_convprop')
