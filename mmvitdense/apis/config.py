"""Reading a config by path or by name, and changing it from the command line."""

from __future__ import annotations

import copy
import difflib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmvitdense.compat import while_tools_run
from mmvitdense.project_files import project_folder

from .build_errors import equal, parts_below
from .config_errors import nearest_file, reading_config, refuse_circles
from .errors import InputError
from .files import check_output_folder

_READ_BY_MMENGINE = {
    'activation_checkpointing', 'compile', 'custom_imports', 'efficient_conv_bn_eval', 'find_unused_parameters',
    'model_wrapper_cfg', 'runner_type', 'strategy', 'sync_bn', 'tta_model', 'tta_pipeline',
}  # fmt: skip
_OF_OLD_RUNNERS = {
    'checkpoint_config': 'default_hooks.checkpoint',
    'data': 'train_dataloader, val_dataloader and test_dataloader',
    'dist_params': 'env_cfg.dist_cfg',
    'evaluation': 'val_evaluator, and how often is train_cfg.val_interval',
    'fp16': '--amp',
    'log_config': 'default_hooks.logger and vis_backends',
    'lr_config': 'param_scheduler',
    'optimizer': 'optim_wrapper.optimizer',
    'optimizer_config': 'optim_wrapper.clip_grad',
    'resume_from': '--resume',
    'runner': 'train_cfg',
    'total_epochs': 'train_cfg.max_epochs',
    'total_iters': 'train_cfg.max_iters',
    'workflow': 'train_cfg.val_interval',
}
"""Fields that mmdet 2 and mmseg 0 read and nothing reads any more, and what has taken their place."""
_LIKE_VARIABLES = {'tta_pipeline', 'compile', 'strategy'}
"""Fields with names near those of variables that configs of mmdet and mmseg have, such as `test_pipeline`."""
_MISTYPED_FIELD = 0.88
"""difflib ratio from which a field is another one mistyped: `trian_cfg`, not `val_evaluator_abs` of a mmdet config."""
_TYPO_SIMILARITY = 0.9
"""difflib ratio from which a key is another one mistyped: `max_iter` for `max_iters`, not `in_` for `out_channels`."""


def load_config(config: Any, cfg_options: dict[str, Any] | None = None) -> Any:
    """Read a config and apply `--cfg-options`.

    Args:
        config: A path, a name such as `mmvitdense::vitdet/vitdet-b-mae_mask-rcnn_lsj-100e_coco.py` (the configs of
            this package, or of any OpenMMLab package in its place), or a `Config`, which is copied.
        cfg_options: {dotted key: value}, merged into the config.

    Returns:
        The `mmengine.Config`.

    Raises:
        InputError: no such config, or an option that cannot be meant as written.
    """
    from mmengine.config import Config

    if isinstance(config, Config):
        cfg = copy.deepcopy(config)
    else:
        with reading_config(str(config)), while_tools_run():
            cfg = _read(str(config))
    for key in cfg_options or {}:
        _check_option(cfg, key)
    try:
        cfg.merge_from_dict(cfg_options or {})
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f'--cfg-options cannot be merged into {cfg.filename}: {error}.') from error
    return cfg


def with_fragments(cfg: Any, fragments: Sequence[str | Path]) -> Any:
    """The config with the fields of other files merged into it, one after the other, as `_base_` merges them.

    Args:
        cfg: A config, which is left alone.
        fragments: Paths or names as for `load_config`, of files with fields such as `model_wrapper_cfg`.

    Raises:
        InputError: There is no such file, or its fields cannot be merged.
    """
    for fragment in fragments:
        fields = load_config(fragment)._cfg_dict.to_dict()
        cfg = copy.deepcopy(cfg)
        try:
            cfg.merge_from_dict(fields)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise InputError(f'{fragment} cannot be merged into {cfg.filename}: {error}.') from error
    return cfg


def option_notes(cfg_options: dict[str, Any] | None) -> list[str]:
    """A line for each option that only changes a variable of the config file, which nothing reads any more."""
    names = {key.split('.')[0] for key in cfg_options or {}} - run_fields()
    return [
        f'--cfg-options {name}: changes a variable of the config file after the file was read, so fields that were '
        'computed from it keep their values. Set those fields themselves if that is what you want.'
        for name in sorted(names)
    ]


