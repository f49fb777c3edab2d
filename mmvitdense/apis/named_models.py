"""Models by name: a config and the weights that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from mmvitdense.checkpoints.files.reading import local_path
from mmvitdense.checkpoints.zoo import ZooEntry
from mmvitdense.checkpoints.zoo.files import published_file
from mmvitdense.checkpoints.zoo.names import entry_named, entry_of_config, is_weights, nearest_names
from mmvitdense.compat import while_tools_run
from mmvitdense.datasets.checks import check_windows

from .build import build_model, predict_labels_alone
from .checkpoint import load_model_weights
from .checkpoint_config import config_of_checkpoint
from .config import load_config
from .dataset_meta import dataset_meta
from .devices import usable_device
from .errors import InputError
from .sync_bn import sync_bn_to_bn

RANDOM = 'random'
"""In the place of weights: leave the model as its config initialises it."""


@dataclass(frozen=True)
class FoundModel:
    """A config and its weights.

    Attributes:
        config: The mmengine `Config`, with the options that were given.
        checkpoint: Path of the weights on this machine, in whatever layout they are published; `load_weights` and
            `load_model_weights` read it. None where weights were not asked for, and random ones do.
        entry: What the zoo knows of the model; None for a config that is not of this package.
        name: Name of the model: that of the zoo, else that of the config file.
        trunk: The file of a ViT that the weights lack, as it was given.
    """

    config: Any
    checkpoint: str | None
    entry: ZooEntry | None
    name: str
    trunk: str | None = None

    def load_weights(self, model: nn.Module) -> dict[str, Any]:
        """Load the weights into the model of the config, or initialise it; returns the checkpoint, with 'meta'.

        Raises:
            CheckpointError: They do not fit, or a file that they need cannot be had.
        """
        if self.checkpoint is None:
            model.init_weights()
            return {'meta': {}}
        return load_model_weights(model, self.checkpoint, trunk=self.trunk, confirmed=self.entry is not None)


def find_model(
    model: Any,
    weights: str | Path | None = None,
    cfg_options: dict[str, Any] | None = None,
    trunk: str | Path | None = None,
) -> FoundModel:
    """Find the config and the weights of a model, and fetch these where they are published.

    Args:
        model: A name of the zoo (`vitdet-b-mae_mask-rcnn_lsj-100e_coco`), a config as for `load_config`, or, without
            `weights`, a checkpoint of `tools/train.py`, which holds its config.
        weights: A path or an http(s) address of weights, of a run or as its authors published them; or a name of the
            zoo, for its published file; 'random' for none, the model being as its config initialises it. By default
            those that are published for the config.
        cfg_options: {dotted key: value} merged into the config.
        trunk: For weights without those of their ViT, or with differences to them, the file of that ViT; by default
            the one that the config names.

    Raises:
        InputError: There is no such model, or nothing is published for it.
        CheckpointError: The weights cannot be fetched.
    """
    if weights == RANDOM:
        cfg, entry = find_config(model, cfg_options)
        return FoundModel(cfg, None, entry, _name_of(cfg, entry), _text(trunk))
    if weights is None and isinstance(model, (str, Path)) and is_weights(model):
        cfg = config_of_checkpoint(local_path(model), cfg_options)
        return FoundModel(cfg, str(local_path(model)), None, Path(str(model)).stem, _text(trunk))
    cfg, entry = find_config(model, cfg_options)
    name = _name_of(cfg, entry)
    if weights is None:
        if entry is None:
            raise InputError(
                f'{model} is no model of the zoo, so that no weights are published for it: give the weights too.'
            )
        return FoundModel(cfg, published_file(entry), entry, name, _text(trunk))
    of_zoo = entry_named(str(weights)) if not Path(weights).exists() else None
    checkpoint = published_file(of_zoo) if of_zoo else local_path(weights)
    if not Path(checkpoint).exists():
        raise InputError(f'The weights {weights} do not exist{nearest_names(str(weights))}')
    return FoundModel(cfg, str(checkpoint), entry, name, _text(trunk))


def find_config(model: Any, cfg_options: dict[str, Any] | None = None) -> tuple[Any, ZooEntry | None]:
    """The config of a model, and what the zoo knows of it.

    Args:
        model: A name of the zoo, with or without '.py', or a config as for `load_config`.
        cfg_options: {dotted key: value} merged into the config.

    Raises:
        InputError: There is no such model.
    """
    if isinstance(model, (str, Path)):
        entry = None if Path(model).is_file() else entry_named(str(model))
        if entry:
            return load_config(f'mmvitdense::{entry.config}', cfg_options), entry
        if Path(model).is_dir():
            raise InputError(f'{model} is a folder; expected a config file or a name of the zoo.')
        if not Path(str(model)).suffix and '::' not in str(model) and '/' not in str(model):
            raise InputError(f'The zoo has no model {str(model)!r}{nearest_names(str(model))}')
    cfg = load_config(model, cfg_options)
    return cfg, entry_of_config(cfg.filename)


@while_tools_run()
def load_model(
    model: Any,
    weights: str | Path | None = None,
    device: str | None = None,
    cfg_options: dict[str, Any] | None = None,
    trunk: str | Path | None = None,
) -> nn.Module:
    """Build a model, load its weights, and make it ready to predict.

    Args:
        model, weights, cfg_options, trunk: As for `find_model`.
        device: For example 'cpu' or 'cuda:1'; by default the first GPU if one is usable, else the CPU.

    Returns:
        The detector or segmentor in evaluation mode, with its config as `cfg` and the names and colours of its classes
        as `dataset_meta`.

    Raises:
        InputError, CheckpointError: As for `find_model`, or the weights do not fit.

    Example:
        >>> model = load_model('vitdet-b-mae_mask-rcnn_lsj-100e_coco')
    """
    place = usable_device(device)
    found = find_model(model, weights, cfg_options, trunk)
    sync_bn_to_bn(found.config)
    check_windows(found.config)
    predict_labels_alone(found.config)
    built = build_model(found.config)
    content = found.load_weights(built)
    built.cfg = found.config
    built.dataset_meta = dataset_meta(found.config, content['meta'])
    return built.to(place).eval()


def _name_of(cfg: Any, entry: ZooEntry | None) -> str:
    return entry.name if entry else Path(str(cfg.filename or 'model')).stem


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
