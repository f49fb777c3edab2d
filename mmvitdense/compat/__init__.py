"""OpenMMLab on today's torch: mmcv without compiled ops, its checkpoints under `weights_only`, panoptic data.

Both distributions are served: onedl-mmengine and its companions, and the original mmengine 0.10.7 with
mmcv-lite 2.1.0, mmdet 3.3.0 and mmsegmentation 1.2.2.

`PATCHES` lists everything that is changed in other libraries; `docs/compat.md` says why. What makes something work that
fails otherwise is in force from the import on. What changes how something works is in force while a tool of this
project runs, see `while_tools_run`.
"""

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NamedTuple

from . import (
    checkpoints,
    class_counts,
    config_scope,
    lvis,
    mask_losses,
    mmcv_attention,
    mmpretrain,
    no_detections,
    onedl,
    panopticapi,
    point_sample,
    safe_yaml,
    stand_in,
    switch,
)

__all__ = ['PATCHES', 'Patch', 'install', 'status', 'while_tools_run']


class Patch(NamedTuple):
    """Something that is changed in another library.

    Attributes:
        modules: The modules that are changed, each when it is imported.
        at_import: Puts it in force for good; calling it again changes nothing.
        in_tools: Or gives a context in which it is in force.
    """

    modules: tuple[str, ...]
    at_import: Callable[[], None] | None = None
    in_tools: Callable[[], AbstractContextManager] | None = None


PATCHES = {
    'mmcv-ops': Patch((stand_in.NAME,), at_import=stand_in.register),
    'deformable-attention': Patch((mmcv_attention.MODULE,), at_import=mmcv_attention.register),
    'configs': Patch(config_scope.MODULES, at_import=config_scope.register),
    'mmpretrain': Patch((mmpretrain.MODULE,), at_import=mmpretrain.register),
    'lvis': Patch((lvis.MODULE,), at_import=lvis.register),
    'panoptic': Patch(panopticapi.MODULES, at_import=panopticapi.register),
    'mask-losses': Patch(mask_losses.MODULES, at_import=mask_losses.register),
    'class-counts': Patch((class_counts.MODULE,), at_import=class_counts.register),
    'point-sample': Patch((point_sample.MODULE,), at_import=point_sample.register),
    'checkpoints': Patch((checkpoints.MODULE,), at_import=checkpoints.register),
    'weights-only': Patch((checkpoints.MODULE,), in_tools=checkpoints.weights_only),
    'safe-yaml': Patch((safe_yaml.MODULE,), in_tools=safe_yaml.plain_values),
    'no-detections': Patch(no_detections.MODULES, in_tools=no_detections.zeros),
    'onedl': Patch((onedl.MODULE,), in_tools=onedl.quiet),
}
"""Name in the off switch -> patch."""


def install() -> None:
    """Make mmdet and mmseg importable and their checkpoints loadable. Calling it again changes nothing.

    Imports neither mmcv nor torchvision. A compiled mmcv is used as it is.

    Raises:
        ValueError: The environment variable MMVITDENSE_COMPAT is not what `switch.left_out` reads.
    """
    off = switch.left_out(PATCHES)
    for name, patch in PATCHES.items():
        if patch.at_import is not None and name not in off:
            patch.at_import()


_running = 0
_in_force = ExitStack()
_lock = threading.Lock()


@contextmanager
def while_tools_run() -> Iterator[None]:
    """Inside, and in functions that this decorates, the patches are in force that change how others' code works.

    May be nested, and used in several threads: what the first put in force the last takes back.
    """
    global _running
    with _lock:
        if _running == 0:
            off = switch.left_out(PATCHES)
            for name, patch in PATCHES.items():
                if patch.in_tools is not None and name not in off:
                    _in_force.enter_context(patch.in_tools())
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                _in_force.close()


def status() -> str:
    """Which implementation serves `mmcv.ops`, in one line. Imports nothing."""
    compiled = stand_in.compiled_extension()
    if compiled is not None:
        return f'compiled mmcv ({compiled})'
    if importlib.util.find_spec('mmcv') is None:
        return 'mmcv is not installed'
    if stand_in.is_registered():
        return 'stand-in of mmvitdense.compat (mmcv has no compiled ops)'
    return 'none (mmcv has no compiled ops, and the patch mmcv-ops of mmvitdense.compat is not in force)'