def unused_notes(cfg: Any, tta: bool | None = None) -> list[str]:
    """A line for each field of a config that looks like one a run would follow, and is not read by anything.

    Args:
        cfg: The config.
        tta: Whether a test predicts several views of each image; None where the run is no test.
    """
    notes = []
    views = [key for key in ('tta_model', 'tta_pipeline') if cfg.get(key) is not None]
    if views and tta is False:
        notes.append(f'{", ".join(views)}: not used, each image is predicted once; --tta predicts several views.')
    if cfg.get('strategy') is not None and cfg.get('runner_type', 'Runner') == 'Runner':
        notes.append("strategy: not used, only runner_type='FlexibleRunner' reads it.")
    for key, successor in _OF_OLD_RUNNERS.items():
        # Many a config writes a field by way of a variable of the old name.
        if isinstance(cfg.get(key), (dict, list, int)) and cfg[key] != _inner(cfg, successor):
            notes.append(f'{key}: not used, its place is now {successor}.')
    return notes


def refuse_mistyped_fields(cfg: Any) -> None:
    """Refuse a field whose name is nearly one that a run reads, such as `optim_wraper`.

    Variables of the config file stay: a name that is like no field, or whose value a field of the run holds.

    Raises:
        InputError: There is such a field.
    """
    read = run_fields()
    held = [part for name in read for _, part in parts_below(cfg.get(name), name)]
    for name in sorted(set(cfg) - read):
        candidates = [field for field in read - _LIKE_VARIABLES if _without_digits(field) != _without_digits(name)]
        close = difflib.get_close_matches(name, candidates, n=1, cutoff=_MISTYPED_FIELD)
        value = cfg[name]
        if close and not (isinstance(value, (dict, list, tuple)) and any(equal(value, part) for part in held)):
            raise InputError(
                f'{cfg.filename}: nothing reads a field {name!r}; did you mean {close[0]!r}? (If it is a variable of '
                'yours, give it another name.)'
            )


def config_name(config: Any) -> str:
    """The name of a config file without folder and suffix."""
    path = config if isinstance(config, (str, Path)) else config.filename
    return Path(str(path).rpartition('::')[2]).stem


def set_work_dir(cfg: Any, work_dir: str | None, config: Any) -> None:
    """Set `cfg.work_dir`: the argument, else the field of the config, else `./work_dirs/<config name>`."""
    cfg.work_dir = str(work_dir or cfg.get('work_dir') or Path('work_dirs', config_name(config)))
    check_output_folder(cfg.work_dir, '--work-dir')


def _read(name: str) -> Any:
    from mmengine.config import Config
    from mmengine.hub import get_config

    package, separator, inner = name.rpartition('::')
    if separator and package != 'mmvitdense':
        try:
            return get_config(name)
        except (FileNotFoundError, ModuleNotFoundError) as error:
            raise InputError(f'The config {name} was not found: {error}.') from error
    path = _own_config(inner) if separator else Path(name)
    if not path.is_file():
        raise InputError(f'The config {path} does not exist{nearest_file(path)}.')
    if path.suffix not in ('.py', '.json', '.yaml', '.yml'):
        raise InputError(f'{path} is not a config: expected a .py, .yaml or .json file.')
    refuse_circles(path)
    return Config.fromfile(path)


def _own_config(inner: str) -> Path:
    """The installed config, or that of a source checkout."""
    return project_folder(f'configs/{inner}') / 'configs' / inner


def _inner(cfg: Any, dotted: str) -> Any:
    for name in dotted.split('.'):
        cfg = cfg.get(name) if hasattr(cfg, 'get') else None
    return cfg


def run_fields() -> set[str]:
    """The top-level fields of a config that a run reads."""
    from mmengine.runner import Runner

    return set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} | _READ_BY_MMENGINE


def _check_option(cfg: Any, dotted: str) -> None:
    """Refuse a key that names nothing, or that is one letter off a key that exists."""
    node, path = cfg, ''
    for key in dotted.split('.'):
        if isinstance(node, (list, tuple)):
            if not key.isdigit() or int(key) >= len(node):
                raise InputError(
                    f'--cfg-options {dotted}: {path} is a list of {len(node)}, so expected a number from 0 to '
                    f'{len(node) - 1} in place of {key!r}.'
                )
            node = node[int(key)]
        elif hasattr(node, 'keys'):
            known = set(node.keys()) | (run_fields() if not path else set())
            if key not in known:
                _refuse_typo(dotted, key, known, path)
                return
            node = node.get(key)
        else:
            return
        path = f'{path}.{key}' if path else key


def _refuse_typo(dotted: str, key: str, known: set[str], path: str) -> None:
    candidates = [name for name in known if _without_digits(name) != _without_digits(key)]
    close = difflib.get_close_matches(key, candidates, n=1, cutoff=_TYPO_SIMILARITY if path else 0.6)
    if close:
        raise InputError(f'--cfg-options {dotted}: no {key!r} in {path or "the config"}; did you mean {close[0]!r}?')
    if not path:
        raise InputError(f'--cfg-options {dotted}: no {key!r} in the config, and nothing in a run reads such a field.')


def _without_digits(name: str) -> str:
    return re.sub(r'\d', '', name)
