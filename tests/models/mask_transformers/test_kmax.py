"""KMaX and its heads: sizes, types, initial weights, places of masks, what they refuse."""

import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from mmvitdense.models import KMaX
from mmvitdense.models.mask_transformers import MaskPredictions
from mmvitdense.models.mask_transformers.axial_attention import AxisAttention
from mmvitdense.models.mask_transformers.kmax_layer import KMaXLayer, cluster_sums
from mmvitdense.models.mask_transformers.kmax_losses import KMaXCriterion, drawn_places
from mmvitdense.models.mask_transformers.kmax_matching import MaskTarget
from mmvitdense.registry import MODELS
from tests.fidelity.agreement import redraw

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')


def small(**options):
    given = {'in_channels': (4, 4, 4, 4), 'num_classes': 2, 'num_queries': 3, 'embed_dims': 8, 'num_heads': 2}
    given |= {'channels': (4, 4, 2, 2), 'num_blocks': (1, 1, 1, 1), 'feedforward_channels': 8, 'num_layers': (1, 0, 1)}
    return KMaX(**{**given, 'norm_cfg': {'type': 'BN'}, **options})


def maps(*sizes, batch=2):
    return [torch.randn(batch, 4, *size) for size in sizes]


EVEN = ((8, 12), (4, 6), (2, 3), (1, 2))


@pytest.mark.parametrize('sizes', [EVEN, ((9, 13), (5, 7), (3, 4), (2, 2)), ((9, 13), (4, 6), (2, 3), (1, 1))])
def test_any_size(sizes):
    found = redraw(small()).eval()(maps(*sizes, batch=1))
    assert found.masks[0].shape == (1, 3, *sizes[0])
    assert found.masks[0].isfinite().all()


@pytest.mark.parametrize('autocast', [True, False])
def test_bfloat16(autocast):
    """Under autocast with gradients, and as the type of a model."""
    model = redraw(small()).train(autocast)
    if autocast:
        with torch.autocast('cpu', torch.bfloat16):
            found = model(maps(*EVEN))
        sum(x.float().sum() for x in (*found.masks, *found.classes, *found.features, found.semantic)).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
    else:
        found = model.bfloat16()([x.bfloat16() for x in maps(*EVEN)])
    assert found.masks[-1].dtype == torch.bfloat16
    assert found.masks[-1].isfinite().all()


def test_compiled_in_one_graph():
    """Of the parts that are not convolutions."""
    norm_cfg = {'type': 'BN'}
    axis = AxisAttention(4, 4, 4, 2, norm_cfg)
    axis.reset_parameters()
    layer, given = KMaXLayer(4, 8, 4, 2, 2, 8, norm_cfg, 0.0), torch.randn(2, 4, 3, 5)
    torch._dynamo.reset()
    with torch.no_grad():
        for part, inputs in ((axis.eval(), [given]), (layer.eval(), [torch.randn(2, 8, 3, 1), given])):
            found = torch.compile(part, backend='eager', fullgraph=True)(*inputs)
            torch.testing.assert_close(found[0], part(*inputs)[0])


def test_sums_of_clusters():
    """Each place is of the query with the largest logit; what nothing is of is zero."""
    masks, values = torch.randn(2, 5, 3, 4), torch.randn(2, 6, 3, 4)
    masks[0, 2] = -9.0
    expected = torch.zeros(2, 6, 5)
    for image in range(2):
        for row in range(3):
            for column in range(4):
                query = masks[image, :, row, column].argmax()
                expected[image, :, query] += values[image, :, row, column]
    torch.testing.assert_close(cluster_sums(masks, values), expected)
    assert not expected[0, :, 2].any()


