"""Our Mask2Former head for label maps gives its logits the size of what it was given."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from mmvitdense.registry import MODELS

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

WIDTH = 32


def options(num_classes=5):
    attention = dict(embed_dims=WIDTH, num_heads=4, batch_first=True)
    ffn = dict(embed_dims=WIDTH, feedforward_channels=32, num_fcs=2, act_cfg=dict(type='ReLU'))
    encoder = dict(num_layers=1, layer_cfg=dict(self_attn_cfg=dict(**attention, num_levels=3), ffn_cfg=ffn))
    layer = dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn)
    positions = dict(num_feats=WIDTH // 2, normalize=True)
    return ConfigDict(
        in_channels=[WIDTH] * 4,
        strides=[4, 8, 16, 32],
        feat_channels=WIDTH,
        out_channels=WIDTH,
        num_classes=num_classes,
        num_queries=6,
        loss_cls=dict(type='mmdet.CrossEntropyLoss', class_weight=[1.0] * num_classes + [0.1]),
        loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        loss_dice=dict(type='mmdet.DiceLoss'),
        positional_encoding=positions,
        pixel_decoder=dict(
            type='mmdet.MSDeformAttnPixelDecoder',
            num_outs=3,
            norm_cfg=dict(type='GN', num_groups=8),
            act_cfg=dict(type='ReLU'),
            encoder=encoder,
            positional_encoding=positions,
        ),
        transformer_decoder=dict(return_intermediate=True, num_layers=1, layer_cfg=layer),
    )


@pytest.fixture(scope='module')
def heads():
    """Ours and mmseg's, with the same weights."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        ours = MODELS.build(ConfigDict(type='mmvitdense.Mask2FormerSegHead', **options()))
        theirs = MODELS.build(ConfigDict(type='mmseg.Mask2FormerHead', **options()))
    theirs.load_state_dict(ours.state_dict())
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize(
    ('metas', 'size'),
    [
        (dict(img_shape=torch.Size((48, 64)), pad_shape=(128, 128)), (48, 64)),  # a window
        (dict(img_shape=torch.Size((48, 64))), (48, 64)),
        (dict(img_shape=(40, 60), pad_shape=(48, 64)), (48, 64)),
        (dict(img_shape=(40, 60), pad_shape=(48, 64, 3)), (48, 64)),  # as mmcv's Pad leaves it
        (dict(img_shape=(48, 64)), (48, 64)),
    ],
)
def test_size(heads, metas, size):
    ours, theirs = heads
    x = [torch.randn(2, WIDTH, 48 // stride, 64 // stride) for stride in (4, 8, 16, 32)]
    given = [dict(metas), dict(metas)]
    with torch.no_grad():
        found = ours.predict(x, given, None)
        expected = theirs.predict(x, [dict(img_shape=size)] * 2, None)
    assert found.shape == (2, 5, *size)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert given == [metas, metas], 'the meta data is left alone'


def test_in_windows_mmsegs_head_serves_too(heads):
    """Of an image whose meta data has the size of the whole, with channels: mmseg's segmentor fails at it."""
    from mmseg.structures import SegDataSample

    config = ConfigDict(
        type='mmvitdense.WindowedEncoderDecoder',
        backbone=dict(type='mmvitdense.PlainViT', embed_dims=WIDTH, num_layers=1, num_heads=2, feedforward_channels=8),
        neck=dict(
            type='mmvitdense.SimpleFeaturePyramid',
            in_channels=WIDTH,
            out_channels=WIDTH,
            scale_factors=(4, 2, 1, 0.5),
        ),
        decode_head=dict(type='FCNHead', in_channels=WIDTH, channels=4, num_classes=5, num_convs=1),
        test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(32, 32), window_batch=2),
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(config).eval()
    image = torch.randn(1, 3, 96, 128)
    found = []
    for model.decode_head in heads:
        sample = SegDataSample(metainfo=dict(ori_shape=(90, 120), img_shape=(96, 128), pad_shape=(96, 128, 3)))
        with torch.no_grad():
            found += model.predict(image, [sample])
    assert found[0].pred_sem_seg.data.shape == (1, 90, 120)
    assert torch.equal(found[0].seg_logits.data, found[1].seg_logits.data)
    assert found[0].seg_logits.data.std() > 0


@pytest.mark.parametrize('kind', ['mmvitdense.Mask2FormerSegHead', 'mmseg.Mask2FormerHead'])
def test_one_class_is_refused_before_the_training(kind):
    backbone = dict(type='mmvitdense.PlainViT', embed_dims=32, num_layers=1, num_heads=2, img_size=32)
    model = ConfigDict(
        type='mmvitdense.WindowedEncoderDecoder', backbone=backbone, decode_head=dict(type=kind, **options(1))
    )
    with DefaultScope.overwrite_default_scope('mmseg'), pytest.raises(ValueError, match='at least 2, got 1: count the'):
        MODELS.build(model)


def test_export_is_refused_in_a_sentence():
    """Recording mmdet's pixel decoder ends in the middle of torch."""
    from mmvitdense.export.errors import ExportError
    from mmvitdense.export.segmentation import wrap

    backbone = dict(type='mmvitdense.PlainViT', embed_dims=32, num_layers=1, num_heads=2, img_size=32)
    head = dict(type='mmvitdense.Mask2FormerSegHead', **options())
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(ConfigDict(type='mmvitdense.WindowedEncoderDecoder', backbone=backbone, decode_head=head))
    with pytest.raises(ExportError, match='The decode_head is a Mask2FormerSegHead, .* cannot be recorded'):
        wrap(model, (32, 32))
