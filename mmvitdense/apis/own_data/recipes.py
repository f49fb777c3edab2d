"""Which shipped config a model and a task stand for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from mmvitdense.config_names import WITHOUT_MASKS, best_config, config_names

from ..errors import InputError
from .heads import CASCADE, OVERLAYS

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
        head: One of `OVERLAYS`, or `CASCADE`, in the place of its heads; '' to keep them.
        note: What was taken in the place of what was asked for; '' where it was this.
    """

    config: str
    boxes_alone: bool = False
    head: str = ''
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
    asked = [stem for stem in config_names() if f'{stem}_'.startswith(starts)]
    if task == 'detection' and not (asked and best_config(asked, task)) and (other := _other_head(name)):
        return other
    if not asked:
        raise InputError(f'--model {model}: there is no config of this name{_nearest(name)}')
    if chosen := best_config(asked, task):
        return _recipe(chosen, task)
    whole = name.partition('_')[0]
    if chosen := best_config([stem for stem in config_names() if stem.partition('_')[0] == whole], task):
        return _recipe(chosen, task, f'No config of {model} is for {_WORDS[task]}: {chosen} has the same ViT.')
    trunk = whole.partition('-')[2]
    same = [stem for stem in config_names() if stem.partition('_')[0].partition('-')[2] == trunk]
    if trunk and (chosen := best_config(same, task)):
        note = f'No config of {model} is for {_WORDS[task]}: {chosen} has the same ViT.'
        return _recipe(chosen, task, note)
    raise InputError(
        f'--model {model}: none of its configs is for {_WORDS[task]}; such are those of {", ".join(_models(task))}.'
    )


def _recipe(stem: str, task: str, note: str = '') -> Recipe:
    return Recipe(config_names()[stem], task == 'detection' and stem.split('_')[1] in WITHOUT_MASKS, note=note)


def _other_head(name: str) -> Recipe | None:
    """The trunk of a Mask R-CNN with another head that no config has: `vit-adapter-b-deit_retinanet`."""
    model, _, head = name.partition('_')
    if head == 'faster-rcnn':
        head = ''
    elif head not in (*OVERLAYS, CASCADE):
        return None
    trunks = [
        stem for stem in config_names() if stem.startswith(f'{model}_mask-rcnn_') and best_config([stem], 'instance')
    ]
    return Recipe(config_names()[min(trunks, key=len)], boxes_alone=True, head=head) if trunks else None


def _models(task: str) -> list[str]:
    models = {stem.partition('_')[0] for stem in config_names() if best_config([stem], task)}
    return sorted(models)


def _nearest(name: str) -> str:
    models = sorted({stem.partition('_')[0] for stem in config_names()})
    close = difflib.get_close_matches(name.partition('_')[0], models, n=3)
    return f'; did you mean {" or ".join(close)}?' if close else '; `mmvitdense zoo` lists all that there are.'
