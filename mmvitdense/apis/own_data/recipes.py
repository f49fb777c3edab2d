"""Which shipped config a model and a task stand for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mmvitdense.project_files import project_folder

from ..errors import InputError

_INSTANCES = ('mask-rcnn', 'cascade-mask-rcnn', 'mask2former-instance', 'instance', 'htc')
_WITHOUT_MASKS = ('mask-rcnn', 'cascade-mask-rcnn')
"""Heads for instances that learn boxes alone where their mask head is taken out."""
HEADS = {
    'detection': (
        *('faster-rcnn', 'mask-rcnn', 'cascade-rcnn', 'cascade-mask-rcnn', 'dino-4scale', 'dino-5scale', 'dino'),
        *('co-dino', 'retinanet', 'atss', 'gfl', 'sparse-rcnn'),
    ),
    'instance': _INSTANCES,
    'semantic': (
        *('upernet', 'upernet-multilevel', 'upernet-pyramid', 'semantic', 'mask2former', 'linear', 'segmenter', 'dpt'),
        *('vpnext', 'setr-pup', 'fcn', 'pem', 'linear-ms'),
    ),
    'panoptic': ('panoptic', 'mask2former-panoptic', 'pem'),
}
"""Heads by task, those first that a person would start from."""
_DATA = {
    'detection': ('coco', 'shapes'),
    'instance': ('coco', 'shapes'),
    'panoptic': ('coco', 'ade20k-panoptic', 'shapes'),
    'semantic': ('ade20k', 'coco-stuff164k', 'cityscapes', 'pascal-context59', 'voc2012', 'shapes'),
}
_WORDS = {
    'detection': 'boxes',
    'instance': 'instances',
    'semantic': 'semantic segmentation',
    'panoptic': 'panoptic segmentation',
}


@dataclass(frozen=True)
class Recipe:
    """A shipped config for a task.

    Attributes:
        config: What `_base_` calls it, and `load_config` reads.
        boxes_alone: Whether its masks have to be taken out, as the data has none.
        note: What was taken in the place of what was asked for; '' where it was this.
    """

    config: str
    boxes_alone: bool = False
    note: str = ''


def find_recipe(model: str, task: str) -> Recipe:
    """The config for a model such as `vitdet-b-dinov3`, `vitdet-b-mae_retinanet` or the whole name of a config.

    Raises:
        InputError: There is no such model, or none of its configs is for the task.
    """
    if model.endswith('.py') and Path(model).is_file():
        return Recipe(str(Path(model).resolve()))
    name = model.removeprefix('mmvitdense::').removesuffix('.py').rpartition('/')[2]
    # `vitdet-b-mae_dino` is for dino-4scale too, but `vitdet-b` is not for vitdet-b-mae alone.
    starts = (f'{name}_', f'{name}-') if '_' in name else (f'{name}_',)
    asked = [stem for stem in _configs() if f'{stem}_'.startswith(starts)]
    if not asked:
        raise InputError(f'--model {model}: there is no config of this name{_nearest(name)}')
    if chosen := _best(asked, task):
        return _recipe(chosen, task)
    trunk = name.partition('_')[0].partition('-')[2]
    same = [stem for stem in _configs() if stem.partition('_')[0].partition('-')[2] == trunk]
    if trunk and (chosen := _best(same, task)):
        note = f'No config of {model} is for {_WORDS[task]}: {chosen} has the same ViT.'
        return _recipe(chosen, task, note)
    raise InputError(
        f'--model {model}: none of its configs is for {_WORDS[task]}; such are those of {", ".join(_models(task))}.'
    )


def _recipe(stem: str, task: str, note: str = '') -> Recipe:
    return Recipe(_configs()[stem], task == 'detection' and stem.split('_')[1] in _WITHOUT_MASKS, note)


def _best(stems: list[str], task: str) -> str | None:
    """The config of a task that a person would start from."""
    found = []
    for stem in stems:
        parts = stem.split('_')
        data = next((place for place, name in enumerate(_DATA[task]) if parts[-1].startswith(name)), None)
        # ADE20K is for both kinds of segmentation, and so are some heads.
        fits = task != 'semantic' or 'panoptic' not in parts[-1]
        if task == 'semantic' and parts[-1] == 'shapes' and 'panoptic' in parts:
            fits = False
        if len(parts) > 2 and parts[1] in HEADS[task] and data is not None and fits:
            found.append((HEADS[task].index(parts[1]), data, len(stem), stem))
    return min(found)[-1] if found else None


def _models(task: str) -> list[str]:
    models = {stem.partition('_')[0] for stem in _configs() if _best([stem], task)}
    return sorted(models)


def _nearest(name: str) -> str:
    models = sorted({stem.partition('_')[0] for stem in _configs()})
    close = difflib.get_close_matches(name.partition('_')[0], models, n=3)
    return f'; did you mean {" or ".join(close)}?' if close else '; `mmvitdense zoo` lists all that there are.'


@lru_cache(maxsize=1)
def _configs() -> dict[str, str]:
    """{name of a config: what `_base_` calls it}."""
    folder = project_folder('configs') / 'configs'
    paths = [path for path in sorted(folder.glob('*/*.py')) if path.parent.name != '_base_']
    return {path.stem: f'mmvitdense::{path.parent.name}/{path.name}' for path in paths}
