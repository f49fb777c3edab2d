"""Files for images of other than three channels, and of video."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.checkpoints import CheckpointError, ViTPretrained, detect
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import OUTPUTS, assert_within
from tests.fidelity.pretraining import SIZES, SMOOTH, rename, timm_vit


def softcon(channels, **options):
    """As SoftCon publishes DINOv2's layout, with timm's rule of positions."""
    return timm_vit(patch_size=14, img_size=56, in_chans=channels, init_values=1.0, **options)


@pytest.mark.parametrize('channels', [2, 5, 13])
def test_softcon(channels, tmp_path):
    """The options tell the number of channels; the features are those of the oracle at two sizes."""
    oracle = softcon(channels)
    weights = {**oracle.state_dict(), 'mask_token': torch.zeros(1, 192)}
    torch.save(weights, tmp_path / 'softcon.pth')
    form = detect(weights)
    assert form.name == 'DINOv2'
    options = describe(form, weights, {'num_heads': 3, **SMOOTH}).options
    assert options['in_channels'] == channels
    assert form.families({**weights, 'pos_embed': torch.zeros(1, 257, 192)}) == (
        ('dinov2',) if channels == 5 else ('softcon',)
    )
    model = PlainViT(**options, init_cfg={'type': 'ViTPretrained', 'checkpoint': str(tmp_path / 'softcon.pth')})
    model.init_weights()
    for size in ((56, 56), (42, 70)):
        image = torch.randn(2, channels, *size)
        with torch.no_grad():
            tokens = oracle.forward_features(image)[:, 1:]
            (found,) = model.eval()(image)
        assert_within(found, tokens.transpose(1, 2).reshape(found.shape), OUTPUTS, f'{channels} channels')


class TestOtherChannels:
    @pytest.fixture
    def file(self, tmp_path):
        weights = softcon(3).state_dict()
        torch.save(weights, tmp_path / 'rgb.pth')
        return tmp_path / 'rgb.pth', weights

    def model(self, in_channels, file, **how):
        options = {'embed_dims': 192, 'num_layers': 2, 'num_heads': 3, 'patch_size': 14, 'pretrain_img_size': 56}
        rules = {'pos_resize': {'by': 'scale'}, 'final_norm': 'all', 'with_cls_token': True, 'layer_scale_init': 1.0}
        init = {'type': 'ViTPretrained', 'checkpoint': str(file), **how}
        return PlainViT(**options, **rules, in_channels=in_channels, init_cfg=init)

    def test_are_refused_unless_asked_for(self, file):
        with pytest.raises(CheckpointError, match='for images of 3 channels, the model has in_channels=13: give'):
            self.model(13, file[0]).init_weights()

    @pytest.mark.parametrize('channels', [1, 2, 4, 13])
    def test_repeated_as_in_timm(self, file, channels):
        module = pytest.importorskip('timm.models._manipulate')
        kernel = file[1]['patch_embed.proj.weight']
        model = self.model(channels, file[0], channels='repeat')
        model.init_weights()
        assert torch.allclose(model.patch_embed.proj.weight, module.adapt_input_conv(channels, kernel), atol=1e-6)

    def test_chosen(self, tmp_path):
        weights = softcon(13).state_dict()
        torch.save(weights, tmp_path / 'bands.pth')
        model = self.model(3, tmp_path / 'bands.pth', channels=[3, 2, 1])
        model.init_weights()
        assert torch.equal(model.patch_embed.proj.weight, weights['patch_embed.proj.weight'][:, [3, 2, 1]])
        with pytest.raises(CheckpointError, match=r'channels must name 3 channels of the 13 .*got \[13, 2, 1\]'):
            self.model(3, tmp_path / 'bands.pth', channels=[13, 2, 1]).init_weights()

    def test_words(self):
        with pytest.raises(ValueError, match="channels must be 'repeat' or a list"):
            ViTPretrained('x', channels='mean')


@pytest.mark.parametrize('size', SIZES)
def test_video_mae(size):
    """A clip of one step whose two frames are the same has the features of the image."""
    oracle = timm_vit()
    weights = rename(oracle.state_dict(), (r'^pos_embed$', 'pos'))
    table = weights.pop('pos')
    step = torch.randn(1, 1, 192)
    kernel = torch.randn(192, 3, 2, 8, 8) * 0.1
    split = {}
    for name, tensor in weights.items():
        if '.attn.qkv.' in name:
            parts = zip('qkv', tensor.chunk(3))
            split.update((name.replace('attn.qkv', f'attn.{part}'), rows) for part, rows in parts)
        else:
            split[name] = tensor
    split |= {'patch_embed.proj.weight': kernel, 'pos_embed_spatial': table[:, 1:] - step, 'pos_embed_temporal': step}
    split |= {'pos_embed_class': table[:, :1], 'decoder_pos_embed_class': torch.zeros(1, 1, 8)}
    with torch.no_grad():
        oracle.patch_embed.proj.weight.copy_(kernel.sum(2))
        clip = torch.randn(1, 3, 1, *size).expand(-1, -1, 2, -1, -1)
        patches = F.conv3d(clip, kernel, oracle.patch_embed.proj.bias, stride=(2, 8, 8))[:, :, 0]
        assert torch.allclose(patches.permute(0, 2, 3, 1), oracle.patch_embed(clip[:, :, 0]), atol=1e-4)
    form = detect(split)
    assert form.name == 'video MAE'
    described = describe(form, split, {'num_heads': 3, **SMOOTH})
    assert 'the kernel of the patches is the sum over its 2 frames' in described.guesses['pos_embed']
    model = PlainViT(**described.options).eval()
    model.load_state_dict(form.convert(split), strict=False)
    image = clip[:, :, 0]
    with torch.no_grad():
        tokens = oracle.forward_features(image)[:, 1:]
        (found,) = model(image)
    assert_within(found, tokens.transpose(1, 2).reshape(found.shape), OUTPUTS, 'one step')
