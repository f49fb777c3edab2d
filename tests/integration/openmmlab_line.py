"""Train, save and resume with the original OpenMMLab distributions, and compare models; run by tools/test_openmmlab.sh.

Works in the current folder, in an environment that holds the original line and borrows torch. Not collected by pytest.
"""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from pathlib import Path

from tests.integration.workshop import IMPORTED_BY_TOOLS, TINY_DETECTOR, TINY_SEGMENTOR, pairs
from tests.warm_python import WarmPython

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = {'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0', 'mmseg': '1.2.2'}
# Small, with the norms, dropout and flips of the quick start.
CONFIGS = {
    'vitdet-tiny_mask-rcnn_shapes': TINY_DETECTOR,
    'vit-tiny_upernet_shapes': {
        key: value for key, value in TINY_SEGMENTOR.items() if not key.endswith(('norm_cfg', 'dropout_ratio', 'prob'))
    },
}


def check_line() -> None:
    """Stop unless the packages of the original line, this environment's, are the ones that Python imports."""
    for name, version in VERSIONS.items():
        module = importlib.import_module(name)
        path = Path(module.__file__)
        print(f'{name} {module.__version__} {path.parent}')
        if module.__version__ != version or Path(sys.prefix) not in path.parents:
            sys.exit(
                f'{name} {module.__version__} was imported from {path.parent}; expected {version} from {sys.prefix}. '
                'Run tools/test_openmmlab.sh, which makes the right environment.'
            )
    import torch

    from mmvitdense import compat

    print(f'torch {torch.__version__} {Path(torch.__file__).parent}\nmmcv.ops: {compat.status()}', flush=True)
    if Path(sys.prefix) in Path(torch.__file__).parents:
        sys.exit(f'torch was installed a second time, into {sys.prefix}; expected that of the calling Python.')


def run(python: WarmPython | None, *command: str) -> None:
    """Run a program in a fork of `python` or, with None, in an interpreter of its own."""
    done = python.run(command, Path.cwd()) if python else subprocess.run([sys.executable, *command], check=False)
    if done.returncode:
        sys.exit(f'{command} ended with {done.returncode}.\n{done.stdout or ""}\n{done.stderr or ""}')
    print(done.stdout or '', end='', flush=True)


def check(python: WarmPython, *calls: str) -> None:
    """Call functions of this file in a fork; this process imports nothing itself."""
    run(python, '-c', '; '.join(['from tests.integration.openmmlab_line import *', *calls]))


def train(python: WarmPython | None, config: str, work_dir: Path, iterations: int, *arguments: str) -> None:
    options = {
        **CONFIGS[config],
        'train_dataloader.batch_size': 2,
        'train_cfg.max_iters': iterations,
        'train_cfg.val_interval': 4,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.logger.interval': 1,
    }
    run(
        python,
        str(ROOT / 'tools' / 'train.py'),
        str(ROOT / 'configs' / 'quickstart' / f'{config}.py'),
        '--work-dir',
        str(work_dir),
        *arguments,
        '--cfg-options',
        *pairs(options),
    )


def check_checkpoint(path: str, iterations: int) -> None:
    """The file is of this mmengine, readable without executing it, and knows every iteration since the first."""
    from mmvitdense.checkpoints import read_file

    content = read_file(path)
    losses = content['message_hub']['log_scalars']['train/loss'].data[0].tolist()
    found = {
        'mmengine_version': content['meta']['mmengine_version'],
        'iter': content['meta']['iter'],
        'losses': len(losses),
        'optimizer steps': {int(state['step']) for state in content['optimizer']['state'].values()},
    }
    expected = {
        'mmengine_version': VERSIONS['mmengine'],
        'iter': iterations,
        'losses': iterations,
        'optimizer steps': {iterations},
    }
    if found != expected or not all(math.isfinite(loss) for loss in losses):
        sys.exit(f'{path} holds {found} and losses {losses}; expected {expected} and finite losses.')


def check_models() -> None:
    """The models around our backbones are those on record, with which the suite compares the other line, and DINO is
    this line's own."""
    import json

    import torch

    from tests.configs import lines

    recorded = json.loads(lines.RECORD.read_text())
    if lines.record()['structures'] != recorded['structures']:
        sys.exit(f'{lines.RECORD} is not what this line builds; see {lines.__file__} on how it is written.')
    for name in lines.COMPUTED:
        found = lines.values(name)
        for key, expected in recorded['values'][name].items():
            torch.testing.assert_close(
                torch.tensor(found[key]), torch.tensor(expected), rtol=1e-3, atol=1e-5, msg=f'{name}: {key}'
            )
    check_dino()


def check_dino() -> None:
    """Our DINO has the names and shapes of this line's own, and makes the same query positions of boxes."""
    import torch
    from mmdet.models.layers.transformer import coordinate_to_encoding
    from mmengine.registry import MODELS, DefaultScope

    from tests.configs import lines

    models = {}
    for kind in ('DINO', 'mmvitdense.DINO'):
        config = lines.load('vitdet/vitdet-b-mae_dino-4scale_lsj-50e_coco').model
        config.type = kind
        config.backbone = {'type': 'mmvitdense.PlainViT', 'embed_dims': 48, 'num_layers': 1, 'num_heads': 3}
        config.neck.in_channels = 48
        with DefaultScope.overwrite_default_scope('mmdet'):
            models[kind] = MODELS.build(config)
    theirs, ours = models.values()
    ours.load_state_dict(theirs.state_dict())
    encoding = coordinate_to_encoding(torch.rand(2, 5, 4))
    if not torch.equal(theirs.decoder.ref_point_head(encoding), ours.decoder.ref_point_head(encoding)):
        sys.exit("mmvitdense.DINO gives other query positions than mmdet 3.3.0's DINO; expected the same.")


def main() -> None:
    python = WarmPython(*IMPORTED_BY_TOOLS)
    check(python, 'check_line()', 'check_models()')
    run(python, str(ROOT / 'tools' / 'make_shapes.py'), '--training', '8', '--validation', '4')
    for number, config in enumerate(CONFIGS):
        work_dir = Path('work_dirs') / config
        train(python if number else None, config, work_dir, 2)
        check(python, f'check_checkpoint({str(work_dir / "iter_2.pth")!r}, 2)')
        train(python, config, work_dir, 4, '--resume')
        check(python, f'check_checkpoint({str(work_dir / "iter_4.pth")!r}, 4)')
    python.close()
    print(f'the original OpenMMLab line trains, saves and resumes: {", ".join(CONFIGS)}')


if __name__ == '__main__':
    main()
