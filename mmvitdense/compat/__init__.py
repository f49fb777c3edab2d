"""OpenMMLab on today's torch: mmcv without compiled ops, its checkpoints under `weights_only`, panoptic data.

Both distributions are served: onedl-mmengine and its companions, and the original mmengine 0.10.7 with
mmcv-lite 2.1.0, mmdet 3.3.0 and mmsegmentation 1.2.2.
"""

import importlib.util

from . import (
    checkpoints,
    config_scope,
    lvis,
    mmcv_attention,
    mmpretrain,
    no_detections,
    onedl,
    panopticapi,
    stand_in,
)

__all__ = ['install', 'status']


def install() -> None:
    """Make mmdet and mmseg importable and their checkpoints loadable. Calling it again changes nothing.

    Imports neither mmcv nor torchvision. A compiled mmcv is used as it is.
    """
    stand_in.register()
    config_scope.register()
    mmcv_attention.register()
    mmpretrain.register()
    lvis.register()
    no_detections.register()
    onedl.register()
    panopticapi.register()
    checkpoints.register()


def status() -> str:
    """Which implementation serves `mmcv.ops`, in one line. Imports nothing."""
    compiled = stand_in.compiled_extension()
    if compiled is not None:
        return f'compiled mmcv ({compiled})'
    if importlib.util.find_spec('mmcv') is None:
        return 'mmcv is not installed'
    if stand_in.is_registered():
        return 'stand-in of mmvitdense.compat (mmcv has no compiled ops)'
    return 'none (mmcv has no compiled ops, and mmvitdense.compat.install() was not called)'
