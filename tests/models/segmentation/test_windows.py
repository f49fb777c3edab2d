"""Windows cover the image as mmseg's and EoMT's do, and what is predicted in them is what mmseg makes of it."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from mmvitdense.registry import MODELS
from tests.test_progress import on_terminal

pytest.importorskip('mmseg')

from mmseg.structures import SegDataSample

from mmvitdense.models.segmentation.label_map import LabelMap
from mmvitdense.models.segmentation.windows import Window, WindowRule, merged_rows

SLIDE = dict(mode='slide', crop_size=(48, 40), stride=(20, 27))
EVEN = dict(mode='even_slide', crop_size=(48, 48))


def segmentor(kind, classes=5, test_cfg=SLIDE, align_corners=False, **options):
    """A ViT with one layer as head and random statistics; any two of a seed are alike."""
    torch.manual_seed(0)
    config = ConfigDict(
        type=kind,
        backbone=dict(
            type='mmvitdense.PlainViT', embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=32, img_size=48
        ),
        decode_head=dict(
            type='mmseg.FCNHead',
            in_channels=32,
            channels=16,
            num_convs=1,
            num_classes=max(classes, 2),
            out_channels=classes,
            threshold=0.4 if classes == 1 else None,
            align_corners=align_corners,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=classes == 1),
            norm_cfg=dict(type='BN'),
        ),
        test_cfg=test_cfg,
        **options,
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def samples(shape, **meta):
    metas = [
        dict(ori_shape=(61, 83), img_shape=shape, padding_size=[0, 0, 0, 0]),
        dict(ori_shape=(130, 40), img_shape=shape, padding_size=[3, 4, 5, 1]),
    ]
    return [SegDataSample(metainfo={**each, **meta}) for each in metas]


@pytest.mark.parametrize('classes', [5, 1])
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
    ('size', 'test_cfg', 'meta'),
    [
        ((100, 90), SLIDE, {}),
        ((61, 83), SLIDE, dict(flip=True, flip_direction='horizontal')),
        ((100, 90), SLIDE, dict(flip=True, flip_direction='vertical')),
        ((30, 90), SLIDE, {}),  # a side shorter than the window
        ((30, 20), SLIDE, {}),
        ((64, 64), dict(mode='whole'), dict(flip=True, flip_direction='vertical')),
    ],
)
def test_it_predicts_as_mmseg(size, test_cfg, meta, align_corners, classes):
    ours, theirs = (
        segmentor(kind, classes, test_cfg, align_corners)
        for kind in ('mmvitdense.WindowedEncoderDecoder', 'mmseg.EncoderDecoder')
    )
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = theirs.predict(images, samples(size, **meta))
        for window_batch in (1, 3):
            ours.test_cfg.window_batch = window_batch
            found = ours.predict(images, samples(size, **meta))
            for one, other in zip(found, expected):
                scores = other.seg_logits.data
                assert one.seg_logits.data.shape == scores.shape
                torch.testing.assert_close(one.seg_logits.data, scores, rtol=0, atol=1e-5 * scores.std().item())
                differ = one.pred_sem_seg.data != other.pred_sem_seg.data
                assert differ.float().mean() < 1e-3
                assert one.pred_sem_seg.data.dtype == other.pred_sem_seg.data.dtype
        scores = theirs.inference(images, [dict(ori_shape=size, img_shape=size) for _ in images])
        found = ours.inference(images, [{}, {}])
        torch.testing.assert_close(found, scores, rtol=0, atol=1e-5 * scores.std().item())


def test_without_data_samples_results_have_the_size_of_the_input():
    model = segmentor('mmvitdense.WindowedEncoderDecoder', test_cfg=None)
    (found,) = model.predict(torch.randn(1, 3, 33, 47))
    assert found.pred_sem_seg.data.shape == (1, 33, 47)


def test_labels_alone_are_the_same():
    model = segmentor('mmvitdense.WindowedEncoderDecoder')
    images = torch.randn(2, 3, 100, 90)
    with torch.no_grad():
        full = model.predict(images, samples((100, 90)))
        model.test_cfg.keep_logits = False
        for one, other in zip(model.predict(images, samples((100, 90))), full):
            assert 'seg_logits' not in one
            assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)


@pytest.mark.parametrize(
    ('side', 'crop', 'starts'),
    [
        (64, 64, [0]),
        (65, 64, [0, 1]),
        (128, 64, [0, 64]),
        (129, 64, [0, 32, 65]),
        (1000, 512, [0, 488]),
        (1365, 512, [0, 426, 853]),
        (40, 64, [0]),
    ],
)
def test_even_windows(side, crop, starts):
    """EoMT's rule, in floats."""
    count = -(-side // crop)
    overlap = count * crop - side
    expected = [int(j * (crop - (overlap / (count - 1) if overlap > 0 and count > 1 else 0))) for j in range(count)]
    assert expected == starts
    rule = WindowRule(mode='even_slide', crop_size=(crop, crop))
    size = min(side, crop)
    assert rule.windows(size, side) == [Window(0, start, size, start + size) for start in starts]
    assert rule.windows(side, size) == [Window(start, 0, start + size, size) for start in starts]


def test_even_windows_are_averaged():
    """Along a tall image as along a wide one."""
    model = segmentor('mmvitdense.WindowedEncoderDecoder', test_cfg=EVEN | dict(window_batch=2))
    for size in ((48, 130), (130, 48)):
        image = torch.randn(1, 3, *size)
        sums, counts = torch.zeros(1, 5, *size), torch.zeros(size)
        with torch.no_grad():
            for start in (0, 41, 82):
                place = (slice(0, 48), slice(start, start + 48))[:: 1 if size[0] == 48 else -1]
                crop = image[(..., *place)]
                sums[(..., *place)] += model.encode_decode(crop, [dict(img_shape=crop.shape[2:])])
                counts[place] += 1
            found, expected = model.inference(image, [{}]), sums / counts
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.std().item())


