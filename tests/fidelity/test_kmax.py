"""kMaX-DeepLab against the official code: values, gradients, statistics of norms, losses, results, published sizes."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.checkpoints.formats import kmax_deeplab
from mmvitdense.models import KMaX
from mmvitdense.models.mask_transformers import MaskPredictions
from mmvitdense.models.mask_transformers.kmax_losses import KMaXCriterion
from mmvitdense.models.mask_transformers.kmax_matching import MaskTarget, match
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden

MAPS = ('res2', 'res3', 'res4', 'res5')
SPAN = 255


@pytest.fixture(scope='module')
def golden():
    return read_golden('kmax')


def to_ours(weights, span):
    """Under our names; the tables of relative positions, which the golden file has for a few places, among zeros."""
    named = kmax_deeplab.convert({f'sem_seg_head.{name}': x for name, x in weights.items()})
    named = {name.removeprefix('neck.0.'): x for name, x in named.items()}
    return {n: F.pad(x, (0, 0, SPAN - span, SPAN - span)) if n.endswith('_table') else x for n, x in named.items()}


@pytest.fixture
def model(golden):
    model = KMaX(norm_cfg={'type': 'BN', 'eps': 1e-3, 'momentum': 0.01}, **golden['meta']['kwargs'])
    missing, unexpected = model.load_state_dict(to_ours(golden['sd'], golden['meta']['span']), strict=False)
    assert not unexpected
    assert all(name.endswith('num_batches_tracked') for name in missing)
    model.semantic.aspp.dropout.p = 0.0
    return model


def agree(actual, expected, fraction, what):
    """`assert_within`; of one number relative to itself."""
    if expected.numel() > 1:
        assert_within(actual, expected, fraction, what)
    else:
        torch.testing.assert_close(actual, expected, rtol=fraction, atol=0, msg=what)


def part(golden, kind, of):
    return {name.removeprefix(f'{of}/'): x for name, x in golden[kind].items() if name.startswith(f'{of}/')}


def compare(golden, model, mode):
    """All predictions, then the gradients of the maps; and those of the parameters as they should be."""
    maps = [golden['in'][f'{mode}/{name}'].clone().requires_grad_() for name in MAPS]
    found = model.train(mode == 'train')(maps)
    named = {f'{kind}{i}': x for kind in ('classes', 'masks', 'features') for i, x in enumerate(getattr(found, kind))}
    if mode == 'train':
        named['semantic'] = found.semantic
    expected, cotangents = part(golden, 'out', mode), part(golden, 'cot', mode)
    assert named.keys() == expected.keys()
    for name, value in named.items():
        assert_within(value, expected[name], OUTPUTS, name)
    sum((value * cotangents[name]).sum() for name, value in named.items()).backward()
    gradients = part(golden, 'grad', mode)
    for name, given in zip(MAPS, maps):
        assert_within(given.grad, gradients.pop(f'in/{name}'), GRADIENTS, f'gradient of {name}')
    return found, to_ours(gradients, golden['meta']['span'])


def test_training_step(golden, model):
    """On maps of odd sides, whose corners meet: all predictions, all gradients, the running statistics."""
    found, gradients = compare(golden, model, 'train')
    assert found.covered == (36, 68)
    parameters = dict(model.named_parameters())
    for name, wanted in gradients.items():
        agree(parameters[name].grad, wanted, GRADIENTS, f'gradient of {name}')
    # A shift that a norm over the batch or a softmax takes away.
    left = parameters.keys() - gradients.keys()
    ends = ('logit_norm.bias', 'height.output_norm.bias', 'centre_norm.bias', 'pixels.2.conv.bias')
    assert all(name.endswith(ends) for name in left), left
    assert max(parameters[name].grad.abs().max() for name in left) < 1e-3
    buffers = dict(model.named_buffers())
    for name, wanted in to_ours(part(golden, 'mid', 'train'), golden['meta']['span']).items():
        agree(buffers[name], wanted, OUTPUTS, name)


def test_evaluation(golden, model):
    """On maps of even sides."""
    found, _ = compare(golden, model, 'eval')
    assert (found.covered, found.image_size, found.semantic) == ((64, 128), None, None)


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('coco', {'in_channels': (256, 512, 1024, 2048), 'num_classes': 133}),
        (
            'cityscapes',
            {
                'in_channels': (256, 64, 512, 1024, 2048),
                'num_classes': 19,
                'num_queries': 256,
                'channels': (512, 256, 128, 64, 32),
                'num_blocks': (1, 5, 1, 1, 1),
                'kinds': ('axial', 'axial', *['bottleneck'] * 3),
                'semantic': 'conv',
            },
        ),
    ],
)
def test_published_sizes(golden, name, options):
    """Of the official modules on a ResNet-50."""
    with torch.device('meta'):
        model = KMaX(**options)
    expected = golden['meta']['parameters'][name]
    pixels = sum(p.numel() for p in model.pixel_decoder.parameters())
    assert pixels == expected['pixel_decoder']
    assert sum(p.numel() for p in model.parameters()) - pixels == expected['predictor']


OURS = {'loss_ce': 'loss_cls', 'loss_pixel_insdis': 'loss_pixel', 'loss_aux_semantic': 'loss_semantic'}
WEIGHTS = {'loss_ce': 3.0, 'loss_mask': 0.3, 'loss_dice': 3.0, 'loss_pixel_insdis': 1.0, 'loss_aux_semantic': 1.0}
CASES = {
    'losses': {'pixel_samples': 40, 'semantic_samples': 30},
    'losses_conv': {'pixel_samples': 60, 'pixel_temperature': 0.6, 'semantic_samples': 0, 'semantic_temperature': 1.0},
}


def loss_inputs(golden, case):
    given = part(golden, 'in', case)
    targets = [MaskTarget(given[f'labels{i}'], given[f'gt{i}']) for i in range(2)]
    leaves = {name: x.clone().requires_grad_() for name, x in given.items() if x.is_floating_point()}
    of = [tuple(leaves[f'{kind}{i}'] for i in range(3)) for kind in ('pred_logits', 'pred_masks', 'pixel_feature')]
    return leaves, MaskPredictions(of[0], of[1], None, (36, 68), of[2], leaves['semantic']), targets


@pytest.mark.parametrize('case', CASES)
def test_losses(golden, case):
    """Masks that overlap, void places, more masks than queries, drawn places; logits of classes at a smaller size."""
    leaves, predictions, targets = loss_inputs(golden, case)
    torch.manual_seed(13)
    found = KMaXCriterion(**CASES[case])(predictions, targets)
    for official, wanted in golden['meta'][case].items():
        name, _, number = official.rpartition('_') if official[-1].isdigit() else (official, '', '')
        ours = f'd{number}.' * bool(number) + OURS.get(name, name)
        assert found.pop(ours).item() == pytest.approx(WEIGHTS[name] * wanted, rel=1e-5), ours
    assert not found
    torch.manual_seed(13)
    sum(KMaXCriterion(**CASES[case])(predictions, targets).values()).backward()
    for name, wanted in part(golden, 'grad', case).items():
        assert_within(leaves[name].grad, wanted, GRADIENTS, f'gradient of {name}')


def test_matching(golden):
    _, predictions, targets = loss_inputs(golden, 'losses')
    for image, (queries, masks) in enumerate(golden['meta']['matches']):
        found = match(predictions.classes[-1][image], predictions.masks[-1][image], targets[image])
        assert [x.tolist() for x in found[:2]] == [queries, masks]


@pytest.mark.parametrize('case', ['coco', 'cityscapes'])
def test_results(golden, case):
    """Segments, instances and scores of classes from logits: enlarged, cut and resized as published."""
    pytest.importorskip('mmdet')
    from mmdet.structures import INSTANCE_OFFSET, DetDataSample

    from mmvitdense.models.detection import KMaXFusionHead, KMaXHead

    given, expected, meta = part(golden, 'in', case), part(golden, 'out', case), golden['meta']['predict'][case]
    height, width = given['masks'].shape[-2:]
    found = MaskPredictions((given['classes'],), (given['masks'],), None, (4 * height, 4 * width))
    sample = DetDataSample(
        metainfo={'batch_input_shape': meta['shape'], 'img_shape': meta['small'], 'ori_shape': meta['orig']}
    )
    things, stuff, overlap = meta['thr']
    test_cfg = {'thing_thr': things, 'stuff_thr': stuff, 'overlap_thr': overlap, 'mask_power': meta['mask_power']}
    counts = {'num_things_classes': 3, 'num_stuff_classes': 2}
    fusion = KMaXFusionHead(**counts, test_cfg={**test_cfg, 'instance_on': True, 'max_per_image': 12})
    logits = KMaXHead(**counts).predict(found, [sample])
    (result,) = fusion.predict(*logits, [sample], rescale=True)
    segments = result['pan_results'].sem_seg[0]
    assert torch.equal(segments % INSTANCE_OFFSET, expected['labels'].to(segments))
    pairs = {*zip(segments.flatten().tolist(), expected['segments'].flatten().tolist())}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}), 'segments are the same'
    instances = result['ins_results']
    order, wanted = (x.argsort() for x in (instances.scores, expected['scores']))
    torch.testing.assert_close(instances.scores[order], expected['scores'][wanted], rtol=1e-4, atol=1e-6)
    assert torch.equal(instances.labels[order], expected['instance_labels'][wanted])
    assert torch.equal(instances.masks[order], expected['instance_masks'][wanted])


def test_scores_of_classes(golden):
    pytest.importorskip('mmseg')
    from mmvitdense.models.segmentation import KMaXSegHead

    given = part(golden, 'in', 'cityscapes')
    found = MaskPredictions((given['classes'],), (given['masks'],), None, (32, 64))
    scores = KMaXSegHead(num_classes=5).predict(found, [{'img_shape': (32, 64), 'pad_shape': (32, 64)}])
    assert_within(scores[0], part(golden, 'out', 'cityscapes')['semantic'], OUTPUTS, 'scores')
