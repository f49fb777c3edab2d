"""Are masks where the config loads, trains or scores them? What has to change is said for all splits at once."""

from __future__ import annotations

import os.path as osp
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmvitdense.config_names import WITHOUT_MASKS, best_config, config_names
from mmvitdense.registry import MODELS

from .coco_file import CocoFile
from .coco_masks import NO_MASK
from .messages import DataError
from .metrics import metrics_of, wanted_kinds
from .source import DataSource, find_sources, registered_class, type_name

Found = tuple[DataSource, tuple[str, ...], CocoFile]


def check_masks_needed(cfg: dict, found: Sequence[Found], later: Sequence[DataSource], read: Callable) -> None:
    """Raise where masks are loaded, trained or scored and the data has none, or the model makes none.

    Args:
        cfg: The whole config.
        found: The data sets in COCO format that are checked, with their classes and files.
        later: Data sets of splits that are not used by this run: what has to change for them is said too.
        read: Reads an annotation file, or returns what it read before.

    Raises:
        DataError: With every option that has to change, of all splits.
    """
    model = cfg.get('model') or {}
    bare = [item for item in found if not item[2].panoptic and _lacks_masks(*item)]
    used = [item for item in bare if _uses_masks(cfg, *item)]
    if used:
        changes = _without_masks(cfg, model, used, found, later, read)
        source, classes, file = used[0]
        lacking = int((file.masks[file.of_classes(classes) & file.usable()] == NO_MASK).sum())
        message = (
            f'{source.key}: {lacking} of {int((file.of_classes(classes) & file.usable()).sum())} objects in '
            f"{file.path} have no 'segmentation', but the config loads or scores masks"
        )
        if needs := _needs_masks(model, used):
            raise DataError(
                f'{message}, and {needs} is trained on them: add outlines to the file, or take a model of boxes, such '
                f'as {_config_of_boxes(cfg)}.'
            )
        raise DataError(
            f'{message}: add outlines to the file, take {_config_of_boxes(cfg)}, or use boxes alone with --cfg-options '
            f'{" ".join(changes)}'
        )
    _check_training(model, found)
    _check_scored(cfg, model, found, later)


def box_options(cfg: dict) -> dict[str, Any]:
    """Return {option: value} with which a detector of masks learns boxes alone, and boxes alone are scored.

    Args:
        cfg: The whole config, of a detector whose masks are made by `roi_head.mask_head`.

    Raises:
        DataError: Its masks are made by something that it cannot do without.
    """
    model = cfg.get('model') or {}
    if not (model.get('roi_head') or {}).get('mask_head'):
        raise DataError(f'{model.get("type")} cannot be trained on boxes alone: take a model of boxes.')
    changes: dict[str, Any] = {'model.roi_head.mask_head': None}
    for split in ('train', 'val', 'test'):
        for source in find_sources(cfg, split):
            changes |= dict.fromkeys(_mask_loaders(source), False)
            for key, metric in metrics_of(source, cfg) if split != 'train' else ():
                if _scores_masks(metric):
                    changes[f'{key}.metric'] = 'bbox'
    return changes


def _config_of_boxes(cfg: dict) -> str:
    """The shipped config of boxes for the model of a config, or for another where there is none for it."""
    model = Path(getattr(cfg, 'filename', None) or '').stem.partition('_')[0]
    names = [name for name in config_names() if not name.endswith('_shapes')]
    of_boxes = [name for name in names if name.split('_')[1] not in WITHOUT_MASKS]
    own = best_config([name for name in of_boxes if name.partition('_')[0] == model], 'detection')
    return config_names()[own or best_config(of_boxes, 'detection')]


def _lacks_masks(_: DataSource, classes: tuple[str, ...], file: CocoFile) -> bool:
    return bool((file.masks[file.of_classes(classes) & file.usable()] == NO_MASK).any())


def _uses_masks(cfg: dict, source: DataSource, classes: tuple[str, ...], file: CocoFile) -> bool:
    return bool(list(_mask_loaders(source))) or any(
        _scores_masks(metric) and _is_file(metric, file) for _, metric in metrics_of(source, cfg)
    )


