"""Checkpoints that cannot be read or do not fit, given to every tool that takes one."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable

import torch

from .place import BadInput, Place, evaluate, train


class _Runs:
    """Pickles as a call, which must never be made."""

    def __reduce__(self):
        return os.mkdir, ('executed',)


def _saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _bomb() -> bytes:
    """An archive of a few kilobytes that says it is one of torch and unpacks to 64 MB of zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('a/data.pkl', bytes(2**26))
        archive.writestr('a/version', '3')
    return file.getvalue()


def _huge_header() -> bytes:
    return (2**60).to_bytes(8, 'little') + b'{"a": 1}'


CONTENTS: list[tuple[str, Callable[[], bytes], str, str]] = [
    ('empty', lambda: b'', '.pth', 'is an empty file'),
    ('text', lambda: b'weights', '.pth', 'is a text and no checkpoint'),
    ('program', lambda: b'channels = 3\nlr = 0.1\n', '.pth', 'is a text and no checkpoint'),
    ('page', lambda: b'<!DOCTYPE html><html></html>', '.pth', 'is a page of the web and no checkpoint'),
    (
        'pointer',
        lambda: b'version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n',
        '.pth',
        'is the pointer of Git LFS to a file',
    ),
    ('picture', lambda: b'\x89PNG\r\n\x1a\n' + bytes(99), '.pth', 'is a picture and no checkpoint'),
    ('cut', lambda: _saved({'a': torch.zeros(999)})[:900], '.pth', 'is cut short or damaged'),
    ('code', lambda: pickle.dumps(_Runs()), '.pth', 'could run code|holds|asks'),
    ('code-in-torch', lambda: _saved({'state_dict': {}, 'x': _Runs()}), '.pth', 'holds more than weights'),
    ('bomb', _bomb, '.pth', r'w\.pth'),
    ('list', lambda: _saved([1, 2]), '.pth', 'holds (a list|no tensors, found list)'),
    ('no-tensors', lambda: _saved({'state_dict': {}, 'epoch': 3}), '.pth', r'w\.pth'),
    ('numbers', lambda: _saved({'state_dict': {'a': 1, 'b': 'x'}}), '.pth', r'w\.pth'),
    ('other-model', lambda: _saved({'state_dict': {'fc.weight': torch.zeros(3, 3)}}), '.pth', r'w\.pth does not fit'),
    ('safetensors-empty', lambda: b'', '.safetensors', 'is an empty file'),
    ('safetensors-text', lambda: b'weights, of a kind', '.safetensors', 'is a text and no checkpoint'),
    ('safetensors-huge-header', _huge_header, '.safetensors', 'is cut short or damaged'),
    ('npz-text', lambda: b'weights', '.npz', r'w\.npz'),
    ('npz-of-objects', lambda: _npz_of_objects(), '.npz', r'w\.npz'),
]


def _npz_of_objects() -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.savez(file, a=np.array([_Runs()], dtype=object))
    return file.getvalue()


def _given(content: Callable[[], bytes], suffix: str, tool: str) -> Callable[[Place], list]:
    def prepare(place: Place) -> list:
        name = f'w{suffix}'
        place.write(name, content())
        return arguments_of(tool, name)

    return prepare


def arguments_of(tool: str, checkpoint: str) -> list:
    """Arguments with which a tool reads a checkpoint."""
    return {
        'train': train(f'load_from={checkpoint}'),
        'test': evaluate(checkpoint=checkpoint),
        'image_demo': ['data/shapes/images/training', 'detector.py', checkpoint, '--device', 'cpu'],
        'convert': [checkpoint, 'out.pth'],
    }[tool]


def _changed_weights(change: Callable[[dict], None], *tools: str) -> Callable[[str], Callable[[Place], list]]:
    def of_tool(tool: str) -> Callable[[Place], list]:
        def prepare(place: Place) -> list:
            content = torch.load(place / 'detector.pth', weights_only=True)
            change(content['state_dict'])
            torch.save(content, place / 'w.pth')
            return arguments_of(tool, 'w.pth')

        return prepare

    return of_tool


def _not_finite(state: dict) -> None:
    state['roi_head.bbox_head.fc_cls.weight'][0, 0] = float('nan')


