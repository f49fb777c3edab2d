"""Linear heads of DINOv2 and DINOv3: numbers of the official code, with trunk and border, and head files."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from mmvitdense.apis.checkpoint import load_model_weights
from mmvitdense.apis.convert import convert_file
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.weight_files import write_checkpoint
from mmvitdense.checkpoints import CheckpointError, ViTPretrained, convert
from mmvitdense.models import ViTTaps
from mmvitdense.registry import MODELS
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden

pytest.importorskip('mmseg')

DINOV3 = dict(with_cls_token=True, dropout_before_norm=True, dropout_ratio=0.1)


def build_head(**options):
    options = ConfigDict(type='mmvitdense.LinearSegHead', norm_cfg=dict(type='BN'), align_corners=False, **options)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(options)


def load_head(head, weights):
    """Of a file with a head alone, without a name left over."""
    converted = convert(weights)
    assert all(name.startswith('decode_head.') for name in converted)
    head.load_state_dict({name.removeprefix('decode_head.'): x for name, x in converted.items()})
    return head.eval()


def of_prefix(parts, prefix):
    return {name.removeprefix(prefix): x for name, x in parts.items() if name.startswith(prefix)}


class TestDinov2:
    """A trunk, its border, four normed maps and the head of '+ms'."""

    @pytest.fixture(scope='class')
    def golden(self):
        return read_golden('dinov2_ms_head')

    @pytest.fixture
    def taps(self, golden):
        """Options of the backbone."""
        sizes = golden['meta']['vit']
        vit = dict(
            preset='dinov2-small',
            embed_dims=sizes['embed_dim'],
            num_layers=sizes['depth'],
            num_heads=sizes['num_heads'],
            feedforward_channels=sizes['embed_dim'] * sizes['mlp_ratio'],
            pretrain_img_size=sizes['img_size'],
        )
        return dict(vit=vit, out_indices=golden['meta']['head']['blocks'])

    @pytest.fixture
    def model(self, golden, taps):
        taps = ViTTaps(**taps)
        weights = convert(of_prefix(golden['sd'], 'trunk.'))
        del weights['mask_token']
        taps.vit.load_state_dict(weights)
        head = build_head(in_channels=[24] * 4, num_classes=golden['meta']['head']['classes'])
        return nn.Sequential(taps, load_head(head, head_file(golden['sd']))).eval()

    def test_outputs(self, golden, model):
        image = golden['in']['image']
        for index, found in enumerate(model[0](image)):
            assert_within(found, golden['mid'][str(index)], OUTPUTS, f'map {index}')
        assert_within(model(image), golden['out']['eval'], OUTPUTS, 'scores')
        assert_within(model.train()(image), golden['out']['train'], OUTPUTS, 'scores with statistics of the batch')

    def test_gradients(self, golden, model):
        image = golden['in']['image'].clone().requires_grad_()
        (model(image) * golden['cot']['eval']).sum().backward()
        trunk, head = (dict(part.named_parameters()) for part in model)
        for name, expected in golden['grad'].items():
            kind, _, rest = name.partition('.')
            found = image if name == 'image' else head[rest] if kind == 'decode_head' else trunk[f'vit.{rest}']
            assert_within(found.grad, expected, GRADIENTS, f'gradient of {name}')

    def test_files_of_head_and_trunk(self, golden, taps, tmp_path):
        """Joined by the tool they are the weights of a segmentor, which predicts what the official model does."""
        torch.save({'state_dict': head_file(golden['sd'])}, tmp_path / 'head.pth')
        torch.save(of_prefix(golden['sd'], 'trunk.'), tmp_path / 'trunk.pth')
        joined = convert_file(tmp_path / 'head.pth', trunk=tmp_path / 'trunk.pth', num_heads=2)
        write_checkpoint(joined.weights, tmp_path / 'whole.pth', joined.record)
        head = dict(type='mmvitdense.LinearSegHead', in_channels=[24] * 4, num_classes=6, norm_cfg=dict(type='BN'))
        config = dict(type='mmvitdense.WindowedEncoderDecoder', decode_head=head, test_cfg=dict(mode='whole'))
        with DefaultScope.overwrite_default_scope('mmseg'):
            model = MODELS.build(ConfigDict(backbone=dict(type='mmvitdense.ViTTaps', **taps), **config)).eval()
        load_model_weights(model, tmp_path / 'whole.pth')
        with torch.no_grad():
            found = model.predict(golden['in']['image'])
        for sample, scores in zip(found, golden['out']['eval']):
            stretched = F.interpolate(scores[None], (33, 47), mode='bilinear')[0]
            assert_within(sample.seg_logits.data, stretched, OUTPUTS, 'scores')

        with pytest.raises(CheckpointError, match=r'is a file of DINO linear head without a ViT: .* --trunk VIT'):
            ViTPretrained(tmp_path / 'head.pth')(model.backbone.vit)
        for source, trunk, words in (('trunk', 'trunk', 'leave out --trunk'), ('head', 'head', 'one of a plain ViT')):
            with pytest.raises(InputError, match=words):
                convert_file(tmp_path / f'{source}.pth', trunk=tmp_path / f'{trunk}.pth')


def head_file(weights):
    return {name: x for name, x in weights.items() if name.startswith('decode_head.')}


class TestHeadsAlone:
    @pytest.fixture(scope='class')
    def golden(self):
        return read_golden('dino_linear_heads')

    @staticmethod
    def inputs(golden, family, count):
        return [tuple(golden['in'][f'{family}/{i}/{kind}'].clone() for kind in ('map', 'token')) for i in range(count)]

    def test_resized_maps_and_class_tokens_of_dinov2(self, golden):
        head = build_head(**golden['meta']['dinov2'], num_classes=6, with_cls_token=True)
        load_head(head, head_file(golden['sd']))
        assert_within(head(self.inputs(golden, 'dinov2', 3)), golden['out']['dinov2'], OUTPUTS, 'scores')

    def test_dinov3_drops_before_its_norm(self):
        head = build_head(in_channels=12, num_classes=6, dropout_before_norm=True, dropout_ratio=0.5).train()
        features = torch.randn(2, 12, 5, 7)
        torch.manual_seed(5)
        found = head((features,))
        torch.manual_seed(5)
        assert torch.equal(found, head.conv_seg(head.bn(F.dropout2d(features, 0.5))))
        assert torch.equal(head.eval()((features,)), head.conv_seg(head.bn(features)))

    def test_dinov3(self, golden):
        head = build_head(in_channels=golden['meta']['dinov3']['in_channels'], num_classes=6, **DINOV3)
        load_head(head, {name: x for name, x in golden['sd'].items() if name.startswith('segmentation_model.')})
        inputs = self.inputs(golden, 'dinov3', 2)
        assert_within(head(inputs), golden['out']['dinov3'], OUTPUTS, 'scores')
        metas = [dict(img_shape=torch.Size((33, 50)))] * 2
        assert_within(head.predict(inputs, metas, None), golden['out']['dinov3_predict'], OUTPUTS, 'stretched scores')
        head.dropout.p = 0.0
        for pair in inputs:
            for tensor in pair:
                tensor.requires_grad_()
        scores = head.train()(inputs)
        assert_within(scores, golden['out']['dinov3_train'], OUTPUTS, 'scores with statistics of the batch')
        (scores * golden['cot']['dinov3_train']).sum().backward()
        layers = {'batchnorm_layer': head.bn, 'conv': head.conv_seg}
        for name, expected in golden['grad'].items():
            if name.startswith('segmentation_model.'):
                _, _, layer, kind = name.split('.')
                found = getattr(layers[layer], kind)
            else:
                place, _, kind = name.partition('/')
                found = inputs[int(place)][kind == 'token']
            assert_within(found.grad, expected, GRADIENTS, f'gradient of {name}')


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(channels=24), r'channels=24, but maps of \[12\] channels make 12'),
        (dict(resize_factors=[1, 2]), '2 resize_factors for 1 maps'),
    ],
)
def test_what_a_linear_head_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        build_head(in_channels=12, num_classes=6, **options)
    head = build_head(in_channels=12, num_classes=6, with_cls_token=True)
    with pytest.raises(ValueError, match='the backbone gives maps alone'):
        head((torch.randn(2, 12, 5, 7),))
