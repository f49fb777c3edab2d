"""The recipe of PEM on a ResNet-50 is the published one."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from tests.configs.test_configs import build_model, load, without_amp

RECIPES = {
    # Parameters (35.6 million in the paper), rate and its end, iterations, short sides.
    '160k_ade20k-512': (35_566_248, 4e-4, 1e-6, 160_000, (256, 1024)),
    '90k_cityscapes-512x1024': (35_532_581, 7e-4, 0.0, 90_000, (512, 2048)),
}


@pytest.mark.parametrize('name', RECIPES)
def test_recipe(name):
    """Sizes, rates and decay of each part, and the rate at the start, half-way and at the end."""
    total, rate, least, iterations, sides = RECIPES[name]
    config = load(f'pem/r50_pem_{name}.py')
    with torch.device('meta'):
        model = build_model(config)
    assert sum(p.numel() for p in model.parameters()) == total
    assert config.auto_scale_lr.base_batch_size == 8 * config.train_dataloader.batch_size == 32
    wrapper = build_optim_wrapper(model, without_amp(config.optim_wrapper))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {names[id(p)]: group for group in wrapper.optimizer.param_groups for p in group['params']}
    assert all(
        name.startswith('backbone') == (group['lr'] == pytest.approx(rate / 10)) for name, group in groups.items()
    )
    without = {name for name, group in groups.items() if not group['weight_decay']}
    assert {'neck.0.query_feat.weight', 'neck.0.level_embed.weight', 'neck.0.layers.0.norm1.weight'} <= without
    assert {'neck.0.layers.0.fc1.weight', 'neck.0.cls_embed.bias'}.isdisjoint(without)
    (options,) = config.param_scheduler
    schedule = PARAM_SCHEDULERS.build({**options, 'optimizer': wrapper.optimizer, 'T_max': 10, 'end': 11})
    (group,) = (group for name, group in groups.items() if name == 'neck.0.cls_embed.bias')
    rates = []
    for _ in range(11):
        rates.append(group['lr'])
        wrapper.optimizer.step()
        schedule.step()
    assert rates[::5] == pytest.approx([rate, (rate + least) / 2, least])
    assert options.T_max == options.end == config.train_cfg.max_iters == iterations
    trained = {p.requires_grad for name, p in model.named_parameters() if name.startswith('backbone.bn1')}
    assert trained == {'cityscapes' in name}
    scales = config.train_dataloader.dataset.pipeline[2].scales
    assert (scales[0], scales[-1], len(scales)) == (*sides, 16)
