"""Writing the folder of a model, from a model in memory or from a config and a checkpoint."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from torch import nn

from mmvitdense.apis.build import build_model
from mmvitdense.apis.checkpoint import load_model_weights
from mmvitdense.apis.config import config_name, load_config
from mmvitdense.apis.dataset_meta import dataset_meta
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.files import check_output_folder, write_json
from mmvitdense.apis.standalone import standalone_config
from mmvitdense.checkpoints.files.hub_folder import CONFIG
from mmvitdense.compat import while_tools_run
from mmvitdense.whole_files import write_text_whole

from .card import CardFacts, model_card
from .config_check import check_config, known_imports
from .config_data import to_data
from .description import library_versions, paths_of_this_machine, portable, preprocessing_of, task_of
from .layout import CARD, FORMAT, PROGRAM, VERSION, PretrainedError, is_pretrained_folder, read_description
from .weights import size_in_bytes, write_weights

_SHOWN = 5


@while_tools_run()
def save_pretrained(
    model: nn.Module,
    folder: str | Path,
    config: Any = None,
    meta: dict[str, Any] | None = None,
    name: str | None = None,
    licence: str | None = None,
    results: dict[str, float] | None = None,
    max_shard_size: int | str = '5GB',
    hash_in_name: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a model as a folder that `from_pretrained` opens.

    Args:
        model: The model, with the weights to write (averaged ones where a run kept an average: see `publish_model`).
        folder: Where to; it is made, and has to be empty or one that this function wrote if `overwrite` is set.
        config: What the model was built from: path, name or `Config`; by default `model.cfg`.
        meta: 'classes', and maybe 'palette'; by default `model.dataset_meta`, else those of the config's test data.
        name: Of the model; by default that of the config file.
        licence: Of the weights, such as 'apache-2.0', for the card; None says that none is given.
        results: {metric: value} for the card.
        max_shard_size: Weights above it are split: bytes, or a text such as '5GB'.
        hash_in_name: Name the file of the weights `NAME-HASH.safetensors`, with 8 digits of its SHA-256.
        overwrite: Replace a model that is there.

    Returns:
        The folder.

    Raises:
        InputError, PretrainedError: Something given cannot be used, or the config holds what no file can say or what
            `from_pretrained` would refuse. The folder is as it was then.
    """
    folder, largest = Path(folder), size_in_bytes(max_shard_size)
    _check_folder(folder, overwrite)
    cfg = load_config(config if config is not None else _config_of(model))
    name = name or (config_name(cfg) if cfg.filename else 'model')
    meta = _plain_meta(meta or getattr(model, 'dataset_meta', None) or dataset_meta(cfg))
    plain = _with_known_imports(portable(_as_program(cfg), meta))
    data = to_data(plain)
    check_config(plain)
    program = standalone_config(_config_from(plain))
    if overwrite:
        _remove_model(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = write_weights(folder, model.state_dict(), largest, name if hash_in_name else None)
    facts = CardFacts(name, task_of(plain), meta.get('classes') or [], _count(model), licence, results or {}, plain)
    write_text_whole(folder / PROGRAM, program)
    write_text_whole(folder / CARD, model_card(facts, folder.name))
    # The last file: a folder that has it is whole.
    write_json(folder / CONFIG, {**_description(facts, meta), 'weights': weights, 'config': data})
    return folder


@while_tools_run()
def publish_model(
    config: Any,
    checkpoint: str | Path,
    folder: str | Path,
    cfg_options: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Write the model of a training run as a folder that `from_pretrained` opens.

    Optimizer, schedule, messages and everything else of the run is left out. With an average of the weights (EMA) the
    averaged ones are written, as `evaluate_model` tests them. Weights that a checkpoint leaves out because they are
    frozen and of a published file are brought from there.

    Args:
        config: Path, name or `Config` that the checkpoint was trained with.
        checkpoint: A file, or its http(s) address.
        folder: Where to.
        cfg_options: {dotted key: value} merged into the config.
        **options: Those of `save_pretrained`: `name`, `licence`, `results`, `max_shard_size`, `hash_in_name`,
            `overwrite`.

    Raises:
        InputError, CheckpointError, PretrainedError: Something given cannot be used.
    """
    size_in_bytes(options.get('max_shard_size', '5GB'))
    _check_folder(Path(folder), options.get('overwrite', False))
    cfg = load_config(config, cfg_options)
    if not cfg.get('model'):
        raise InputError(f'{cfg.filename} has no model to publish; expected a whole config.')
    model = build_model(cfg)
    content = load_model_weights(model, checkpoint)
    options['name'] = options.get('name') or config_name(config)
    return save_pretrained(model, folder, cfg, dataset_meta(cfg, content['meta']), **options)


def _check_folder(folder: Path, overwrite: bool) -> None:
    check_output_folder(folder, 'The folder')
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not is_pretrained_folder(folder):
        raise InputError(f'The folder {folder} holds other files; expected a new or an empty one.')
    if not overwrite:
        raise InputError(f'The folder {folder} holds a model: give another one, or --overwrite.')


def _remove_model(folder: Path) -> None:
    """Delete the files of the model that is there, its description first, and no others."""
    if not is_pretrained_folder(folder):
        return
    try:
        files = read_description(folder)['weights'].get('files') or {}
    except PretrainedError:
        files = {}
    for name in (CONFIG, CARD, PROGRAM, *(name for name in files if Path(name).name == name)):
        (folder / name).unlink(missing_ok=True)


def _config_of(model: nn.Module) -> Any:
    cfg = getattr(model, 'cfg', None)
    if cfg is None:
        raise InputError('The model has no attribute cfg: give the config that it was built from.')
    return cfg


def _as_program(cfg: Any) -> dict[str, Any]:
    """The content of a config, with classes (of configs that import them) as names."""
    from mmengine.config import Config

    return Config.fromstring(standalone_config(cfg), '.py').to_dict()


def _config_from(plain: dict[str, Any]) -> Any:
    from mmengine.config import Config

    return Config(copy.deepcopy(plain))


def _with_known_imports(plain: dict[str, Any]) -> dict[str, Any]:
    imports = plain['custom_imports']
    known = known_imports(imports)
    if dropped := sorted(set(imports['imports']) - set(known)):
        print_log(
            f'custom_imports: {", ".join(dropped)} is left out, as a folder brings no code: whoever opens the model '
            'has to import it before.',
            logger='current',
            level=logging.WARNING,
        )
    paths = list(paths_of_this_machine({**plain, 'custom_imports': None}))
    if paths:
        print_log(
            f'The config names {len(paths)} absolute paths of this machine ({", ".join(paths[:_SHOWN])}), which will '
            'stand in the folder.',
            logger='current',
            level=logging.WARNING,
        )
    return {**plain, 'custom_imports': {**imports, 'imports': known}}


def _plain_meta(meta: dict[str, Any]) -> dict[str, Any]:
    """Class names and colours as lists."""
    plain = {}
    if meta.get('classes'):
        plain['classes'] = [str(name) for name in meta['classes']]
    if meta.get('palette'):
        plain['palette'] = [[int(value) for value in colour] for colour in meta['palette']]
    return plain


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _description(facts: CardFacts, meta: dict[str, Any]) -> dict[str, Any]:
    return {
        'format': FORMAT,
        'format_version': VERSION,
        'name': facts.name,
        'task': facts.task,
        'licence': facts.licence,
        'results': facts.results,
        'classes': meta.get('classes') or [],
        'palette': meta.get('palette'),
        'preprocessing': preprocessing_of(facts.config),
        'libraries': library_versions(),
    }
