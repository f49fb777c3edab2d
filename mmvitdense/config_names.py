"""The shipped configs by name, and which of them is for which task."""

from __future__ import annotations

from functools import lru_cache

from .project_files import project_folder

_INSTANCE_HEADS = ('mask-rcnn', 'cascade-mask-rcnn', 'mask2former-instance', 'instance', 'htc')
WITHOUT_MASKS = ('mask-rcnn', 'cascade-mask-rcnn')
"""Heads for instances that learn boxes alone where their mask head is taken out."""
HEADS = {
    'detection': (
        *('faster-rcnn', 'mask-rcnn', 'cascade-rcnn', 'cascade-mask-rcnn', 'dino-4scale', 'dino-5scale', 'dino'),
        *('co-dino', 'retinanet', 'atss', 'gfl', 'sparse-rcnn'),
    ),
    'instance': _INSTANCE_HEADS,
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


def best_config(stems: list[str], task: str) -> str | None:
    """Of these configs the one of a task that a person would start from, None where none is of it."""
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


@lru_cache(maxsize=1)
def config_names() -> dict[str, str]:
    """{name of a config: what `_base_` calls it}."""
    folder = project_folder('configs') / 'configs'
    paths = [path for path in sorted(folder.glob('*/*.py')) if path.parent.name != '_base_']
    return {path.stem: f'mmvitdense::{path.parent.name}/{path.name}' for path in paths}