def _other_shape(state: dict) -> None:
    state['roi_head.bbox_head.fc_cls.weight'] = torch.zeros(81, 256)
    state['roi_head.bbox_head.fc_cls.bias'] = torch.zeros(81)


def _one_missing(state: dict) -> None:
    del state['neck.convs.0.weight' if 'neck.convs.0.weight' in state else next(iter(state))]


def _one_more(state: dict) -> None:
    state['extra'] = torch.zeros(3)


def _half_empty(state: dict) -> None:
    for name in list(state):
        if name.startswith('backbone'):
            del state[name]


def _other(place: Place) -> list:
    return arguments_of('test', 'segmentor.pth')


def _folder(place: Place) -> list:
    (place / 'weights').mkdir()
    return arguments_of('test', 'weights')


def _initial(kind: str, checkpoint: str, content: bytes | None = None) -> Callable[[Place], list]:
    def prepare(place: Place) -> list:
        if content is not None:
            place.write(checkpoint, content)
        model = f"dict(backbone=dict(init_cfg=dict(_delete_=True, type='{kind}', checkpoint='{checkpoint}')))"
        place.write('initial.py', f"_base_ = 'detector.py'\nmodel = {model}\n")
        return train(config='initial.py')

    return prepare


_TOOLS_OF = {'no-tensors': ('test', 'convert'), 'other-model': ('train', 'test')}

BAD_CHECKPOINTS = [
    *(
        BadInput(f'checkpoint-{name}', tool, _given(content, suffix, tool), line)
        for name, content, suffix, line in CONTENTS
        for tool in _TOOLS_OF.get(name, ('train', 'test', 'image_demo', 'convert'))
    ),
    *(
        BadInput('checkpoint-absent', tool, arguments_of(tool, 'none.pth'), r'none\.pth does not exist')
        for tool in ('train', 'test', 'image_demo', 'convert')
    ),
    *(
        BadInput('checkpoint-address', tool, arguments_of(tool, 'ftp://x.org/a.pth'), 'expected an address with http')
        for tool in ('train', 'test', 'image_demo', 'convert')
    ),
    *(
        BadInput('checkpoint-unreachable', tool, arguments_of(tool, 'http://127.0.0.1:9/a.pth'), 'cannot be fetched')
        for tool in ('train', 'test', 'image_demo', 'convert')
    ),
    BadInput('checkpoint-of-another-config', 'test', _other, 'does not fit the model MaskRCNN'),
    BadInput('checkpoint-folder', 'test', _folder, 'is a folder without checkpoints'),
    BadInput('checkpoint-other-classes', 'test', _changed_weights(_other_shape)('test'), 'of another shape'),
    *(
        BadInput('checkpoint-not-finite', tool, _changed_weights(_not_finite)(tool), '1 weights that are not finite')
        for tool in ('train', 'test', 'image_demo')
    ),
    BadInput('checkpoint-one-missing', 'test', _changed_weights(_one_missing)('test'), '1 missing'),
    BadInput('checkpoint-one-more', 'test', _changed_weights(_one_more)('test'), r'1 unexpected \(extra'),
    BadInput('checkpoint-no-backbone', 'image_demo', _changed_weights(_half_empty)('image_demo'), 'missing'),
    *(
        BadInput(
            f'initial-{name}-{kind}', 'train', _initial(kind, *given), f'model.backbone.init_cfg.checkpoint: .*{line}'
        )
        for kind in ('mmvitdense.ViTPretrained', 'Pretrained')
        for name, given, line in (
            ('absent', ('none.pth',), 'none.pth does not exist'),
            ('page', ('w.pth', b'<html></html>'), 'is a page of the web'),
            ('empty', ('w.safetensors', b''), 'is an empty file'),
            ('unreachable', ('http://127.0.0.1:9/a.pth',), 'cannot be fetched'),
        )
    ),
    BadInput('resume-absent', 'train', [*train(), '--resume', 'none.pth'], r'none\.pth does not exist'),
    BadInput('resume-weights', 'train', [*train(), '--resume', 'detector.pth'], 'not the state of a training run'),
    BadInput('resume-another', 'train', [*train(), '--resume', 'segmentor.pth'], 'does not fit the model MaskRCNN'),
    BadInput('resume-unreachable', 'train', [*train(), '--resume', 'http://127.0.0.1:9/a.pth'], 'cannot be fetched'),
]