@pytest.mark.parametrize(
    ('test_cfg', 'words'),
    [
        (dict(mode='sliding'), "'sliding'; expected one of 'whole', 'slide', 'even_slide'"),
        (dict(mode='slide', stride=(1, 1)), 'crop_size is None'),
        (dict(mode='even_slide', crop_size=512), 'crop_size is 512'),
        (dict(mode='slide', crop_size=(8, 8), stride=(4, 9)), r'stride is \(4, 9\)'),
        (dict(mode='slide', crop_size=(8, 8), stride=4), 'stride is 4'),
        (dict(window_batch=0), 'window_batch is 0'),
    ],
)
def test_what_cannot_be_used_is_said_when_it_is_built(test_cfg, words):
    with pytest.raises(ValueError, match=words):
        segmentor('mmvitdense.WindowedEncoderDecoder', test_cfg=test_cfg)


def test_the_bar_counts_windows(monkeypatch):
    model = segmentor('mmvitdense.WindowedEncoderDecoder', test_cfg=SLIDE | dict(progress=True))
    terminal = on_terminal(monkeypatch)
    model.predict(torch.randn(1, 3, 100, 90))
    total = terminal.getvalue().split('Windows')[1].split('/')[1].split('\x1b')[0]
    assert int(total) > 1
    assert f'{total}/{total}' in terminal.getvalue()


def test_a_strip_of_scores_is_kept_whatever_the_height():
    """The largest thing in memory does not grow with the height of the image."""
    kinds, side, width = 64, 32, 64
    rule = WindowRule(mode='slide', crop_size=(side, side), stride=(20, 20))

    def largest(height):
        found = 0

        def predict(crops):
            return crops.new_ones(len(crops), kinds, side, side)

        images = torch.zeros(1, 1, height, width)
        labels = LabelMap(
            (height, width),
            dict(ori_shape=(2 * height, width)),
            lambda rows: (rows, rows.argmax(0, keepdim=True)),
            keep_scores=False,
        )
        for first, rows in merged_rows(predict, images, rule.windows(height, width)):
            assert torch.equal(rows, torch.ones_like(rows))
            found = max(found, rows.untyped_storage().nbytes())
            labels.add(first, rows[0])
        assert labels.labels.shape == (1, 2 * height, width)
        return found

    assert largest(400) == largest(100) == kinds * side * width * 4


def test_a_head_that_forgets_the_size_is_named():
    with pytest.raises(ValueError, match=r'logits of \(8, 8\) for windows of \(16, 16\)'):
        next(merged_rows(lambda crops: F.avg_pool2d(crops, 2), torch.zeros(1, 3, 16, 16), [Window(0, 0, 16, 16)]))


@pytest.mark.parametrize('size', [(1, 1), (3, 50), (29, 41), (60, 1), (128, 300)])
@pytest.mark.parametrize('direction', [None, 'horizontal', 'vertical', 'diagonal'])
@pytest.mark.parametrize('align_corners', [False, True])
def test_portions_of_rows_make_the_map_of_the_whole(monkeypatch, size, direction, align_corners):
    """Of images much smaller and larger than the input, decided a few rows at a time."""
    monkeypatch.setattr('mmvitdense.models.segmentation.label_map._ROWS_AT_ONCE', 5000)
    scores = torch.randn(4, 29, 41)
    turned = {None: (), 'horizontal': (2,), 'vertical': (1,), 'diagonal': (1, 2)}[direction]
    expected = F.interpolate(scores.flip(turned)[None], size, mode='bilinear', align_corners=align_corners)[0]
    meta = dict(ori_shape=size, flip=direction is not None, flip_direction=direction, padding_size=[2, 1, 3, 4])
    label_map = LabelMap((36, 44), meta, lambda rows: (rows, rows.argmax(0, keepdim=True)), align_corners)
    padded = F.pad(scores, (2, 1, 3, 4), value=9.0)
    for first, stop in ((0, 2), (2, 4), (4, 5), (5, 20), (20, 33), (33, 36)):
        label_map.add(first, padded[:, first:stop])
    torch.testing.assert_close(label_map.scores, expected, rtol=0, atol=1e-5)
    assert torch.equal(label_map.labels[0], label_map.scores.argmax(0))
