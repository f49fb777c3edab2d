"""Test-time augmentation, as mmdet's and mmseg's own tools do it with `--tta`."""

from __future__ import annotations

from typing import Any

from mmengine.registry import MODELS
from torch import nn

from mmvitdense.datasets.checks.source import find_sources, registered_class, type_name

from .build import enter_scope
from .errors import InputError


def augment_tests(cfg: Any) -> None:
    """Let every test data set load by `tta_pipeline`, in place.

    Raises:
        InputError: The config has no `tta_model` or no `tta_pipeline`, mmdet's for a model of masks, or mmseg's for a
            model that keeps no scores.
    """
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
