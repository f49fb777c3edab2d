"""The recipes for small data: what is trained, at which rate, and what their checkpoints leave out."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmvitdense.apis.build import build_model

pytest.importorskip('mmdet')
ROOT = Path(__file__).parents[2] / 'configs/finetuning'


@pytest.mark.parametrize('kind', ['mask-rcnn', 'faster-rcnn'])
@pytest.mark.parametrize(('trunk', 'rate'), [('tuned', 2e-5), ('frozen', None), ('lora', 2e-4)])
def test_rates(trunk, rate, kind):
    config = Config.fromfile(ROOT / f'vitdet-s-dinov2_{kind}_{trunk}-1k_coco.py')
    with torch.device('meta'):
        model = build_model(config)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    rates = {id(p): group['lr'] for group in optimizer.param_groups for p in group['params']}
    assert rates.keys() == {id(p) for p in model.parameters() if p.requires_grad}
    of_trunk = {round(rates[id(p)], 9) for p in model.backbone.parameters() if p.requires_grad}
    assert of_trunk == ({rate} if rate else set())
    assert {rates[id(p)] for n, p in model.named_parameters() if not n.startswith('backbone.')} == {1e-3}
    trained = sum(p.numel() for p in model.backbone.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in model.backbone.parameters())
    # q and v of 12 blocks, 384 channels, rank 8
    assert trained == {'tuned': whole, 'frozen': 0, 'lora': 12 * 2 * 8 * 2 * 384}[trunk]
    assert bool(config.get('custom_hooks')) == (trunk != 'tuned')
