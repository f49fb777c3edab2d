"""ViTs by their own official code, run for the golden files: names, options read off them, features and gradients."""

from __future__ import annotations

import pytest
import torch

from mmvitdense.checkpoints import detect, fit_to_vit
from mmvitdense.checkpoints.fit.options import FitOptions
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden

# {golden file: (its format, its family, what is no part of the ViT)}
CODES = {
    'mocov3': ('timm ViT', 'mocov3', {'head'}),
    'simmim': ('SimMIM ViT', 'simmim', {'mask_token'}),
    'mae_lite': (
        'timm ViT',
        'mae',  # of another width than MAE-Lite has
        {'mask_token', 'decoder_embed', 'decoder_pos_embed', 'decoder_blocks', 'decoder_norm', 'decoder_pred'},
    ),
    'ccvit': ('BEiT', 'ccvit', {'mask_token', 'lm_head', 'cls_pt_layers', 'cls_pt_norm', 'cls_pt_lm_head'}),
    'a2mim': ('mmpretrain or mmsegmentation ViT', 'a2mim', set()),
    'aimv2': ('AIMv2', 'aimv2', set()),
    'aimv2_native': ('AIMv2', 'aimv2-native', set()),
    'openvision': ('OpenVision', 'openvision', {'norm', 'proj'}),
}


@pytest.mark.parametrize('code', CODES)
def test_official_code(code):
    """Patches after the last norm; of OpenVision before it, as its code gives them."""
    golden = read_golden(f'official_{code}')
    form, size = detect(golden['sd']), golden['meta']['size']
    name, family, others = CODES[code]
    assert (form.name, form.families(golden['sd'])[0]) == (name, family)
    oblong_tables = code == 'simmim'
    given = {'num_heads': golden['meta']['num_heads'], **({'pretrain_img_size': size} if oblong_tables else {})}
    given |= {'final_norm': None} if code == 'openvision' else {}
    model = PlainViT(**describe(form, golden['sd'], given).options).eval()
    how = FitOptions(pos_grid=model.pos_grid if oblong_tables else None)
    kept, report = fit_to_vit(form.convert(golden['sd']), model, how)
    assert not report.missing
    assert {left.split('.')[0] for left in report.left_over} == others
    model.load_state_dict(kept)

    image = golden['in']['image'].clone().requires_grad_()
    got = model(image)[-1].flatten(2).transpose(1, 2)
    assert_within(got, golden['out']['tokens'], OUTPUTS, 'patches')
    (got * golden['cot']['tokens']).sum().backward()
    assert_within(image.grad, golden['grad'].pop('image'), GRADIENTS, 'gradient of the image')
    _compare_gradients(form, model, golden)


def _compare_gradients(form, model, golden):
    """Of the parameters that the official code trains; what it lacks is zero there."""
    absent = {name: torch.zeros_like(x) for name, x in golden['sd'].items() if name not in golden['grad']}
    expected = form.convert({**absent, **golden['grad']})
    trained = form.convert(
        {name: torch.full_like(x, float(name in golden['grad'])) for name, x in golden['sd'].items()}
    )
    compared = 0
    for name, parameter in model.named_parameters():
        if not trained[name].any():
            continue
        wanted, grad = expected[name], parameter.grad
        if model.blocks[0].attn.without_key_bias and name.endswith('qkv.bias'):
            wanted, grad = (torch.cat(x.chunk(3)[::2]) for x in (wanted, grad))
        assert_within(grad, wanted, GRADIENTS, f'gradient of {name}')
        compared += 1
    assert compared >= len(list(model.parameters())) - 1  # a table of positions may be fixed


@pytest.mark.parametrize('heads', [3, 6])
def test_another_number_of_heads_is_another_function(heads):
    """MAE-Lite and MoCo v3 have twelve narrow ones."""
    for code in ('mae_lite', 'mocov3'):
        golden = read_golden(f'official_{code}')
        form = detect(golden['sd'])
        model = PlainViT(**form.options(golden['sd'], num_heads=heads)).eval()
        model.load_state_dict(fit_to_vit(form.convert(golden['sd']), model)[0])
        with torch.no_grad():
            got = model(golden['in']['image'])[-1].flatten(2).transpose(1, 2)
        with pytest.raises(AssertionError, match='patches: off by'):
            assert_within(got, golden['out']['tokens'], 0.05, 'patches')
