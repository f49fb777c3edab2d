"""Do the heads of a model predict as many classes as the data has?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from mmvitdense.registry import MODELS

from .classes import class_names
from .messages import DataError
from .source import DataSource, constructor_default, constructor_requires, find_sources, registered_class, type_name

# Heads whose num_classes counts the classes of the data. Others count something else: an RPN has one class, the
# semantic head of HTC has those of COCO-stuff, a keypoint head has keypoints.
_DECODE_HEADS = ('decode_head', 'auxiliary_head', 'kernel_generate_head')
_CLASS_HEADS = (
    'bbox_head', 'mask_head', 'mask_iou_head', 'point_head', 'query_head', 'kernel_update_head', *_DECODE_HEADS,
)  # fmt: skip
_THING_HEADS = ('panoptic_head', 'panoptic_fusion_head', 'semantic_head')
# These count the classes where their class says so (`counts_classes`), as mask transformers do.
_TRUNK = ('backbone', 'neck')
# Predicts edges, not classes.
_EXCEPTIONS = ('STDCHead',)


def check_num_classes(source: DataSource, cfg: dict, classes: int, things: int | None = None) -> None:
    """Raise if a head of the model predicts another number of classes than the data has, weights another number, or is
    given none and needs one.

    Where another data set has yet another number, no model fits both, and that is said instead.

    Args:
        source: The data set.
        cfg: The whole config.
        classes: Number of classes of the data.
        things: For panoptic data, how many of the classes are things.
    """
    if wrong := _wrong_numbers(cfg, classes, things):
        _check_same_number(source, cfg, classes)
        found = ', '.join(f'{key} is {value}' for key, (value, _) in wrong.items())
        options = ' '.join(
            f'{option}={_as_option(value)}' for _, changes in wrong.values() for option, value in changes.items()
        )
        data = f'{classes} classes' if things is None else f'{things} thing and {classes - things} stuff classes'
        raise DataError(f'The data of {source.key} has {data}, but {found}: set --cfg-options {options}')


def class_options(cfg: dict, classes: int, things: int | None = None) -> dict[str, Any]:
    """Return {option: value} of all that a config has to change to predict so many classes.

    Arguments as for `check_num_classes`.
    """
    return {
        name: value for _, changes in _wrong_numbers(cfg, classes, things).values() for name, value in changes.items()
    }


def _wrong_numbers(cfg: dict, classes: int, things: int | None) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return {what is wrong: (what it is, {option: value} that mends it)}."""
    scope = cfg.get('default_scope') or 'mmengine'
    wrong: dict[str, tuple[str, dict[str, Any]]] = {}
    for key, head in _heads(cfg.get('model') or {}, 'model'):
        expected = dict(_expected(key, head, classes, things, scope))
        for name, number in expected.items():
            found = head[name] if name in head else _default(head, name, scope)
            if isinstance(found, int) and found != number:
                wrong[f'{key}.{name}'] = (str(found), {f'{key}.{name}': number})
            elif name not in head and constructor_requires(registered_class(MODELS, head, scope), name):
                wrong[f'{key}.{name}'] = ('not given', {f'{key}.{name}': number})
        if expected and _name(key) not in _TRUNK:
            wrong.update(_wrong_weights(key, head, sum(expected.values()), scope))
    return wrong


def _check_same_number(source: DataSource, cfg: dict, classes: int) -> None:
    for split in ('train', 'val', 'test'):
        for other in find_sources(cfg, split):
            try:
                names = class_names(other)
            except DataError:  # reported when that data set is checked
                continue
            if names and len(names) != classes:
                raise DataError(
                    f'{source.key} has {classes} classes and {other.key}, of type {other.cfg.get("type")}, has '
                    f'{len(names)}: one model is trained and scored on them, so give both the same type and '
                    'metainfo.classes.'
                )


def decode_heads(cfg: dict) -> Iterator[tuple[str, dict]]:
    """Yield (key, settings) of each head of a segmentor that compares its predictions with label maps."""
    for key, head in _heads(cfg.get('model') or {}, 'model'):
        holds_another = 'kernel_generate_head' in head
        if _name(key) in _DECODE_HEADS and type_name(head) not in _EXCEPTIONS and not holds_another:
            yield key, head


def _wrong_weights(key: str, head: dict, classes: int, scope: str) -> Iterator[tuple[str, tuple[str, dict]]]:
    """Yield (key, (what is found, {option: value} that mends it)) of lists of class weights of another length."""
    losses = {'loss_cls': head.get('loss_cls') or _default(head, 'loss_cls', scope)}
    own = head.get('loss_decode') or {}
    parts = {'': own} if isinstance(own, dict) else {f'.{index}': part for index, part in enumerate(own)}
    losses |= {f'loss_decode{index}': part for index, part in parts.items()}
    for name, loss in losses.items():
        weights = loss.get('class_weight') if isinstance(loss, dict) else None
        if not isinstance(weights, (list, tuple)):
            continue
        # A head that classifies by softmax has one class more, 'no object'; label maps have none.
        expected = classes + (name == 'loss_cls' and not loss.get('use_sigmoid', False))
        if len(weights) != expected:
            mended = {'class_weight': _weights(weights, expected, classes)}
            # What is not in the config is not merged into but replaced, so all of it has to be written.
            mended = mended if name.partition('.')[0] in head else {**loss, **mended}
            options = {f'{key}.{name}.{option}': value for option, value in mended.items()}
            yield f'{key}.{name}.class_weight', (f'a list of {len(weights)}', options)


def _weights(weights: Sequence[float], number: int, classes: int) -> list[float]:
    """Return a list of class weights of another length, the last of `classes + 1` kept for 'no object'."""
    usual = Counter(weights).most_common(1)[0][0]
    kept = [weights[-1]] if number > classes else []
    return [usual] * (number - len(kept)) + kept


def _as_option(value: Any) -> str:
    return repr(value).replace(' ', '') if isinstance(value, list) else str(value)


def _expected(key: str, head: dict, classes: int, things: int | None, scope: str) -> Iterator[tuple[str, int]]:
    """Yield (argument, value it should have) for a head."""
    name = _name(key)
    if name in _TRUNK:
        if getattr(registered_class(MODELS, head, scope), 'counts_classes', False):
            yield 'num_classes', classes
    elif name in _CLASS_HEADS and type_name(head) not in _EXCEPTIONS:
        yield 'num_classes', classes if things is None else things
    elif name in _THING_HEADS and ('num_things_classes' in head or name != 'semantic_head'):
        yield 'num_things_classes', classes if things is None else things
        if things is not None:
            yield 'num_stuff_classes', classes - things
        elif name != 'semantic_head':
            # Instances alone; the default of mmdet's heads is the stuff of COCO.
            yield 'num_stuff_classes', 0


def _heads(value: Any, key: str) -> Iterator[tuple[str, dict]]:
    """Yield (key, settings) of every head below `value`; heads that come as a list, one by one."""
    if isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _heads(part, f'{key}.{index}')
    elif isinstance(value, dict):
        if _name(key) in (*_TRUNK, *_CLASS_HEADS, *_THING_HEADS) and 'type' in value:
            yield key, value
        for name, part in value.items():
            yield from _heads(part, f'{key}.{name}')


def _name(key: str) -> str:
    return next(part for part in reversed(key.split('.')) if not part.isdigit())


def _default(head: dict, name: str, scope: str) -> Any:
    return constructor_default(registered_class(MODELS, head, scope), name)
