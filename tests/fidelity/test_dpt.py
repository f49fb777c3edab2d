"""DPT for segmentation against the official decoder of DINOv3, mmseg's head and that of transformers."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from mmvitdense.registry import MODELS
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within, redraw
from tests.fidelity.golden import read_golden

pytest.importorskip('mmseg')

from mmvitdense.models.segmentation.dpt_head import DPTDecoder

WIDTHS, LEVELS, CHANNELS, CLASSES = [12] * 4, [4, 6, 8, 10], 8, 5


def redraw_statistics(model):
    """Running statistics of batch norms too."""
    for name, buffer in redraw(model).named_buffers():
        if name.endswith('running_var'):
            buffer.uniform_(0.5, 1.5)
        elif name.endswith('running_mean'):
            buffer.normal_(std=0.3)
    return model


def taps(height=5, width=6, widths=WIDTHS):
    return [(torch.randn(2, c, height, width), torch.randn(2, c)) for c in widths]


def test_dinov3_official_decoder():
    """With norms of the maps, which mmseg lacks, on a map of odd height."""
    golden = read_golden('dinov3_dpt')
    meta = {name: value for name, value in golden['meta'].items() if name != 'seed'}
    decoder = DPTDecoder(**meta, tap_norm_cfg=dict(type='BN'))
    decoder.load_state_dict(golden['sd'])
    inputs = [[golden['in'][f'{i}/{kind}'].clone().requires_grad_() for kind in ('map', 'token')] for i in range(4)]
    found = decoder.eval()([tuple(pair) for pair in inputs])
    assert_within(found, golden['out']['map'], OUTPUTS, 'map')
    (found * golden['cot']['map']).sum().backward()
    grads = {name: parameter.grad for name, parameter in decoder.named_parameters()}
    grads |= {f'{i}/{kind}': x.grad for i, pair in enumerate(inputs) for kind, x in zip(('map', 'token'), pair)}
    assert grads.keys() == golden['grad'].keys()
    for name, expected in golden['grad'].items():
        assert_within(grads[name], expected, GRADIENTS, f'gradient of {name}')


@pytest.mark.parametrize('readout', ['ignore', 'add', 'project'])
@pytest.mark.parametrize('training', [False, True])
def test_mmseg(readout, training):
    shared = dict(in_channels=WIDTHS, channels=CHANNELS, num_classes=CLASSES, norm_cfg=dict(type='BN'), dropout_ratio=0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        ours = MODELS.build(ConfigDict(type='mmvitdense.DPTSegHead', **shared, post_channels=LEVELS, readout=readout))
        theirs = MODELS.build(
            ConfigDict(
                type='mmseg.DPTHead',
                **shared,
                embed_dims=12,
                post_process_channels=LEVELS,
                readout_type=readout,
                in_index=(0, 1, 2, 3),
                input_transform='multiple_select',
            )
        )
    redraw_statistics(theirs).train(training)
    weights = theirs.state_dict()
    ours.load_state_dict({n if n.startswith('conv_seg.') else f'decoder.{n}': x for n, x in weights.items()})
    inputs = taps()
    given = [features for features, _ in inputs] if readout == 'ignore' else inputs
    assert_within(ours.train(training)(given), theirs(list(inputs)), OUTPUTS, 'scores')


@pytest.mark.parametrize('norm', [True, False])
def test_transformers(norm):
    """Neck and head of `DPTForSemanticSegmentation`, which doubles the size of the scores at its end."""
    modeling = pytest.importorskip('transformers.models.dpt.modeling_dpt')
    config = modeling.DPTConfig(
        hidden_size=12,
        neck_hidden_sizes=LEVELS,
        fusion_hidden_size=CHANNELS,
        num_labels=CLASSES,
        readout_type='project',
        use_batch_norm_in_fusion_residual=norm,
        use_bias_in_fusion_residual=not norm,
    )
    neck, head = modeling.DPTNeck(config), modeling.DPTSemanticSegmentationHead(config)
    oracle = redraw_statistics(nn.ModuleList([neck, head])).eval()
    ours = DPTDecoder(
        WIDTHS, LEVELS, CHANNELS, 'project', norm_cfg=dict(type='BN') if norm else None, fusion_bias=not norm
    )
    if not norm:  # the head of transformers has a batch norm of its own
        ours.project = DPTDecoder(WIDTHS, LEVELS, CHANNELS, norm_cfg=dict(type='BN')).project
    ours.load_state_dict(dict(of_transformers(oracle.state_dict())))
    inputs = taps(6, 6)
    with torch.no_grad():
        hidden = [torch.cat([token[:, None], features.flatten(2).mT], dim=1) for features, token in inputs]
        expected = head(neck(hidden, 6, 6))
        scores = head.head[4](ours.eval()(inputs))
    stretched = F.interpolate(scores, scale_factor=2, mode='bilinear', align_corners=True)
    assert_within(stretched, expected, OUTPUTS, 'scores')


def of_transformers(weights):
    """Names of ours; the first fusion layer of transformers has a unit that it never runs."""
    fusion = {'projection': 'project.conv', 'residual_layer1': 'res_conv_unit1', 'residual_layer2': 'res_conv_unit2'}
    unit = {
        'convolution1': 'conv1.conv',
        'convolution2': 'conv2.conv',
        'batch_norm1': 'conv1.bn',
        'batch_norm2': 'conv2.bn',
    }
    for name, value in weights.items():
        match name.split('.'):
            case ['0', 'reassemble_stage', 'readout_projects', *rest]:
                yield '.'.join(['reassemble_blocks', 'readout_projects', *rest]), value
            case ['0', 'reassemble_stage', 'layers', index, 'projection', kind]:
                yield f'reassemble_blocks.projects.{index}.conv.{kind}', value
            case ['0', 'reassemble_stage', 'layers', index, 'resize', kind]:
                yield f'reassemble_blocks.resize_layers.{index}.{kind}', value
            case ['0', 'convs', index, kind]:
                yield f'convs.{index}.conv.{kind}', value
            case ['0', 'fusion_stage', 'layers', '0', 'residual_layer1', *_]:
                continue
            case ['0', 'fusion_stage', 'layers', index, part, kind]:
                yield f'fusion_blocks.{index}.{fusion[part]}.{kind}', value
            case ['0', 'fusion_stage', 'layers', index, part, layer, kind]:
                yield f'fusion_blocks.{index}.{fusion[part]}.{unit[layer]}.{kind}', value
            case ['1', 'head', '0' | '1' as layer, kind]:
                yield f'project.{("conv", "bn")[int(layer)]}.{kind}', value


def test_parameters_of_the_class_of_dinov3():
    """34 198 432 with its depth head, on ViT-L: two 3 x 3 convolutions and a 1 x 1 one that are not ours."""
    decoder = DPTDecoder([1024] * 4, [128, 256, 512, 1024], 256, 'project')
    depth_head = (256 * 9 + 1) * 128 + (128 * 9 + 1) * 32 + (32 + 1) * 256
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 34_198_432 - depth_head


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(readout='cls'), "'ignore', 'add', 'project', got 'cls'"),
        (dict(in_channels=[8] * 3), 'DPT takes four maps'),
    ],
)
def test_what_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        DPTDecoder(**{'in_channels': WIDTHS, 'post_channels': LEVELS, **options})
    decoder = DPTDecoder(WIDTHS, LEVELS, CHANNELS, 'add')
    with pytest.raises(ValueError, match='the backbone gives maps alone'):
        decoder([features for features, _ in taps()])
