"""A model as a folder of its own: weights, config, classes and a model card, for this machine or the Hugging Face Hub.

A folder holds

- `config.json`: the config as plain data, class names, colours, preprocessing, versions, hashes of the weights;
- `model.safetensors`, or parts of it (`model-00001-of-00002.safetensors`, ...) and `model.safetensors.index.json`;
- `config.py`: the same config as a program, for the tools of mmdet, mmseg and mmengine. Nothing here reads it;
- `README.md`: the model card.

Opening a folder runs nothing that is in it, see `config_check`.
"""

from .hub import is_hub_id, push_to_hub
from .layout import PretrainedError, is_pretrained_folder
from .loading import OpenedModel, from_pretrained, open_pretrained
from .saving import publish_model, save_pretrained

__all__ = [
    'OpenedModel',
    'PretrainedError',
    'from_pretrained',
    'is_hub_id',
    'is_pretrained_folder',
    'open_pretrained',
    'publish_model',
    'push_to_hub',
    'save_pretrained',
]
