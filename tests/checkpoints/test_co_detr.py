"""Co-DETR in the layouts there are: the released code's on a ViT (`tests/fidelity`), on ViT-CoMer, mmdet 3's copy."""

import pytest
import torch

from mmvitdense.checkpoints import CheckpointError, convert, detect
from mmvitdense.checkpoints.formats.co_detr import FORMAT
from tests.fidelity.golden import read_golden

HEADS = read_golden('codetr_heads')['sd']
EXPECTED = FORMAT.convert(HEADS)


def with_heads(weights):
    return {**{f'backbone.{name}': x for name, x in weights.items()}, **HEADS}


def test_on_a_vit_comer():
    comer = read_golden('beitcomer2_codetr')['sd']
    laterals = {f'neck.fc{number}{number}.weight': torch.zeros(2, 2, 1, 1) for number in range(1, 5)}
    whole = {**with_heads(comer), **laterals, 'neck.p2.1.weight': torch.ones(1)}
    assert detect(whole).name == 'ViT-CoMer'
    converted = convert(whole)
    others = {name for name in converted if not name.startswith('backbone.')}
    assert others == {*EXPECTED, 'neck.p2.1.weight', *(f'neck.laterals.{number}.weight' for number in range(1, 5))}
    alone = convert({f'backbone.{name}': x for name, x in comer.items()})
    assert {name for name in converted if name.startswith('backbone.')} == alone.keys()


def test_names_of_the_copy_in_mmdet_3():
    label = 'query_head.label_embedding.weight'
    copied = {name.replace('label_embedding', 'dn_generator.label_embedding'): x for name, x in HEADS.items()}
    assert label in HEADS
    assert label not in copied
    assert convert(copied).keys() == EXPECTED.keys()


def test_on_another_backbone():
    """Converted, the backbone as it is; there is no ViT whose options could be read off."""
    whole = {**HEADS, 'backbone.conv1.weight': torch.zeros(2)}
    assert convert(whole).keys() == {*EXPECTED, 'backbone.conv1.weight'}
    with pytest.raises(CheckpointError, match='this Co-DETR has no ViT as its backbone'):
        detect(whole).options(whole)


def test_averaged_and_left_over():
    """The weights of the last step are dropped; what no rule knows (of files of LVIS) stays, to be reported."""
    extra = {
        'ema_query_head_label_embedding_weight': torch.zeros(1),
        'roi_head.0.bbox_head.0.loss_cls.w': torch.ones(1),
    }
    found = convert({**HEADS, **extra})
    assert found.keys() - EXPECTED.keys() == {'roi_head.bbox_head.0.loss_cls.w'}


def test_options_of_the_released_vit():
    """Windows of 24, every fourth block global; a given option wins."""
    whole = {**HEADS, **read_golden('codetr_vit')['sd']}
    for index in (2, 3):
        whole |= {
            n.replace('blocks.1.', f'blocks.{index}.'): x
            for n, x in whole.items()
            if n.startswith('backbone.blocks.1.')
        }
    options = detect(whole).options(whole, img_size=48)
    assert (options['window_size'], options['global_blocks'], options['img_size']) == (24, (3,), 48)
    assert (options['rope'], options['qkv_bias'], options['final_norm_eps']) == ({'kind': 'eva02'}, 'qv', 1e-5)
    assert detect(whole).guesses(whole, options).keys() == {'window_size', 'global_blocks'}
