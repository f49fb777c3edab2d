"""Opening the folder of a model, or one of the Hugging Face Hub, without running anything in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from mmvitdense.apis.build import build_model
from mmvitdense.apis.checkpoint import load_model_weights
from mmvitdense.apis.dataset_meta import dataset_meta
from mmvitdense.apis.devices import usable_device
from mmvitdense.apis.sync_bn import sync_bn_to_bn
from mmvitdense.checkpoints.files.hub_folder import CONFIG
from mmvitdense.compat import while_tools_run

from .config_check import check_config
from .config_data import from_data
from .hub import fetch_from_hub, is_hub_id
from .layout import PretrainedError, read_description
from .weights import check_weights


class OpenedModel(NamedTuple):
    """What `Inferencer`, `evaluate_model` and `train_model` take.

    Attributes:
        config: An mmengine `Config`; its test data has the class names and colours of the weights.
        weights: The file of the weights, or the index of its parts.
    """

    config: Any
    weights: str


@while_tools_run()
def open_pretrained(source: str | Path, revision: str | None = None) -> OpenedModel:
    """Check a folder and return its config and the file of its weights.

    The config is read as data, and refused where a part of it could run more than the libraries known here have, see
    `config_check`. Building its model and its test pipeline is safe then. Training or testing with it reads and writes
    what its data sets, hooks and metrics say: look at `config.json` before you do that with one from a stranger.

    Args:
        source: A folder that `save_pretrained` wrote, or a model of the Hugging Face Hub, OWNER/NAME.
        revision: Branch, tag or commit on the Hub.

    Raises:
        PretrainedError: Something is missing, torn, of another version, or not allowed.
        DownloadError: The Hub does not give it.
    """
    folder = _folder(source, revision)
    description = read_description(folder)
    weights = check_weights(folder, description['weights'])
    plain = from_data(description['config'])
    if not isinstance(plain.get('model'), dict):
        raise PretrainedError(f'{folder / CONFIG}: its config has no model: copy or fetch it again.')
    check_config(plain)
    from mmengine.config import Config

    return OpenedModel(Config(plain, filename=str(folder / CONFIG)), str(weights))


@while_tools_run()
def from_pretrained(source: str | Path, revision: str | None = None, device: str | None = None) -> nn.Module:
    """The model of a folder or of the Hugging Face Hub, ready to predict.

    Args:
        source: A folder that `save_pretrained` wrote, or a model of the Hub, OWNER/NAME.
        revision: Branch, tag or commit on the Hub.
        device: 'cpu', 'cuda:0', ...; by default the first GPU if there is one, else the CPU.

    Returns:
        The detector or segmentor of mmdet or mmseg, in eval mode, with `cfg` and `dataset_meta` ('classes' and maybe
        'palette') as the functions of `mmdet.apis` and `mmseg.apis` expect.

    Raises:
        PretrainedError, DownloadError: As of `open_pretrained`.
        CheckpointError: The weights do not fit the model of the config.
    """
    place = usable_device(device)
    cfg, weights = open_pretrained(source, revision)
    sync_bn_to_bn(cfg)
    model = build_model(cfg)
    load_model_weights(model, weights)
    model.cfg = cfg
    model.dataset_meta = dataset_meta(cfg)
    return model.to(place).eval()


def _folder(source: str | Path, revision: str | None) -> Path:
    if Path(source).is_dir():
        if revision is not None:
            raise PretrainedError(f'{source} is a folder, and a revision ({revision}) is for a model of the Hub.')
        return Path(source)
    if is_hub_id(source):
        return fetch_from_hub(str(source), revision)
    raise PretrainedError(f'{source} is neither a folder nor a model of the Hugging Face Hub, OWNER/NAME.')
