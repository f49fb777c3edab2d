"""Which label is ignored: heads, losses, metrics, data sets and transforms must agree on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmengine.registry import METRICS, TRANSFORMS

from mmvitdense.registry import MODELS

from .heads import decode_heads
from .label_maps import IGNORED, LabelMaps
from .messages import DataError, listed, warn
from .paths import evaluators
from .source import DataSource, constructor_default, find_sources, registered_class, type_name

# Losses that go by an argument of their own; for others the option is that of their head.
_LOSSES = {'HuasdorffDisstanceLoss': 'ignore_index', 'OhemCrossEntropy': 'ignore_label', 'TverskyLoss': 'ignore_index'}
# Transforms that read the label that is ignored, and those that write one where there is no image.
_READERS = {'RandomCrop': 'ignore_index', 'GenerateEdge': 'ignore_index'}
_WRITERS = {'RandomRotate': 'seg_pad_val', 'RandomMosaic': 'seg_pad_val', 'RandomCutOut': 'seg_fill_in'}


@dataclass(frozen=True)
class _Place:
    key: str
    value: int


def check_ignored(cfg: dict, data: Sequence[LabelMaps], splits: Sequence[str]) -> None:
    """Raise unless one label is ignored everywhere, and what pipelines fill in is that label or a class.

    Args:
        cfg: The whole config.
        data: The label maps of all data sets that were checked.
        splits: Those that the run uses; metrics of the others are compared too, as they cost nothing.
    """
    if not data:
        return
    scope = cfg.get('default_scope') or 'mmengine'
    number = max(maps.number for maps in data)
    readers = list(_readers(cfg, scope))
    writers = [place for place in _writers(cfg, scope, splits) if place.value >= number]
    readers_say = {place.value for place in readers}
    held = _labels_beyond(data, number)
    strange = [label for label in [*held, *(place.value for place in writers)] if label not in readers_say]
    if len(readers_say) > 1 or (readers_say and strange):
        _refuse(readers, writers, held)
    for value in readers_say:
        for maps in data:
            if maps.classes and value < len(maps.classes):
                warn(f'{maps.source.key}: the class {maps.classes[value]!r} is ignored, as ignore_index is {value}.')
                break


def ignored_labels(cfg: dict) -> set[int]:
    """Return every label that something in the config ignores."""
    return {place.value for place in _readers(cfg, cfg.get('default_scope') or 'mmengine')}


def _refuse(readers: list[_Place], writers: list[_Place], held: Counter) -> None:
    wanted = _wanted(readers, writers, held)
    places = dict.fromkeys(readers + writers)
    said = ', '.join(f'{place.key} is {place.value}' for place in places)
    options = ' '.join(f'{place.key}={wanted}' for place in places if place.value != wanted)
    found = f' (the label maps, once loaded, hold {listed(sorted(held))})' if held else ''
    raise DataError(f'The label to ignore is not the same everywhere: {said}{found}; set --cfg-options {options}')


def _wanted(readers: list[_Place], writers: list[_Place], held: Counter) -> int:
    """Return the label that the data asks for, or else most of the config."""
    for votes in (held, Counter(place.value for place in writers), Counter(place.value for place in readers)):
        if votes:
            return IGNORED if IGNORED in votes else votes.most_common(1)[0][0]
    return IGNORED


def _labels_beyond(data: Sequence[LabelMaps], number: int) -> Counter:
    """Count the labels that are no class, as they are once the maps are loaded."""
    return Counter(label for maps in data for label in maps.labels() if label >= number)


def _readers(cfg: dict, scope: str) -> Iterator[_Place]:
    for key, head in decode_heads(cfg):
        cls = registered_class(MODELS, head, scope)
        yield from _place(key, 'ignore_index', head, cls)
        losses = head.get('loss_decode') or {}
        for place, loss in [('', losses)] if isinstance(losses, dict) else _numbered(losses):
            if type_name(loss) in _LOSSES:
                name = _LOSSES[type_name(loss)]
                yield from _place(f'{key}.loss_decode{place}', name, loss, registered_class(MODELS, loss, scope))
    for split in ('val', 'test'):
        for key, metric in evaluators(cfg, split):
            if not metric.get('format_only'):
                yield from _place(key, 'ignore_index', metric, registered_class(METRICS, metric, scope))
    for source in _all_sources(cfg):
        # mmseg's data sets take the option and nothing reads it, so only what is written there counts.
        yield from _place(source.key, 'ignore_index', source.cfg, None)
        for key, transform in source.keyed_transforms():
            kind = type_name(transform)
            if kind in _READERS and (kind != 'RandomCrop' or transform.get('cat_max_ratio', 1.0) < 1):
                yield from _place(key, _READERS[kind], transform, registered_class(TRANSFORMS, transform, scope))


def _writers(cfg: dict, scope: str, splits: Sequence[str]) -> Iterator[_Place]:
    model = cfg.get('model') or {}
    own = model.get('data_preprocessor')
    key, preprocessor = ('model.data_preprocessor', own) if own else ('data_preprocessor', cfg.get('data_preprocessor'))
    if 'train' in splits and preprocessor and (preprocessor.get('size') or preprocessor.get('size_divisor')):
        yield from _place(key, 'seg_pad_val', preprocessor, registered_class(MODELS, preprocessor, scope))
    for source in _all_sources(cfg):
        for key, transform in source.keyed_transforms():
            if type_name(transform) in _WRITERS:
                cls = registered_class(TRANSFORMS, transform, scope)
                yield from _place(key, _WRITERS[type_name(transform)], transform, cls)
            elif type_name(transform) == 'Pad' and isinstance(transform.get('pad_val', {}), dict):
                yield _Place(f'{key}.pad_val.seg', transform.get('pad_val', {}).get('seg', IGNORED))


def _place(key: str, name: str, settings: dict, cls: type | None) -> Iterator[_Place]:
    value = settings[name] if name in settings else constructor_default(cls, name)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield _Place(f'{key}.{name}', int(value))


def _numbered(items: Sequence[dict]) -> list[tuple[str, dict]]:
    return [(f'.{index}', item) for index, item in enumerate(items)]


def _all_sources(cfg: dict) -> Iterator[DataSource]:
    for split in ('train', 'val', 'test'):
        yield from find_sources(cfg, split)
