"""How a segmentor is tested: the whole image, or windows of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmvitdense.registry import MODELS

from .messages import DataError
from .source import find_sources, registered_class, type_name

# Classes that read test_cfg in their own way need not hold to what is checked here.
_MODES = {
    'mmseg.models.segmentors.encoder_decoder': ('whole', 'slide'),
    'mmseg.models.segmentors.multimodal_encoder_decoder': ('whole', 'slide'),
    'mmvitdense.models.segmentation.windowed_segmentor': ('whole', 'slide', 'even_slide'),
}
_OVERLAP = 3
"""The usual stride leaves a third of a window to the next one."""
_MASK2FORMER = 'mmseg.models.decode_heads.mask2former_head'
# Transforms after which the meta data has the shape of the whole image, with channels where mmcv pads.
_SET_PAD_SHAPE = ('Pad', 'ResizeToMultiple')


def check_windows(cfg: dict) -> None:
    """Raise unless the model's `test_cfg` says how to predict: whole images or windows.

    Raises:
        DataError: With one sentence that says what is wrong and how to mend it.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    for key, model, modes in _segmentors(cfg.get('model') or {}, 'model', scope):
        test_cfg = model.get('test_cfg')
        if not test_cfg or test_cfg.get('mode') not in modes:
            found = f'{key}.test_cfg is {dict(test_cfg)}' if test_cfg else f'{key}.test_cfg is not set'
            others = ' or '.join(map(repr, modes[1:]))
            raise DataError(
                f"{found}, but {model['type']} predicts by mode 'whole' or {others} (in windows): set --cfg-options "
                f'{key}.test_cfg.mode=whole'
            )
        if test_cfg['mode'] != 'whole':
            _check_window(key, test_cfg)
        if 'even_slide' not in modes:  # such a class gives the head the size of each window
            _check_mask2former(cfg, key, model, scope)


def _check_window(key: str, test_cfg: dict) -> None:
    crop, stride = test_cfg.get('crop_size'), test_cfg.get('stride')
    size = _pair(crop)
    if size is None:
        raise DataError(
            f'{key}.test_cfg.crop_size is {crop}: sliding windows need their height and width in pixels, for example '
            f'--cfg-options {key}.test_cfg.crop_size="({_side(crop)},{_side(crop)})"'
        )
    step = size if test_cfg['mode'] == 'even_slide' else _pair(stride)
    if step is None or step[0] > size[0] or step[1] > size[1]:
        usual = tuple(side - side // _OVERLAP for side in size)
        if isinstance(stride, int) and 0 < stride <= min(size):
            usual = stride, stride
        raise DataError(
            f'{key}.test_cfg.stride is {stride}: windows of {size[0]}x{size[1]} pixels need a vertical and a '
            'horizontal step in pixels, no larger than they are: set --cfg-options '
            f'{key}.test_cfg.stride="({usual[0]},{usual[1]})"'
        )


def _check_mask2former(cfg: dict, key: str, model: dict, scope: str) -> None:
    """Raise where mmseg's Mask2Former head would stretch its logits to the wrong size."""
    head = model.get('decode_head')
    cls = registered_class(MODELS, head, scope) if isinstance(head, dict) else None
    if getattr(getattr(cls, 'predict', None), '__module__', None) != _MASK2FORMER:
        return
    for split in ('val', 'test'):
        for source in find_sources(cfg, split):
            packing = source.loads('PackSegInputs')
            setting = [type_name(transform) for transform in source.transforms()]
            setting = [kind for kind in setting if kind in _SET_PAD_SHAPE]
            packed = packing is not None and 'pad_shape' in packing.get('meta_keys', ('pad_shape',))
            if packed and setting and (model['test_cfg']['mode'] == 'slide' or 'Pad' in setting):
                raise DataError(
                    f'{source.key}: after {setting[-1]} the meta data holds the pad_shape of the whole image, to which '
                    f"mmseg's {cls.__name__} cannot stretch its logits: set --cfg-options "
                    f'{key}.decode_head.type=mmvitdense.Mask2FormerSegHead, the same head without this fault'
                )


def _segmentors(model: Any, key: str, scope: str) -> Iterator[tuple[str, dict, tuple[str, ...]]]:
    if isinstance(model, dict):
        cls = registered_class(MODELS, model, scope) if 'decode_head' in model and 'type' in model else None
        modes = _MODES.get(getattr(getattr(cls, 'slide_inference', None), '__module__', None))
        if modes is not None:
            yield key, model, modes
        for name, part in model.items():
            yield from _segmentors(part, f'{key}.{name}', scope)


def _pair(value: Any) -> tuple[int, int] | None:
    """Return two whole numbers above zero, or None if the value is anything else."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(part, int) for part in value):
        return tuple(value) if min(value) > 0 else None
    return None


def _side(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 512
