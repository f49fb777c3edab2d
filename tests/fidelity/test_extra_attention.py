"""The attention before the pyramid of HTC++ against the released module, by the names of whole files."""

import pytest
import torch

from mmvitdense.checkpoints.formats.parts.openmmlab_heads import convert_heads
from mmvitdense.models import ExtraAttention
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden


def as_neck(part, tag):
    """Official names of a variant as in a whole file, renamed to ours."""
    official = {name.replace(f'{tag}.', 'neck.0.', 1): x for name, x in part.items() if name.startswith(f'{tag}.')}
    return {name.removeprefix('neck.0.'): x for name, x in convert_heads(official).items()}


@pytest.mark.parametrize('with_cp', [False, True], ids=['kept', 'recomputed'])
@pytest.mark.parametrize(
    ('tag', 'options'), [('plain', {}), ('scaled', {'layer_scale_init': 0.5, 'final_norm': False})]
)
def test_as_released(tag, options, with_cp):
    golden = read_golden('extra_attention')
    kwargs = golden['meta']['kwargs']
    neck = ExtraAttention(
        kwargs['in_channels'],
        kwargs['num_head'],
        ffn_ratio=kwargs['ffn_ratio'],
        drop_path_rate=kwargs['drop_path'],
        with_cp=with_cp,
        **options,
    ).eval()
    neck.load_state_dict(as_neck(golden['sd'], tag))
    last = golden['in'][tag].clone().requires_grad_()
    others = [torch.randn(2, 8, 2, 3) for _ in range(3)]
    *passed, found = neck([*others, last])
    assert all(after is before for after, before in zip(passed, others, strict=True))
    assert_within(found, golden['out'][tag], OUTPUTS, 'output')
    (found * golden['cot'][tag]).sum().backward()
    assert_within(last.grad, golden['grad_in'][tag], GRADIENTS, 'gradient of the map')
    grads = as_neck(golden['grad'], tag)
    assert grads.keys() == dict(neck.named_parameters()).keys()
    for name, parameter in neck.named_parameters():
        assert_within(parameter.grad, grads[name], GRADIENTS, name)
