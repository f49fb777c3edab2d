"""The examples of docs/finetuning.md do what they say."""

import re
from pathlib import Path

import torch
from mmengine.registry import HOOKS

from mmvitdense.engine import TrainedWeightsHook

# The last one runs in tests/integration/test_trained_weights.py.
TEXT = (Path(__file__).parents[2] / 'docs' / 'finetuning.md').read_text()
RATES, LORA, HOOK, _ = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)


def test_lora():
    found = {}
    exec(LORA, found)
    assert found['trained'] == 4 * 2 * 4 * 2 * 64
    for name in ('merged', 'removed'):
        torch.testing.assert_close(found[name], found['before'])


def test_what_stands_in_a_config():
    found = {}
    exec(RATES + HOOK, found)
    assert (
        found['optim_wrapper']['optimizer']['lr'] * found['optim_wrapper']['paramwise_cfg']['lr_mults']['backbone']
        == 2e-5
    )
    (hook,) = found['custom_hooks']
    assert isinstance(HOOKS.build(hook), TrainedWeightsHook)
