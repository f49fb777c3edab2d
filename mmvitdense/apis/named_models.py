"""Models by name: a config and the weights that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from mmvitdense.checkpoints.files.reading import existing_file
from mmvitdense.checkpoints.zoo import ZooEntry
from mmvitdense.checkpoints.zoo.files import published_file
from mmvitdense.checkpoints.zoo.names import entry_named, entry_of_config, is_weights, nearest_names
from mmvitdense.compat import while_tools_run
from mmvitdense.datasets.checks import check_windows

from .build import build_model, predict_labels_alone
from .checkpoint import load_model_weights
from .checkpoint_config import config_of_checkpoint
from .config import config_name, load_config
from .config_errors import nearest_file
from .dataset_meta import dataset_meta
from .devices import usable_device
from .errors import InputError
from .initial_weights import without_initial_weights
from .pretrained import OpenedModel, is_hub_id, is_pretrained_folder, open_pretrained
from .quiet import quiet
from .sync_bn import sync_bn_to_bn

RANDOM = 'random'
"""In the place of weights: draw them all, and fetch nothing."""


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
            with quiet():
                model.init_weights()
            return {'meta': {}}
        return load_model_weights(model, self.checkpoint, trunk=self.trunk, confirmed=self.entry is not None)

    @property
    def source(self) -> str:
        """What the weights are, for a person: the address that is published, or the path."""
        published = self.entry is not None and self.entry.weights
        return f'{self.checkpoint} (of {self.entry.weights})' if published else str(self.checkpoint)


def find_model(
    model: Any,
    weights: str | Path | None = None,
    cfg_options: dict[str, Any] | None = None,
    trunk: str | Path | None = None,
) -> FoundModel:
    """Find the config and the weights of a model, and fetch these where they are published.

    Args:
        model: A name of the zoo (`vitdet-b-mae_mask-rcnn_lsj-100e_coco`), a config as for `load_config`, or, without
            `weights`, a checkpoint of `tools/train.py`, which holds its config, or a folder of `save_pretrained`, here
            or on the Hugging Face Hub (OWNER/NAME).
        weights: A path or an http(s) address of weights, of a run or as its authors published them; or a name of the
            zoo, for its published file; 'random' to draw them all, those of an `init_cfg` too. By default those that
            are published for the config.
        cfg_options: {dotted key: value} merged into the config.
        trunk: For weights without those of their ViT, or with differences to them, the file of that ViT; by default
            the one that the config names.

    Raises:
        InputError: There is no such model, or nothing is published for it.
        CheckpointError: The weights cannot be fetched.
    """
    cfg, entry = find_config(model, cfg_options)
    return with_weights(model, cfg, entry, weights, trunk)


def find_config(model: Any, cfg_options: dict[str, Any] | None = None) -> tuple[Any, ZooEntry | None]:
    """The config of a model, and what the zoo knows of it.

    Args:
        model: As for `find_model`.
        cfg_options: {dotted key: value} merged into the config.

    Raises:
        InputError, CheckpointError: There is no such model, or the checkpoint holds no config.
    """
    if not isinstance(model, (str, Path)):
        return load_config(model, cfg_options), entry_of_config(getattr(model, 'filename', None))
    text = str(model)
    if not text.strip():
        raise InputError('The name of the model is empty: give a name of the zoo, a config, or a checkpoint.')
    if _is_folder_or_hub(text):
        return load_config(_opened(text).config, cfg_options), None
    if is_weights(text):
        return config_of_checkpoint(existing_file(text), cfg_options), None
    entry = None if Path(text).is_file() else entry_named(text)
    if entry:
        return load_config(f'mmvitdense::{entry.config}', cfg_options), entry
    if Path(text).is_dir():
        raise InputError(f'{text} is a folder; expected a config file or a name of the zoo{nearest_names(text)}')
    if '/' not in text and '::' not in text and not Path(text).is_file():
        if Path(text).suffix:
            raise InputError(f'The config {text} does not exist{nearest_file(Path(text)) or nearest_names(text)}')
        raise InputError(f'There is no file and no model of the zoo that is called {text!r}{nearest_names(text)}')
    cfg = load_config(text, cfg_options)
    return cfg, entry_of_config(cfg.filename)


def with_weights(
    model: Any, cfg: Any, entry: ZooEntry | None, weights: str | Path | None, trunk: str | Path | None = None
) -> FoundModel:
    """Add the weights to what `find_config` found; they are fetched where they are published.

    Args:
        model, weights, trunk: As for `find_model`.
        cfg, entry: What `find_config` returned for `model`.

    Raises:
        InputError, CheckpointError: As for `find_model`.
    """
    name = entry.name if entry else config_name(cfg)
    if weights == RANDOM:
        return FoundModel(without_initial_weights(cfg), None, entry, name)
    if weights is None and isinstance(model, (str, Path)) and _is_folder_or_hub(str(model)):
        return FoundModel(cfg, _opened(str(model)).weights, None, Path(str(model)).name)
    given = isinstance(model, (str, Path)) and is_weights(str(model))
    if weights is None and not given and entry is None:
        raise InputError(
            f'{name} is a config of your own, so that no weights are published for it: give the weights too.'
        )
    checkpoint = published_file(entry) if weights is None and not given else weights_file(weights or model)
    return FoundModel(cfg, checkpoint, entry, name, None if trunk is None else str(trunk))


def _is_folder_or_hub(text: str) -> bool:
    """Whether this is a folder that `save_pretrained` wrote, or may be one on the Hugging Face Hub."""
    return is_pretrained_folder(text) or (is_hub_id(text) and entry_named(text) is None)


@lru_cache(maxsize=1)
def _opened(source: str) -> OpenedModel:
    # Config and weights are asked for one after the other, and the weights are read whole to check them.
    return open_pretrained(source)


def weights_file(weights: str | Path) -> str:
    """Path of weights given by a path, an address, or a name of the zoo, which stands for its published file.

    Raises:
        InputError, CheckpointError: There are none, or they cannot be fetched.
    """
    text = str(weights)
    named = None if Path(text).exists() else entry_named(text)
    if named is None and '/' not in text and not is_weights(text) and not Path(text).exists():
        raise InputError(f'There are no weights and no model of the zoo that are called {text!r}{nearest_names(text)}')
    return published_file(named) if named else existing_file(weights)


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