def test_initial_weights():
    """The published ones: branches that start at zero, weak masks, nine in ten of nothing."""
    torch.manual_seed(0)
    model = small(embed_dims=64, channels=(16, 16, 8, 8), num_classes=9)
    layer, block = model.layers[0], model.pixel_decoder.stages[0][0]
    # A normal distribution cut at two of its standard deviations has 0.88 of it.
    expected = {layer.fc1.conv.weight: (2 / 64) ** 0.5, layer.value.conv.weight: 64**-0.5, model.cluster_centers: 1.0}
    expected |= {block.mix[0].width.qkv.weight: 32**-0.5, block.mix[0].height.key_table: 1.0}
    expected |= {layer.predictor.pixels[2].conv.weight: 0.01, block.reduce.conv.weight: (2 / 4) ** 0.5}
    for weight, std in expected.items():
        assert weight.std().item() == pytest.approx(0.88 * std, rel=0.15)
        assert weight.abs().max() <= 2 * std * 1.001
    for norm in (layer.fc2.norm, layer.centre.norm, layer.self_attn.output.norm, block.expand.norm):
        assert not norm.weight.any()
    assert model.predictor.mask_norm.weight.item() == pytest.approx(0.1)
    found = model.eval()(maps(*EVEN)).classes[0].softmax(-1)
    torch.testing.assert_close(found[..., -1], torch.full((2, 3), 0.9), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'in_channels': (4, 4, 4)}, r'four maps or more, .* got in_channels=\[4, 4, 4\]'),
        ({'num_blocks': (1, 1, 1)}, r'num_blocks needs an entry for each of 4 maps, got \[1, 1, 1\]'),
        ({'kinds': ('axial', 'axial', 'plain', 'axial')}, r"kinds of blocks are .*, got \['plain'\]"),
        ({'num_layers': (0, 0, 0)}, r'strides 32, 16 and 8, not all 0, got \[0, 0, 0\]'),
        ({'embed_dims': 24, 'num_heads': 8}, 'multiple of 8 and of twice num_heads=8, got 24'),
        ({'channels': (4, 3, 2, 2)}, r'axial attention must be multiples of num_heads=2, got \[3\]'),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(ValueError, match=words):
        small(**options)


def test_bad_maps():
    with pytest.raises(ValueError, match='built for 4 maps, got 3'):
        small().eval()(maps(*EVEN[:3]))
    with pytest.raises(ValueError, match='positions for 255 places in a row, got a map with 256'):
        small().eval()(maps((8, 1024), (4, 512), (2, 256), (1, 128)))


def test_one_image_in_training():
    with pytest.raises(
        ValueError, match='norms the mean of each image over the batch, and got a batch of 1 in training'
    ):
        small()(maps(*EVEN, batch=1))
    assert small(semantic=None)(maps(*EVEN, batch=1)).semantic is None


def det_head(**options):
    return MODELS.build({'type': 'mmvitdense.KMaXHead', 'num_things_classes': 2, 'num_stuff_classes': 1, **options})


def seg_head(**options):
    return MODELS.build({'type': 'mmvitdense.KMaXSegHead', 'num_classes': 3, **options})


def samples(labels):
    from mmseg.structures import SegDataSample

    return [SegDataSample(gt_sem_seg=PixelData(data=seg_map[None])) for seg_map in labels]


def predictions(masks, dtype=torch.float32):
    """Of a training: one prediction of 4 queries and 3 classes, features at random."""
    batch, _, height, width = masks.shape
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(batch, 8, height, width), dim=1)
    classes, semantic = torch.randn(batch, 4, 4), torch.randn(batch, 4, height, width)
    covered = (4 * height, 4 * width)
    given = [x.to(dtype) for x in (classes, masks, features, semantic)]
    return MaskPredictions((given[0],), (given[1],), None, covered, (given[2],), given[3])


