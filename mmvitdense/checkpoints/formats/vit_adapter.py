"""ViT-Adapter of the official code, detection and segmentation, around ViT, BEiT or Uni-Perceiver, alone or whole."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from . import vit_comer
from .contract import Format
from .parts.adapter_options import num_extra, shared_guesses, shared_options, split_given
from .parts.adapter_trunk import convert_adapter, find_official, surroundings, trunk_options

_INTERACTION = re.compile(r'^interactions\.\d+\.(injector|extractor)\.')
_INJECTOR = re.compile(r'^interactions\.\d+\.injector\.')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether this is an official ViT-Adapter; ViT-CoMer has had names of it besides its own."""
    adapter = find_official(state_dict)
    if adapter is None or vit_comer.matches(state_dict):
        return False
    return any(_INTERACTION.match(name) for name in adapter.backbone)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to `ViTAdapter`, under 'backbone.' with the heads of mmdet 3 or mmsegmentation 1 for a whole model."""
    adapter = find_official(state_dict)
    return convert_adapter(adapter, surroundings(adapter))


def options(state_dict: dict[str, Tensor], **given: Any) -> dict[str, Any]:
    """Options of `ViTAdapter`; `given` ones win, of the adapter or of the ViT inside, see `split_given`."""
    adapter = find_official(state_dict)
    of_vit, own = split_given(given)
    vit, weights = trunk_options(adapter, of_vit), surroundings(adapter)
    known = shared_options(weights, vit['num_layers'], 'extractor.attn', 1, own)
    known['use_injector'] = any(_INJECTOR.match(name) for name in weights)
    return {'vit': vit, **known, 'num_extra_extractors': num_extra(weights, 'extra_extractors')}


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """See `shared_guesses`."""
    return shared_guesses(options)


FORMAT = Format(
    name='ViT-Adapter',
    about=__doc__,
    matches=matches,
    convert=convert,
    model='ViTAdapter',
    own_options=options,
    cannot_tell=cannot_tell,
)
