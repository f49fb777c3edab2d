"""The head, the losses and the band of IML-ViT against its released code; whole files by their names."""

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData

from mmvitdense.checkpoints import detect
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.datasets.transforms import ManipulationEdge
from mmvitdense.registry import MODELS
from tests.configs.test_configs import ROOT
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within, redraw
from tests.fidelity.golden import read_golden
from tests.fidelity.pretraining import rename

pytest.importorskip('mmseg')
from mmseg.structures import SegDataSample

NORMS = {
    'BN': dict(type='BN'),
    'IN': dict(type='IN', affine=True, track_running_stats=True),
    'LN': dict(type='mmvitdense.LayerNorm2d', eps=1e-6),
}
OURS = ((r'^linear_fuse', 'fuse'), (r'^linear_predict', 'conv_seg'))


@pytest.fixture(scope='module')
def golden():
    return read_golden('iml_vit_head')


@pytest.mark.parametrize('width', [3, 7])
def test_band_of_the_border(golden, width):
    """Regions at the edge of the image and in its corner too."""
    for mask, expected in zip(golden['in']['mask'], golden['out'][f'edges{width}']):
        found = ManipulationEdge(width)({'gt_seg_map': mask.numpy()})
        assert np.array_equal(found['gt_edge_map'], expected.numpy())
        assert found['seg_fields'] == ['gt_edge_map']


@pytest.mark.parametrize('norm', NORMS)
def test_head_and_losses(golden, norm):
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = MODELS.build(
            ConfigDict(type='mmvitdense.IMLHead', in_channels=[6] * 5, channels=6, norm_cfg=NORMS[norm])
        )

    def of_norm(kind):
        return rename({n.removeprefix(f'{norm}/'): x for n, x in golden[kind].items() if n.startswith(norm)}, *OURS)

    missing, unexpected = head.load_state_dict(of_norm('sd'), strict=False)
    assert not unexpected
    assert set(missing) <= {'norm.num_batches_tracked'}
    maps = [golden['in'][f'map{i}'].clone().requires_grad_() for i in range(5)]
    samples = []
    for mask, edges in zip(golden['in']['mask'], golden['out']['edges7']):
        parts = {'gt_sem_seg': PixelData(data=mask[None].long()), 'gt_edge_map': PixelData(data=edges[None].long())}
        sample = SegDataSample()
        sample.set_data(parts)
        samples.append(sample)
    scores = head.eval()(maps)
    assert_within(scores, golden['out'][f'{norm}/scores'], OUTPUTS, 'scores')
    losses = head.loss_by_feat(scores, samples)
    torch.testing.assert_close(losses['loss_bce'], golden['out'][f'{norm}/loss'])
    torch.testing.assert_close(losses['loss_bce_edge'], golden['out'][f'{norm}/band'])
    (losses['loss_bce'] + losses['loss_bce_edge']).backward()
    grads = {n: p.grad for n, p in head.named_parameters()} | {f'map{i}': x.grad for i, x in enumerate(maps)}
    expected = of_norm('grad')
    assert grads.keys() == expected.keys()
    for name, wanted in expected.items():
        if wanted.numel() > 1:
            assert_within(grads[name], wanted, GRADIENTS, f'gradient of {name}')
        else:
            torch.testing.assert_close(grads[name], wanted, rtol=GRADIENTS, atol=1e-6)
    with pytest.raises(ValueError, match='ManipulationEdge'):
        head.loss_by_feat(scores, [SegDataSample(gt_sem_seg=PixelData(data=mask[None].long()))])


def test_a_released_file():
    """Names written from ours, of the modules that the released code has in this order."""
    config = Config.fromfile(ROOT / 'iml_vit/iml-vit-tiny_shapes.py').model
    config.backbone.update(num_layers=2, global_blocks=(1,), patch_size=16, init_cfg=None, window_size=4)
    config.backbone.update(pos_embed_cls_slot=True)
    config.neck.update(scale_factors=(4, 2, 1, 0.5), num_outs=5)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = redraw(MODELS.build(config))
    ours = dict(model.state_dict())
    theirs = rename(
        ours,
        (r'^decode_head\.fuse', 'predict_head.linear_fuse'),
        (r'^decode_head\.norm', 'predict_head.norm'),
        (r'^decode_head\.conv_seg', 'predict_head.linear_predict'),
        (r'^backbone\.', 'encoder_net.'),
    )
    convs = {0: (4, 5), 1: (1, 2), 2: (0, 1), 3: (1, 2)}
    official = {}
    for name, value in theirs.items():
        if name.startswith('neck.'):
            _, kind, level, place, *rest = name.split('.')
            stage = f'featurePyramid_net.simfp_{int(level) + 2}'
            if kind == 'resample':
                name = '.'.join([stage, place, *rest])
            else:
                conv = convs[int(level)][kind == 'output_convs']
                name = '.'.join([stage, str(conv), *(['norm'] if place == '1' else []), *rest])
        official[name] = value
    form = detect(official)
    assert form.name == 'IML-ViT'
    converted = form.converted(official)
    assert converted.keys() == ours.keys()
    assert all(torch.equal(converted[name], value) for name, value in ours.items())
    options = describe(form, official).options
    assert (options['window_size'], options['embed_dims']) == (4, 96)