@pytest.mark.parametrize('side', [32, 33])
def test_places_of_masks(side):
    """A place is a pixel where corners meet, and else between four; targets and results have the same."""
    places = -(-side // 4)
    logits = torch.full((2, 4, places, places), 0.0)
    logits[:, 0, :, :3], logits[:, 1, :, 3:] = 12.0, 12.0
    found = predictions(logits)
    # Where the masks of both queries are equal: between columns 8 and 12, or 9.5 and 13.5.
    border = 10 if side == 33 else 11.5
    one_hot = torch.full((2, 4, 4), -30.0)
    one_hot[:, 0, 0], one_hot[:, 1, 1], one_hot[:, 2:, 3] = 30.0, 30.0, 30.0
    found = found._replace(classes=(one_hot,))
    scores = seg_head().predict(found, [{'img_shape': (side, side)}])
    assert scores.shape == (2, 3, side, side)
    labels = scores[:, :2].argmax(1)
    expected = (torch.arange(side) > border).long().expand(2, side, -1)
    assert torch.equal(labels[..., :10], expected[..., :10])
    assert torch.equal(labels[..., 13:], expected[..., 13:])
    # A mask up to the border is met best by these logits, one that is moved by a place is not.
    losses = [
        seg_head().loss(found, samples([seg_map, seg_map]))['loss_mask']
        for seg_map in (expected[0], expected[0].roll(4, 1), expected[0].roll(-4, 1))
    ]
    assert losses[0] < 0.01 < min(losses[1:])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_losses_are_of_float32(dtype):
    seg_map = torch.randint(0, 3, (32, 48))
    with torch.autocast('cpu', torch.bfloat16):
        losses = seg_head().loss(predictions(100 * torch.randn(2, 4, 8, 12), dtype), samples([seg_map, seg_map]))
    assert losses.keys() == {f'loss_{name}' for name in ('cls', 'mask', 'dice', 'pixel', 'semantic')}
    assert {value.dtype for value in losses.values()} == {torch.float32}
    assert all(value.isfinite() for value in losses.values())


def test_nothing_annotated():
    """In one image or in all: places of nothing train no mask, and all queries are nothing."""
    empty, found = torch.full((32, 48), 255), predictions(torch.randn(2, 4, 8, 12))
    for labels in ([empty, empty], [empty, torch.zeros_like(empty)]):
        losses = seg_head().loss(found, samples(labels))
        assert all(value.isfinite() for value in losses.values())
    losses = seg_head().loss(found, samples([empty, empty]))
    assert {name: value.item() for name, value in losses.items() if name != 'loss_cls'} == {
        f'loss_{name}': 0.0 for name in ('mask', 'dice', 'pixel', 'semantic')
    }
    assert losses['loss_cls'] > 0


def test_things_and_stuff_of_mmdet():
    """The loss of instances and of a label map is that of all their masks; a mask between places does not count."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    masks = torch.zeros(3, 32, 48, dtype=torch.uint8)
    masks[0, 4:20, 4:20] = masks[1, 8:30, 24:40] = masks[2, 3:5, 31:33] = 1
    seg_map = torch.full((1, 32, 48), 255)
    seg_map[0, 24:] = 2
    instances = InstanceData(labels=torch.tensor([1, 0, 0]), masks=BitmapMasks(masks.numpy(), 32, 48))
    sample = DetDataSample(gt_instances=instances, gt_sem_seg=PixelData(sem_seg=seg_map))
    sample.set_metainfo({'batch_input_shape': (32, 48)})
    found = predictions(torch.randn(2, 4, 8, 12))
    torch.manual_seed(1)
    losses = det_head().loss(found, [sample, sample])
    whole = torch.stack([masks[0], masks[1], (seg_map[0] == 2).to(torch.uint8)])
    target = MaskTarget(torch.tensor([1, 0, 2]), whole[:, 2::4, 2::4].bool())
    torch.manual_seed(1)
    for name, value in KMaXCriterion()(found, [target, target]).items():
        assert torch.equal(value, losses[name]), name


def test_draws_without_void_places():
    """Rare places are likelier, void ones are taken last, all where there are not so many."""
    rarity = torch.ones(1, 4, 25)
    rarity[0, 0] = 50.0
    void = torch.zeros(1, 4, 25, dtype=torch.bool)
    void[0, 3] = True
    torch.manual_seed(0)
    drawn = drawn_places(rarity, void, 30, 1.5)[0]
    assert len(drawn.unique()) == 30
    assert drawn.max() < 75
    assert (drawn < 25).sum() >= 24
    assert drawn_places(rarity, void, 4096, 1.5).shape == (1, 100)


class TestRefused:
    def test_options(self):
        with pytest.raises(ValueError, match=r"takes no train_cfg, got \['num_points'\]: .* criterion"):
            det_head(train_cfg={'num_points': 64})
        with pytest.raises(ValueError, match='pixel_samples must be a whole number of at least 1, got 0'):
            seg_head(criterion={'pixel_samples': 0})
        with pytest.raises(ValueError, match='at least 2, got 1: count the background as a class'):
            seg_head(num_classes=1)

    @pytest.mark.parametrize(
        ('test_cfg', 'words'),
        [
            ({'object_mask_thr': 0.8}, r"takes .*'thing_thr'.*, got \['object_mask_thr'\]"),
            ({'thing_thr': 70}, 'thing_thr must be a number of at least 0 and at most 1, got 70'),
            ({'semantic_on': True}, 'no semantic results, got semantic_on=True'),
        ],
    )
    def test_results(self, test_cfg, words):
        with pytest.raises(ValueError, match=words):
            MODELS.build({'type': 'mmvitdense.KMaXFusionHead', 'test_cfg': test_cfg})

    def test_predictions(self):
        found = predictions(torch.randn(2, 4, 8, 12))
        with pytest.raises(
            TypeError, match='losses for mmvitdense.KMaX as last neck, got predictions without features'
        ):
            seg_head().loss(found._replace(features=()), samples([torch.zeros(32, 48, dtype=torch.long)] * 2))
        with pytest.raises(ValueError, match='predicts 3 classes, and its head has losses for 9'):
            seg_head(num_classes=9).predict(found, [{'img_shape': (32, 48)}])
