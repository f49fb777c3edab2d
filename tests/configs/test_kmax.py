"""The recipes of kMaX-DeepLab on a ResNet-50 are the published ones."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from tests.configs.test_configs import build_model, load, without_amp

ITERATIONS = {'150k_coco': 150_000, '100k_ade20k': 100_000}


def test_rates_and_decay():
    """A tenth of the rate for the backbone; no decay of norms, biases, positions and queries."""
    config = load('kmax_deeplab/r50_kmax_150k_coco-panoptic-1281.py')
    with torch.device('meta'):
        model = build_model(config)
    wrapper = build_optim_wrapper(model, without_amp(config.optim_wrapper))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {names[id(p)]: group for group in wrapper.optimizer.param_groups for p in group['params']}
    assert len(groups) == len(names), 'all are trained'
    for name, group in groups.items():
        assert group['lr'] == pytest.approx(5e-5 if name.startswith('backbone') else 5e-4), name
        # Of a batch norm or the LayerNorm of a map that comes in, which has one dimension, as biases have.
        without = model.get_parameter(name).ndim == 1 or name.endswith(('_table', 'cluster_centers'))
        assert group['weight_decay'] == (0 if without else 0.05), name
    assert config.auto_scale_lr.base_batch_size == 32 * config.train_dataloader.batch_size


@pytest.mark.parametrize('name', ITERATIONS)
def test_schedule(name):
    """Warm-up over 5000 iterations, then what polynomial decay from the first one on has come to."""
    config, last = load(f'kmax_deeplab/r50_kmax_{name}-panoptic-1281.py'), ITERATIONS[name]
    assert config.train_cfg.max_iters == last
    warm_up, decay = config.param_scheduler
    assert (warm_up.begin, warm_up.end, decay.begin, decay.end) == (0, 5000, 5000, last)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    # In small: a hundredth of all iterations.
    short = [{**options, 'begin': options.begin // 100, 'end': options.end // 100} for options in (warm_up, decay)]
    schedules = [PARAM_SCHEDULERS.build({**options, 'optimizer': optimizer}) for options in short]
    rates = []
    for _ in range(last // 100):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for schedule in schedules:
            schedule.step()
    assert rates[0] == pytest.approx(0.001)
    for step in (50, 51, last // 200, last // 100 - 1):
        assert rates[step] == pytest.approx((1 - step * 100 / last) ** 0.9, abs=2e-3)


@pytest.mark.parametrize('name', ITERATIONS)
def test_images(name):
    """Of 1281 pixels, at which the corners of all maps meet; padded behind normalisation."""
    config = load(f'kmax_deeplab/r50_kmax_{name}-panoptic-1281.py')
    steps = {step.type: step for step in config.train_dataloader.dataset.pipeline}
    paste = steps['mmvitdense.PanopticCopyPaste']
    assert paste.num_things_classes == config.model.panoptic_head.num_things_classes
    assert paste.transforms[0].ratio_range == tuple(ratio / 2 for ratio in steps['RandomResize'].ratio_range)
    assert paste.transforms[1:] == config.train_dataloader.dataset.pipeline[1:-2]
    assert steps['RandomResize'].ratio_range == ((0.2, 2.0) if 'coco' in name else (0.5, 2.0))
    assert steps['RandomCrop'].crop_size == steps['RandomResize'].scale == (1281, 1281)
    assert config.val_dataloader.dataset.pipeline[1].scale == (1281, 1281)
    preprocessor = config.model.data_preprocessor
    assert (preprocessor.mean, preprocessor.std, preprocessor.pad_size_divisor) == ([127.5] * 3, [127.5] * 3, 1281)
    assert (config.model.test_cfg.thing_thr, config.model.test_cfg.stuff_thr) == (
        (0.7, 0.5) if 'coco' in name else (0.4, 0.4)
    )
