"""Co-DETR against what the released code computed: predictions, every loss, and the gradients of all of them."""

import pytest
import torch

pytest.importorskip('mmdet')

from mmvitdense.checkpoints import detect
from mmvitdense.models import SFP, PlainViT
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.co_detr import detector, maps, samples
from tests.fidelity.golden import read_golden

GOLDEN = read_golden('codetr_heads')
FORM = detect(GOLDEN['sd'])
# Relative; each is a sum of many terms in float32.
LOSSES = 2e-5


@pytest.fixture(scope='module')
def model():
    model = detector()
    model.load_state_dict(FORM.convert(GOLDEN['sd']))
    return model


def losses_of(model, masked=True):
    model.train().zero_grad()
    model.with_attn_mask, model.backbone.maps = masked, tuple(level.requires_grad_() for level in maps(GOLDEN))
    torch.manual_seed(GOLDEN['meta']['seed'])
    losses = model.loss(images(), samples(GOLDEN))
    return {name: sum(loss) if isinstance(loss, list) else loss for name, loss in losses.items()}


def images():
    return torch.zeros(2, 3, *GOLDEN['meta']['side'])


def assert_losses(found, expected):
    assert found.keys() == expected.keys()
    for name, loss in expected.items():
        assert found[name].item() == pytest.approx(loss, rel=LOSSES), name


def test_losses_and_gradients_with_the_same_random_draws(model):
    losses = losses_of(model)
    assert_losses(losses, GOLDEN['meta']['losses'])
    total = sum(loss for name, loss in losses.items() if 'loss' in name)
    assert total.item() == pytest.approx(GOLDEN['meta']['total'], rel=LOSSES)
    total.backward()
    for index, level in enumerate(model.backbone.maps):
        assert_within(level.grad, GOLDEN['grad_in'][f'map{index}'], GRADIENTS, f'gradient of map {index}')
    expected = FORM.convert(GOLDEN['grad'])
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert found.keys() == expected.keys()
    # A norm of one channel for each group takes the bias before it away.
    assert found.pop('downsample.0.bias').abs().max() < 1e-4
    single = [name for name, gradient in found.items() if gradient.numel() == 1]
    assert_within(*(torch.stack([of[n].flatten() for n in single]) for of in (found, expected)), GRADIENTS, 'scales')
    for name in found.keys() - set(single):
        assert_within(found[name], expected[name], GRADIENTS, f'gradient of {name}')


def test_losses_where_padding_is_image(model):
    assert_losses(losses_of(model, masked=False), GOLDEN['meta']['losses_lsj'])


def test_memory_scores_and_boxes(model):
    model.eval()
    model.with_attn_mask, model.backbone.maps = True, maps(GOLDEN)
    with torch.no_grad():
        memory, geometry, encoded = model._encode(model.backbone.maps, samples(GOLDEN))
        scores, boxes = model.bbox_head(**model._decode(memory, geometry, encoded, samples(GOLDEN)))
        for index, level in enumerate(model._memory_maps(memory, model.backbone.maps)):
            assert_within(level, GOLDEN['mid'][f'memory{index}'], OUTPUTS, f'memory {index}')
    assert_within(scores, GOLDEN['out']['scores'], OUTPUTS, 'scores of all layers')
    assert_within(boxes, GOLDEN['out']['boxes'], OUTPUTS, 'boxes of all layers')


@pytest.mark.parametrize(
    ('mode', 'masked'), [('detr', True), ('detr', False), ('two-stage', True), ('one-stage', True)]
)
def test_predictions(model, mode, masked):
    """With soft suppression after as many scores as there are queries, in pixels of the original images."""
    model.eval()
    model.eval_module, model.with_attn_mask, model.backbone.maps = mode, masked, maps(GOLDEN)
    with torch.no_grad():
        found = model.predict(images(), samples(GOLDEN))
    for index, sample in enumerate(found):
        expected = GOLDEN['out'][f'{mode}{"" if masked else "_lsj"}{index}']
        objects = sample.pred_instances
        assert objects.labels.tolist() == expected[:, 5].tolist()
        assert_within(objects.bboxes, expected[:, :4], OUTPUTS, 'boxes')
        assert_within(objects.scores, expected[:, 4], OUTPUTS, 'scores')
        assert sample.img_shape == tuple(GOLDEN['meta']['shapes'][index]), 'the sample that was given stays'


class TestTrunk:
    """The ViT with windows that are padded, a map that is no square, and the pyramid behind it."""

    FILE = read_golden('codetr_vit')
    # As in a published file: the trunk with its tables, the heads, and the weights of the last step.
    WHOLE = {**GOLDEN['sd'], **FILE['sd'], 'ema_backbone_pos_embed': torch.zeros(1)}

    @pytest.fixture(scope='class')
    def parts(self):
        form = detect(self.WHOLE)
        options = form.options(self.WHOLE, window_size=3, global_blocks=(1,))
        assert (options['num_heads'], options['pretrain_img_size']) == (1, 32)
        weights = form.converted(self.WHOLE)
        assert not [name for name in weights if 'rope' in name or name.startswith(('ema_', 'query_head'))]
        vit, neck = PlainViT(**options), SFP(64, 8)
        for prefix, part in (('backbone.', vit), ('neck.', neck)):
            part.load_state_dict(own(weights, prefix))
        return vit, neck, form

    def test_levels_and_gradients(self, parts):
        vit, neck, form = parts
        image = self.FILE['in']['image']
        (found,) = vit.eval()(image)
        levels = neck((found,))
        assert_within(found, self.FILE['mid']['vit'], OUTPUTS, 'map of the ViT')
        for index, level in enumerate(levels):
            assert_within(level, self.FILE['out'][str(index)], OUTPUTS, f'level {index}')
        sum((level * self.FILE['cot'][str(index)]).sum() for index, level in enumerate(levels)).backward()
        # The tables of frequencies tell the heads, of gradients too.
        tables = {name: x for name, x in self.FILE['sd'].items() if 'rope' in name}
        expected = form.converted({**GOLDEN['sd'], **tables, **self.FILE['grad']})
        for prefix, part in (('backbone.', vit), ('neck.', neck)):
            wanted = own(expected, prefix)
            for name, parameter in part.named_parameters():
                assert_within(gradient_of(parameter, name), without_keys(wanted[name], name), GRADIENTS, name)


def own(weights, prefix):
    return {name.removeprefix(prefix): x for name, x in weights.items() if name.startswith(prefix)}


def gradient_of(parameter, name):
    return without_keys(parameter.grad, name)


def without_keys(tensor, name):
    """Biases of keys, which nothing depends on, are not there in the released code."""
    if not name.endswith('qkv.bias'):
        return tensor
    query, _, value = tensor.chunk(3)
    return torch.cat([query, value])
