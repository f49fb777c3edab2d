"""A whole "Benchmarking" detector of MIMDet becomes our mmdet model; what reads it, and what it is loaded into."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_checkpoint

from mmvitdense.apis.convert import convert_file
from mmvitdense.apis.weight_files import write_checkpoint
from mmvitdense.checkpoints import CheckpointError, convert, detect, initializer
from mmvitdense.checkpoints.formats.benchmarking_vitdet import FORMAT as BENCHMARKING_VITDET
from mmvitdense.models import PlainViT

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'detection_transfer' / 'benchmarking-window16-b-mae_mask-rcnn_lsj-100e_coco.py'
GOLDEN = ROOT / 'tests' / 'golden' / 'mimdet_benchmarking.npz'
BODY = 'backbone.bottom_up.'


def official_shapes():
    """Names and shapes of MIMDet's files, written down from its modules and detectron2's."""
    shapes = {f'{BODY}pos_embed': (1, 4096, 768)}

    def layer(name, *shape, bias=True):
        shapes[f'{name}.weight'] = shape
        if bias:
            shapes[f'{name}.bias'] = (shape[0],)

    def enlarging(name):
        layer(name, 768, 768, 2, 2)

    def normed(name, *shape):
        layer(name, *shape, bias=False)
        layer(f'{name}.norm', shape[0])
        for statistic in ('running_mean', 'running_var'):
            shapes[f'{name}.norm.{statistic}'] = (shape[0],)
        shapes[f'{name}.norm.num_batches_tracked'] = ()

    layer(f'{BODY}patch_embed.proj', 768, 3, 16, 16)
    for i in range(12):
        block = f'{BODY}blocks.{i}'
        for norm in ('norm1', 'norm2'):
            layer(f'{block}.{norm}', 768)
        layer(f'{block}.attn.qkv', 2304, 768)
        layer(f'{block}.attn.proj', 768, 768)
        layer(f'{block}.mlp.fc1', 3072, 768)
        layer(f'{block}.mlp.fc2', 768, 3072)
    enlarging(f'{BODY}ms_adaptor.0.0')
    layer(f'{BODY}ms_adaptor.0.1', 768)
    enlarging(f'{BODY}ms_adaptor.0.3')
    enlarging(f'{BODY}ms_adaptor.1')
    for kind, side in (('windowed', 16), ('global', 64)):
        shapes[f'{BODY}{kind}_rel_pos_bias.relative_position_bias_table'] = ((2 * side - 1) ** 2, 12)
        shapes[f'{BODY}{kind}_rel_pos_bias.relative_position_index'] = (side**2, side**2)
    for level in range(2, 6):
        normed(f'backbone.fpn_lateral{level}', 256, 768, 1, 1)
        normed(f'backbone.fpn_output{level}', 256, 256, 3, 3)
    for i in range(2):
        layer(f'proposal_generator.rpn_head.conv.conv{i}', 256, 256, 3, 3)
    layer('proposal_generator.rpn_head.objectness_logits', 3, 256, 1, 1)
    layer('proposal_generator.rpn_head.anchor_deltas', 12, 256, 1, 1)
    for i in range(1, 5):
        normed(f'roi_heads.box_head.conv{i}', 256, 256, 3, 3)
        normed(f'roi_heads.mask_head.mask_fcn{i}', 256, 256, 3, 3)
    layer('roi_heads.box_head.fc1', 1024, 12544)
    layer('roi_heads.box_predictor.cls_score', 81, 1024)
    layer('roi_heads.box_predictor.bbox_pred', 320, 1024)
    shapes['roi_heads.mask_head.deconv.weight'] = (256, 256, 2, 2)
    shapes['roi_heads.mask_head.deconv.bias'] = (256,)
    layer('roi_heads.mask_head.predictor', 80, 256, 1, 1)
    return shapes


def build_detector():
    config = Config.fromfile(CONFIG)
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        return MODELS.build(config.model)


def read_golden():
    with np.load(GOLDEN) as file:
        return {name[3:]: torch.from_numpy(file[name]) for name in file.files if name.startswith('sd/')}


def test_every_name_of_the_detector():
    """None left over, none missing, every shape equal; indices and settings are dropped."""
    pytest.importorskip('mmdet')
    expected = {name: tuple(tensor.shape) for name, tensor in build_detector().state_dict().items()}
    official = {name: torch.empty(shape, device='meta') for name, shape in official_shapes().items()}
    official['pixel_mean'] = torch.zeros(3, 1, 1)
    assert detect(official) is BENCHMARKING_VITDET
    assert {name: tuple(tensor.shape) for name, tensor in convert(official).items()} == expected


def test_equal_shapes_keep_their_places():
    """The order of equal layers cannot be read off shapes: the numbers of the names can."""
    official = {name: torch.full((1, 1), i) for i, name in enumerate(official_shapes())}
    for end, shape in (('patch_embed.proj.weight', (1, 1, 1, 1)), ('pos_embed', (1, 1, 1))):
        name = next(name for name in official if name.endswith(end))
        official[name] = official[name].view(shape)
    official[f'{BODY}windowed_rel_pos_bias.relative_position_bias_table'] = torch.zeros(961, 12)
    converted = convert(official)
    for ours, theirs in {
        'backbone.blocks.3.mlp.fc1.bias': f'{BODY}blocks.3.mlp.fc1.bias',
        'backbone.rel_pos_bias.relative_position_bias_table': f'{BODY}global_rel_pos_bias.relative_position_bias_table',
        'neck.0.resample.0.0.weight': f'{BODY}ms_adaptor.0.0.weight',
        'neck.0.resample.0.3.weight': f'{BODY}ms_adaptor.0.3.weight',
        'neck.0.resample.1.weight': f'{BODY}ms_adaptor.1.weight',
        'neck.1.lateral_convs.0.conv.weight': 'backbone.fpn_lateral2.weight',
        'neck.1.lateral_convs.3.bn.running_mean': 'backbone.fpn_lateral5.norm.running_mean',
        'neck.1.fpn_convs.1.bn.weight': 'backbone.fpn_output3.norm.weight',
        'neck.1.fpn_convs.2.conv.weight': 'backbone.fpn_output4.weight',
        'roi_head.bbox_head.shared_convs.3.bn.running_var': 'roi_heads.box_head.conv4.norm.running_var',
        'roi_head.mask_head.convs.0.bn.bias': 'roi_heads.mask_head.mask_fcn1.norm.bias',
    }.items():
        assert converted[ours] is official[theirs], ours


def test_an_unknown_name_stays_to_be_told():
    official = {**read_golden(), 'extra.weight': torch.zeros(1)}
    assert 'backbone.extra.weight' in convert(official)


@pytest.mark.parametrize('prefix', ['', BODY], ids=['backbone', 'detector'])
def test_the_tool_tells_the_options(tmp_path, prefix):
    golden = {f'{prefix}{name}': tensor for name, tensor in read_golden().items()}
    torch.save({'model': golden}, tmp_path / 'official.pth')
    conversion = convert_file(tmp_path / 'official.pth')
    assert conversion.whole_model
    assert not conversion.unused
    assert not conversion.notes
    told = conversion.options
    assert (told['window_size'], told['rel_pos'], told['rel_pos_at']) == (2, 'bias_shared', 'window')
    assert (told['num_heads'], told['out_indices'], told['pretrain_img_size']) == (4, (1, 3, 5, 7), (96, 128))


def test_options_of_the_released_size():
    official = {name: torch.empty(shape, device='meta') for name, shape in official_shapes().items()}
    config = Config.fromfile(CONFIG).model.backbone
    told = BENCHMARKING_VITDET.options(official)
    assert (told['img_size'], told['pretrain_img_size']) == (1024, 1024)
    assert told['window_size'] == config.window_size == 16
    assert told['out_indices'] == tuple(config.out_indices)
    assert (told['embed_dims'], told['num_layers'], told['num_heads']) == (768, 12, 12)


def test_sides_that_nothing_tells():
    golden = read_golden()
    del golden['global_rel_pos_bias.relative_position_index']
    with pytest.raises(CheckpointError, match='the map of 48 patches is no square.*give pretrain_img_size'):
        BENCHMARKING_VITDET.options(golden)


@pytest.mark.parametrize('kind', ['official', 'converted'])
def test_into_a_backbone(tmp_path, monkeypatch, kind):
    """By `init_cfg`: the same tensors from the official file and from the converted one, nothing missing."""
    golden = read_golden()
    path = tmp_path / 'official.pth'
    torch.save({'model': {f'{BODY}{name}': tensor for name, tensor in golden.items()}}, path)
    options = convert_file(path).options
    if kind == 'converted':
        path = tmp_path / 'converted.pth'
        write_checkpoint(convert_file(tmp_path / 'official.pth').weights, path)
    lines = []
    monkeypatch.setattr(initializer, 'print_log', lambda line, **_: lines.append(line))
    vit = PlainViT(**options, init_cfg={'type': 'ViTPretrained', 'checkpoint': str(path)})
    vit.init_weights()
    assert torch.equal(vit.pos_embed, golden['pos_embed'])
    table = vit.state_dict()['window_rel_pos_bias.2.relative_position_bias_table']
    assert torch.equal(table, golden['windowed_rel_pos_bias.relative_position_bias_table'])
    table = vit.state_dict()['rel_pos_bias.relative_position_bias_table']
    assert torch.equal(table, golden['global_rel_pos_bias.relative_position_bias_table'])
    assert len(lines) == 1
    assert lines[0].endswith(f'): {len(vit.state_dict())} tensors loaded')


def test_load_from_a_converted_file(tmp_path):
    """mmengine's `load_from` of backbone and neck, strictly."""
    path = tmp_path / 'official.pth'
    torch.save({'model': {f'{BODY}{name}': tensor for name, tensor in read_golden().items()}}, path)
    conversion = convert_file(path)
    write_checkpoint(conversion.weights, tmp_path / 'converted.pth')
    model = torch.nn.Module()
    model.backbone = PlainViT(**conversion.options)
    model.neck = MODELS.build([{'type': 'mmvitdense.ViTFPN', 'in_channels': 64}])
    load_checkpoint(model, str(tmp_path / 'converted.pth'), strict=True)
    assert torch.equal(model.neck[0].resample[1].weight, read_golden()['ms_adaptor.1.weight'])