def _without_masks(
    cfg: dict, model: dict, used: Sequence[Found], found: Sequence[Found], later: Sequence[DataSource], read: Callable
) -> list[str]:
    """Return the options with which boxes alone are trained and scored."""
    changes: dict[str, Any] = {}
    boxes_alone = any(source.split == 'train' for source, _, _ in used)
    if boxes_alone and (model.get('roi_head') or {}).get('mask_head'):
        changes['model.roi_head.mask_head'] = None
    files = {source.key: (classes, file) for source, classes, file in found}
    for source in [*(source for source, _, _ in found), *later]:
        lacks = source.key in {other.key for other, _, _ in used} or _will_lack(source, files, found, read)
        if lacks:
            changes |= dict.fromkeys(_mask_loaders(source), False)
        for key, metric in metrics_of(source, cfg) if source.split != 'train' else ():
            if _scores_masks(metric) and (lacks or boxes_alone):
                kinds = [kind for kind in wanted_kinds(metric) if kind != 'segm'] or ['bbox']
                changes[f'{key}.metric'] = kinds[0] if len(kinds) == 1 else f'[{",".join(kinds)}]'
    return [f'{key}={value}' for key, value in changes.items()]


def _will_lack(source: DataSource, files: dict, found: Sequence[Found], read: Callable) -> bool:
    """Say whether a data set that this run does not use lacks masks too."""
    if source.key in files:
        return False
    path = source.path(source.option('ann_file'))
    for _, classes, file in found:
        if path and osp.isfile(path) and osp.samefile(path, file.path):
            return _lacks_masks(source, classes, file)
    try:
        file = read(path)
    except (DataError, OSError):
        return False
    return _lacks_masks(source, tuple(item['name'] for item in file.categories), file)


def _check_training(model: dict, found: Sequence[Found]) -> None:
    """Raise if masks are trained and the pipeline does not load them."""
    if not (model.get('roi_head') or {}).get('mask_head'):
        return
    for source, _, file in found:
        loaders = [(key, item) for key, item in source.keyed_transforms() if type_name(item) == 'LoadAnnotations']
        if source.split == 'train' and not file.panoptic and loaders and not list(_mask_loaders(source)):
            raise DataError(
                f'model.roi_head.mask_head is trained on masks, but the pipeline of {source.key} does not load any: '
                f'set --cfg-options {loaders[0][0]}.with_mask=True, or train without masks with '
                'model.roi_head.mask_head=None in its place.'
            )


def _check_scored(cfg: dict, model: dict, found: Sequence[Found], later: Sequence[DataSource]) -> None:
    """Raise if masks are scored and the model predicts none: the metric would fail at the first evaluation."""
    if not model or _predicts_masks(cfg, model):
        return
    sources = [source for source, _, _ in found if source.split != 'train']
    options = {
        f'{key}.metric={",".join(kind for kind in wanted_kinds(metric) if kind != "segm") or "bbox"}': source
        for source in [*sources, *(source for source in later if source.split != 'train')]
        for key, metric in metrics_of(source, cfg)
        if _scores_masks(metric)
    }
    if any(source in sources for source in options.values()):
        raise DataError(
            f"The evaluation scores masks ('segm'), and {model.get('type')} as configured predicts boxes alone: set "
            f'--cfg-options {" ".join(options)}'
        )


def _predicts_masks(cfg: dict, model: dict) -> bool:
    """Say whether a model of mmdet predicts masks; True where it cannot be determined."""
    cls = registered_class(MODELS, model, cfg.get('default_scope') or 'mmengine')
    names = {base.__name__ for base in getattr(cls, '__mro__', ())}
    if 'TwoStagePanopticSegmentor' in names:
        return True
    if 'TwoStageDetector' in names:
        return bool((model.get('roi_head') or {}).get('mask_head'))
    if names & {'RetinaNet', 'ATSS', 'GFL', 'FCOS', 'DetectionTransformer'}:
        return bool(model.get('mask_head'))
    return True


def _needs_masks(model: dict, used: Sequence[Found]) -> str | None:
    """Return the part of the model that cannot be trained without masks, if there is one."""
    if not any(source.split == 'train' for source, _, _ in used):
        return None
    return next((f'model.{part}' for part in ('panoptic_head', 'mask_head') if model.get(part)), None)


def _mask_loaders(source: DataSource) -> Iterator[str]:
    """Yield the options of a pipeline that make it load masks, or ask for them."""
    for key, transform in source.keyed_transforms():
        if type_name(transform) == 'LoadAnnotations' and transform.get('with_mask'):
            yield f'{key}.with_mask'
        if type_name(transform) == 'FilterAnnotations' and transform.get('by_mask'):
            yield f'{key}.by_mask'


def _scores_masks(metric: dict) -> bool:
    return type_name(metric) == 'CocoMetric' and not metric.get('format_only') and 'segm' in wanted_kinds(metric)


def _is_file(metric: dict, file: CocoFile) -> bool:
    path = metric.get('ann_file')
    return not path or (osp.isfile(path) and osp.samefile(path, file.path))
