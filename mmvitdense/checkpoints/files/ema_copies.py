"""Moving averages that hooks of mmcv 1 and mmdet 2 write beside the weights, such as 'ema_backbone_norm_bias'."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor


def split_ema_copies(state_dict: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Take the copies out of a checkpoint.

    The hooks exchange copies and weights while they evaluate, and at the end of an epoch before the file is written
    (`mmcv/runner/hooks/ema.py`): files of runs counted in epochs have the averages under the plain names and what was
    trained under 'ema_', files of runs counted in iterations the other way round.

    Returns:
        The checkpoint without copies, and the copies under the names of the weights that they are of.
    """
    copies = {name: f'ema_{name.replace(".", "_")}' for name in state_dict}
    copies = {name: copy for name, copy in copies.items() if copy in state_dict}
    taken = set(copies.values())
    weights = OrderedDict((name, tensor) for name, tensor in state_dict.items() if name not in taken)
    if hasattr(state_dict, '_metadata'):
        weights._metadata = state_dict._metadata  # the grids that our models record
    return weights, {name: state_dict[copy] for name, copy in copies.items()}
