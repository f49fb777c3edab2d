"""Whether two checkpoints are the ends of the same run, bit for bit."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import torch

_STATE = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'gradients')
_OF_THE_CLOCK = ('time', 'data_time', 'memory')


def flat(value: Any, prefix: str = '') -> dict[str, Any]:
    """All numbers of a checkpoint by their place."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    else:
        return {prefix: value}
    return dict(chain.from_iterable(flat(part, f'{prefix}.{key}').items() for key, part in parts))


def logged(checkpoint: dict[str, Any]) -> dict[str, list[float]]:
    """Everything that the run logged, but for the clock: losses, learning rates, metrics of validations."""
    scalars = checkpoint['message_hub']['log_scalars']
    return {
        name: buffer.data[0].tolist()
        for name, buffer in scalars.items()
        if name.rpartition('/')[2] not in _OF_THE_CLOCK
    }


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The weights, their averages, the optimizer, its schedules, waiting gradients, logs and the best score."""
    assert [key in found for key in _STATE] == [key in expected for key in _STATE]
    for key in _STATE:
        left, right = flat(found.get(key, {})), flat(expected.get(key, {}))
        assert left.keys() == right.keys()
        for place, value in right.items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(left[place], value, rtol=0, atol=0, msg=f'{key}{place}')
            else:
                assert left[place] == value, f'{key}{place}'
    assert logged(found) == logged(expected)
    left, right = (_best(checkpoint) for checkpoint in (found, expected))
    assert left == right


def last_checkpoint(work_dir: Path) -> dict[str, Any]:
    """What the newest checkpoint of a run holds."""
    return torch.load((Path(work_dir) / 'last_checkpoint').read_text(), weights_only=False)


def files(work_dir: Path) -> list[str]:
    """Names of the checkpoints in a work dir, torn ones too."""
    return sorted(path.name for path in Path(work_dir).iterdir() if path.suffix == '.pth' or path.name.startswith('.'))


def _best(checkpoint: dict[str, Any]) -> dict[str, Any]:
    info = checkpoint['message_hub']['runtime_info']
    return {key: Path(value).name if isinstance(value, str) else value for key, value in info.items() if 'best' in key}
