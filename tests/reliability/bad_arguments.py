"""Arguments that a tool cannot follow, and outputs that could not be written after its work."""

from __future__ import annotations

from collections.abc import Callable

from .bad_images import DEMO, TRAINING
from .place import BadInput, Place, evaluate, train

FILE = Place.INSTANCES
"""A file, where a folder is asked for."""


def _existing(*names: str) -> Callable[[list], Callable[[Place], list]]:
    def with_arguments(arguments: list) -> Callable[[Place], list]:
        def prepare(place: Place) -> list:
            for name in names:
                place.write(name, 'mine')
            return arguments

        return prepare

    return with_arguments


_FOLDERS = [
    ('train', '--work-dir', ['detector.py']),
    ('test', '--work-dir', ['detector.py', 'detector.pth']),
    ('test', '--show-dir', evaluate()),
    ('image_demo', '--out-dir', [TRAINING, *DEMO]),
    ('browse_dataset', '--output-dir', ['detector.py']),
]
_FILES = [
    ('test', '--out', evaluate(), 'pkl'),
    ('test', '--json', evaluate(), 'json'),
    ('print_config', '--save-path', ['detector.py'], 'py'),
    ('convert', None, ['detector.pth'], 'pth'),
]


def _with(arguments: list, option: str | None, value: str) -> list:
    return [*arguments, *([option] if option else []), value]


OUTPUTS = [
    *(
        BadInput(f'{option}-is-a-file', tool, _with(arguments, option, FILE), 'is a file')
        for tool, option, arguments in _FOLDERS
    ),
    *(
        BadInput(f'{option}-below-a-file', tool, _with(arguments, option, f'{FILE}/a/b'), 'is a file')
        for tool, option, arguments in _FOLDERS
    ),
    *(
        BadInput(f'{option}-not-writable', tool, _with(arguments, option, '/proc/none/a'), 'may not be|cannot be')
        for tool, option, arguments in _FOLDERS
    ),
    *(
        BadInput(f'{option}-name-too-long', tool, _with(arguments, option, 'x' * 300), 'too long')
        for tool, option, arguments in _FOLDERS
    ),
    *(
        BadInput(
            f'{option}-is-a-folder',
            tool,
            lambda place, a=arguments, o=option, s=suffix: _folder(place, a, o, s),
            'is a folder',
        )
        for tool, option, arguments, suffix in _FILES
    ),
    *(
        BadInput(f'{option}-below-a-file', tool, _with(arguments, option, f'{FILE}/a.{suffix}'), 'is a file')
        for tool, option, arguments, suffix in _FILES
    ),
    *(
        BadInput(
            f'{option}-not-writable', tool, _with(arguments, option, f'/proc/none/a.{suffix}'), 'may not be|cannot be'
        )
        for tool, option, arguments, suffix in _FILES
    ),
    *(
        BadInput(f'{option}-name-too-long', tool, _with(arguments, option, f'{"x" * 300}.{suffix}'), 'too long')
        for tool, option, arguments, suffix in _FILES
    ),
    BadInput('out-and-json-alike', 'test', [*evaluate(), '--out', 'a.pkl', '--json', './a.pkl'], 'are the same file'),
    BadInput('out-of-another-kind', 'test', [*evaluate(), '--out', 'a.txt'], r'ends with \.pkl'),
    BadInput('save-path-of-another-kind', 'print_config', ['detector.py', '--save-path', 'a.txt'], r'ends with \.py'),
    BadInput('target-of-another-kind', 'convert', ['detector.pth', 'out.txt'], r'end with \.pth or \.safetensors'),
    BadInput('target-is-the-source', 'convert', ['detector.pth', './detector.pth'], 'the file that is read'),
]


def _folder_in_work_dir(name: str) -> Callable[[Place], list]:
    def prepare(place: Place) -> list:
        (place / 'used' / name).mkdir(parents=True)
        return [*train(), '--work-dir', 'used']

    return prepare


def _folder(place: Place, arguments: list, option: str | None, suffix: str) -> list:
    (place / f'out.{suffix}').mkdir()
    return _with(arguments, option, f'out.{suffix}')


