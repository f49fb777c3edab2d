"""Test-time augmentation, as mmdet's and mmseg's own tools do it with `--tta`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS
from torch import nn

from mmvitdense.datasets.checks.source import find_sources, registered_class, type_name

from .build import enter_scope
from .errors import InputError

RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Sizes of the views of a segmentor, the "multi-scale" of papers."""


def augment_tests(cfg: Any) -> list[str]:
    """Let every test data set load by `tta_pipeline`, in place.

    A segmentor whose config has none is tested by `SegmentorTTAModel` on six sizes and their mirror images, see
    `views_of_segmentor`.

    Returns:
        Lines for the log on what the config does not say.

    Raises:
        InputError: The config of a detector has no `tta_model` or no `tta_pipeline`, it has mmdet's for a model of
            masks, or mmseg's for a model that keeps no scores; or it is of no model of boxes or label maps.
    """
    notes = []
    if cfg.get('default_scope') == 'mmseg':
        notes = _add_views(cfg)
    if missing := [key for key in ('tta_model', 'tta_pipeline') if cfg.get(key) is None]:
        raise InputError(
            f'--tta: {cfg.filename} has no {" and no ".join(missing)}; expected both: a class, DetTTAModel of mmdet or '
            'SegTTAModel of mmseg, and a pipeline with TestTimeAug.'
        )
    if type_name(cfg.tta_model) == 'DetTTAModel' and (head := _head_of_masks(cfg.model)):
        raise InputError(
            f'--tta: DetTTAModel of mmdet merges boxes alone, and {head} predicts masks; test without --tta, or a '
            'detector of boxes, or a hybrid task cascade by mmvitdense.HTCTTAModel.'
        )
    if type_name(cfg.tta_model) == 'SegTTAModel' and (cfg.model.get('test_cfg') or {}).get('keep_logits') is False:
        raise InputError(
            '--tta: SegTTAModel of mmseg merges scores, and model.test_cfg.keep_logits is False; leave it out.'
        )
    for source in find_sources(cfg, 'test'):
        source.cfg['pipeline'] = cfg.tta_pipeline
    return notes


def _add_views(cfg: Any) -> list[str]:
    """Give a segmentor the `tta_model` and the `tta_pipeline` that it lacks."""
    lacking = [key for key in ('tta_model', 'tta_pipeline') if cfg.get(key) is None]
    sources = list(find_sources(cfg, 'test'))
    if not lacking or not sources:
        return []
    if not cfg.model.get('decode_head'):
        raise InputError(f'--tta: {cfg.model.get("type")} predicts no label maps, which views are merged into.')
    if cfg.get('tta_model') is None:
        cfg.tta_model = {'type': 'mmvitdense.SegmentorTTAModel'}
    if cfg.get('tta_pipeline') is not None:
        return [f'--tta: {cfg.filename} has no tta_model; views are merged by SegmentorTTAModel']
    cfg.tta_pipeline, size = views_of_segmentor(sources[0].cfg.get('pipeline') or [])
    ratios = ', '.join(map(str, RATIOS))
    return [
        f'--tta: the config has no {" and no ".join(lacking)}; {2 * len(RATIOS)} views of each image: {ratios} times '
        f'{size}, and their mirror images, merged by {type_name(cfg.tta_model)}'
    ]


def views_of_segmentor(pipeline: Sequence[dict]) -> tuple[list[dict], str]:
    """The `tta_pipeline` that goes with a test pipeline of mmseg: six sizes, as mmseg's own configs have them, and
    their mirror images.

    Args:
        pipeline: The steps of a test. Its `Resize` is taken at each of `RATIOS` of its scale; without one, images are
            resized by these from their own size. What follows it stays behind it and behind the flip, such as padding,
            which is at the right and at the bottom.

    Returns:
        The pipeline, and the size at ratio 1 in words.

    Raises:
        InputError: Labels are loaded before the image is resized, which would resize them too.
    """
    kinds = [type_name(step) for step in pipeline]
    place = kinds.index('Resize') if 'Resize' in kinds else None
    loaded = 1 + max(
        (i for i, kind in enumerate(kinds) if kind.startswith('Load') and not _is_labels(kind)), default=-1
    )
    first = loaded if place is None else place
    if any(_is_labels(kind) for kind in kinds[:first]):
        raise InputError(
            '--tta: the test pipeline loads labels before Resize, which would resize them; expected them after it.'
        )
    resize = {'type': 'Resize', 'scale_factor': 1.0, 'keep_ratio': True} if place is None else pipeline[place]
    key = 'scale' if resize.get('scale') else 'scale_factor'
    views = [
        [{**resize, key: _times(resize.get(key, 1.0), ratio)} for ratio in RATIOS],
        [{'type': 'RandomFlip', 'prob': prob} for prob in (0.0, 1.0)],
        *([_keeping_flips(step)] for step in pipeline[first + (place is not None) :]),
    ]
    size = f'{key} {resize[key]}' if place is not None else 'the size of the image'
    return [*pipeline[:first], {'type': 'TestTimeAug', 'transforms': views}], size


def _times(size: Any, ratio: float) -> Any:
    if isinstance(size, (list, tuple)):
        return tuple(_times(each, ratio) for each in size)
    return size * ratio if isinstance(size, float) else int(size * ratio)


def _is_labels(kind: str) -> bool:
    return kind.startswith('Load') and ('Annotation' in kind or 'Mask' in kind)


def _keeping_flips(step: dict) -> dict:
    """A step; the one that packs keeps what is needed to turn maps back."""
    keys = step.get('meta_keys')
    needed = ('flip', 'flip_direction')
    if not keys or not type_name(step).startswith('Pack'):
        return step
    return {**step, 'meta_keys': (*keys, *(key for key in needed if key not in keys))}


def _head_of_masks(model: Any) -> str | None:
    """The path of the head by which a detector predicts masks or segments."""
    if (model.get('roi_head') or {}).get('mask_head'):
        return 'model.roi_head.mask_head'
    return next((f'model.{name}' for name in ('mask_head', 'panoptic_head') if model.get(name)), None)


def augmented_model(cfg: Any, model: nn.Module) -> nn.Module:
    """The `tta_model` of a config around a model, which merges what it predicts for all views of an image.

    Raises:
        InputError: Its type is not registered.
    """
    enter_scope(cfg)
    found = registered_class(MODELS, cfg.tta_model, cfg.default_scope)
    if found is None:
        raise InputError(
            f'--tta: tta_model is of type {cfg.tta_model.get("type")!r}, which is not registered: give DetTTAModel of '
            'mmdet or SegTTAModel of mmseg, or import what registers it by custom_imports.'
        )
    return MODELS.build({**cfg.tta_model, 'type': found, 'module': model})
