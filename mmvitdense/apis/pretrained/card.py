"""The model card: README.md with the metadata that the Hugging Face Hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

from mmvitdense.apis.image_loading import test_dataset
from mmvitdense.pretrainings import PRESETS, PRETRAININGS, family_of

_TAGS = {
    'object detection': 'object-detection',
    'instance segmentation': 'image-segmentation',
    'semantic segmentation': 'image-segmentation',
    'panoptic segmentation': 'image-segmentation',
}
_SHOWN_CLASSES = 20
_ADDRESS = re.compile(r"(Inferencer\()'[^']*'")


class CardFacts(NamedTuple):
    """What a card says.

    Attributes:
        name, task: Of the model.
        classes: Their names.
        parameters: How many.
        licence: Of the weights, None where it was not given.
        results: {metric: value}.
        config: The whole config.
    """

    name: str
    task: str
    classes: list[str]
    parameters: int
    licence: str | None
    results: dict[str, float]
    config: dict[str, Any]


def model_card(facts: CardFacts, address: str) -> str:
    """The text of a card, whose snippet opens `address`: a folder, or a name on the Hub."""
    return '\n'.join([*_front_matter(facts), '', f'# {facts.name}', '', *_body(facts), '', *_usage(address)]) + '\n'


def with_address(card: str, address: str) -> str:
    """A card whose snippet opens another address."""
    return _ADDRESS.sub(lambda match: f'{match[1]}{address!r}', card)


def _front_matter(facts: CardFacts) -> Iterator[str]:
    yield '---'
    if facts.licence:
        yield f'license: {json.dumps(facts.licence)}'
    yield 'library_name: mmvitdense'
    yield f'pipeline_tag: {_TAGS[facts.task]}'
    yield 'tags:'
    yield f'- {facts.task.replace(" ", "-")}'
    yield '- vision-transformer'
    if facts.results:
        yield 'model-index:'
        yield f'- name: {json.dumps(facts.name)}'
        yield '  results:'
        yield '  - task:'
        yield f'      type: {_TAGS[facts.task]}'
        yield '    dataset:'
        yield f'      name: {json.dumps(_data(facts.config))}'
        yield f'      type: {json.dumps(_data(facts.config).lower())}'
        yield '    metrics:'
        for metric, value in facts.results.items():
            yield f'    - type: {json.dumps(metric)}'
            yield f'      value: {json.dumps(value)}'
    yield '---'


def _body(facts: CardFacts) -> Iterator[str]:
    model = facts.config['model']
    backbone = model.get('backbone') or {}
    yield f'A model for {facts.task}: `{model["type"]}` on `{backbone.get("type", "?")}`, written by mmvitdense.'
    yield ''
    yield f'- {facts.parameters / 1e6:.1f} M parameters'
    if facts.classes:
        more = f' and {len(facts.classes) - _SHOWN_CLASSES} more' if len(facts.classes) > _SHOWN_CLASSES else ''
        yield f'- {len(facts.classes)} classes: {", ".join(facts.classes[:_SHOWN_CLASSES])}{more}'
    yield f'- tested on {_data(facts.config)}' if facts.results else f'- its config tests on {_data(facts.config)}'
    yield f'- licence of these weights: {facts.licence or "not given; ask whoever published them"}'
    if origin := _origin(backbone):
        yield f'- {origin}'
    if facts.results:
        yield ''
        yield '| metric | value |'
        yield '|---|---|'
        yield from (f'| {metric} | {value:g} |' for metric, value in facts.results.items())


def _usage(address: str) -> Iterator[str]:
    yield '## Use it'
    yield ''
    yield '```python'
    yield 'from mmvitdense.apis import Inferencer'
    yield ''
    yield f'inferencer = Inferencer({address!r})'
    yield "result = inferencer('image.jpg', keep_images=True)"
    yield 'print(result.to_dict())'
    yield 'picture = result.draw()  # H x W x 3, BGR'
    yield '```'
    yield ''
    yield '`pip install "mmvitdense[onedl]" safetensors` installs what it needs. `config.json` is read as data; nothing'
    yield 'in this folder is run. `config.py` says the same as a program, for the tools of mmdet, mmseg and mmengine.'


def _data(config: dict[str, Any]) -> str:
    """The kind of the test data, and its folder where that is a relative one."""
    dataset = test_dataset(config)
    kind = str(dataset.get('type') or 'no data set').rpartition('.')[2]
    root = str(dataset.get('data_root') or '').rstrip('/')
    return f'{root} ({kind})' if root and not PurePath(root).is_absolute() else kind


def _origin(backbone: dict[str, Any]) -> str | None:
    """The pre-training that a preset names, and its licence."""
    preset = backbone.get('preset') or (backbone.get('vit') or {}).get('preset')
    if preset not in PRESETS:
        return None
    family = PRETRAININGS[family_of(preset)]
    return f'its ViT has the form of {preset} ({family.source}), whose weights are published under: {family.licence}'