ARGUMENTS = [
    *(
        BadInput('no-arguments', tool, [], 'are required|Give a file')
        for tool in ('train', 'test', 'image_demo', 'convert', 'print_config', 'browse_dataset')
    ),
    *(
        BadInput('mistyped-option', tool, [*arguments, '--work-dri', 'x'], 'unrecognized arguments: --work-dri')
        for tool, arguments in (
            ('train', ['detector.py']),
            ('test', evaluate()),
            ('image_demo', [TRAINING, *DEMO]),
            ('convert', ['detector.pth', 'out.pth']),
            ('print_config', ['detector.py']),
            ('browse_dataset', ['detector.py']),
            ('make_shapes', []),
        )
    ),
    *(
        BadInput('no-config', tool, arguments, r'none\.py does not exist')
        for tool, arguments in (
            ('test', ['none.py', 'w.pth']),
            ('image_demo', [TRAINING, 'none.py', 'w.pth']),
            ('print_config', ['none.py']),
            ('browse_dataset', ['none.py']),
        )
    ),
    BadInput('config-is-a-folder', 'train', ['data'], 'data'),
    BadInput('config-of-another-kind', 'train', [FILE.replace('.json', '.txt')], 'does not exist|is not a config'),
    BadInput('config-without-name', 'train', [''], 'The name of the model is empty'),
    *(
        BadInput(f'folder-of-the-name-{name}', 'train', _folder_in_work_dir(name), f'{name} is a folder; a file of')
        for name in ('.run_lock', 'last_checkpoint')
    ),
    BadInput('launcher', 'train', [*train(), '--launcher', 'dask'], 'invalid choice'),
    BadInput('check-images', 'train', [*train(), '--check-images', 'some'], 'invalid choice'),
    BadInput('max-bad-images', 'train', [*train(), '--max-bad-images', 'many'], 'invalid int value'),
    BadInput('max-bad-images-negative', 'train', [*train(), '--max-bad-images', '-1'], 'max-bad-images'),
    BadInput('auto-scale-lr', 'train', [*train(), '--auto-scale-lr'], 'base_batch_size'),
    BadInput('show-interval-text', 'test', [*evaluate(), '--show-interval', 'x'], 'invalid int value'),
    BadInput('show-interval-zero', 'test', [*evaluate(), '--show-dir', 'v', '--show-interval', '0'], 'show-interval'),
    BadInput('score-thr-alone', 'test', [*evaluate(), '--score-thr', '0.5'], 'add --show-dir'),
    BadInput('score-thr-text', 'test', [*evaluate(), '--score-thr', 'high'], 'invalid'),
    BadInput('score-thr-nan', 'test', [*evaluate(), '--show-dir', 'v', '--score-thr', 'nan'], 'score-thr'),
    BadInput('score-thr-nan', 'image_demo', [TRAINING, *DEMO, '--score-thr', 'nan'], 'score-thr'),
    BadInput('score-thr-percent', 'image_demo', [TRAINING, *DEMO, '--score-thr', '50'], 'score-thr'),
    BadInput('tta-of-no-config', 'test', [*evaluate(), '--tta'], 'tta'),
    BadInput('device', 'image_demo', [TRAINING, *DEMO[:2], '--device', 'tpu'], 'device'),
    BadInput('device-absent', 'image_demo', [TRAINING, *DEMO[:2], '--device', 'cuda:99'], 'device'),
    BadInput('layout', 'convert', ['detector.pth', 'out.pth', '--to', 'caffe'], 'layout must be one of'),
    BadInput('heads-zero', 'convert', ['detector.pth', 'out.pth', '--num-heads', '0'], 'heads'),
    BadInput('heads-text', 'convert', ['detector.pth', 'out.pth', '--num-heads', 'x'], 'invalid int value'),
    BadInput('ema-of-none', 'convert', ['detector.pth', 'out.pth', '--ema'], "has no copies 'ema_"),
    BadInput('source-alone', 'convert', ['detector.pth'], 'a file to write'),
    BadInput('num-zero', 'browse_dataset', ['detector.py', '--num', '0'], '--num must be at least 1'),
    BadInput('num-text', 'browse_dataset', ['detector.py', '--num', 'x'], 'invalid int value'),
    BadInput('shapes-size', 'make_shapes', ['--root', 'new', '--size', '0'], 'size'),
    BadInput('shapes-sizes', 'make_shapes', ['--root', 'new', '--size', '1', '2', '3'], 'size'),
    BadInput('shapes-training', 'make_shapes', ['--root', 'new', '--training', '-5'], 'training|number'),
    BadInput('shapes-objects', 'make_shapes', ['--root', 'new', '--objects', '5', '1'], 'objects'),
    BadInput('shapes-overwrite', 'make_shapes', ['--root', 'data'], 'data'),
    BadInput('shapes-below-a-file', 'make_shapes', ['--root', f'{FILE}/new'], 'instances_training'),
    BadInput('option-without-value', 'train', train('data_root'), 'expected KEY=VALUE'),
    BadInput('option-list', 'train', train('model.backbone.global_blocks=[1,'), '--cfg-options'),
    BadInput('option-mistyped', 'train', train('train_cfg.max_iter=3'), "did you mean 'max_iters'"),
    BadInput('option-of-nothing', 'train', train('nothing.at.all=3'), "no 'nothing' in the config"),
    BadInput('option-index', 'train', train('train_dataloader.dataset.pipeline.99.type=x'), 'a number from 0 to'),
]

BAD_ARGUMENTS = [*OUTPUTS, *ARGUMENTS]
