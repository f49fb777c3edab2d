"""ViT-CoMer of the official code, detection, segmentation and Co-DETR, backbone alone or whole model.

The branch for Co-DETR has older names (`injector`, `multiconv`). Norms that do not act on the outputs, where the
levels of the branch do not interact, have no place in `ViTCoMer` and are dropped, as is a module before an injection
that is switched off.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from .contract import Format
from .parts.adapter_options import num_extra, num_stages, ratio, shared_guesses, shared_options, split_given
from .parts.adapter_trunk import convert_adapter, find_official, surroundings, trunk_options
from .parts.renaming import rename

_COMER = re.compile(r'^interactions\.\d+\.((mrfp|multiconv|cti_tov|cti_toc|extra_CTIs)\.|.+\.cfinter\.)')
_OLD_NAMES = (
    (r'^(interactions\.\d+)\.multiconv\.', r'\1.mrfp.'),
    (r'^(interactions\.\d+)\.injector\.', r'\1.cti_tov.'),
    (r'^(interactions\.\d+)\.extractor\.', r'\1.cti_toc.'),
    (r'^(interactions\.\d+)\.extra_extractors\.', r'\1.extra_CTIs.'),
)
_OLD = re.compile(r'^interactions\.\d+\.(multiconv|injector)\.')
_COLLECTS = re.compile(r'\.cfinter\.|\.extra_CTIs\.')
_DOUBLED_NORM = re.compile(r'^(interactions\.\d+\.(?:cti_toc|extra_CTIs\.\d+))\.(?:query|feat)_norm\.')
_MRFP = re.compile(r'^(interactions\.\d+)\.mrfp\.')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether this is an official ViT-CoMer."""
    adapter = find_official(state_dict)
    return adapter is not None and any(_COMER.match(name) for name in adapter.backbone)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to `ViTCoMer`, under 'backbone.' with the heads of mmdet 3 or mmsegmentation 1 for a whole model."""
    adapter = find_official(state_dict)
    return convert_adapter(adapter, _convert_surroundings(surroundings(adapter)))


def options(state_dict: dict[str, Tensor], **given: Any) -> dict[str, Any]:
    """Options of `ViTCoMer`; `given` ones win, of the adapter or of the ViT inside, see `split_given`."""
    adapter = find_official(state_dict)
    of_vit, own = split_given(given)
    vit = trunk_options(adapter, of_vit)
    # Names that are dropped in converting are evidence too.
    weights = rename(surroundings(adapter), _OLD_NAMES)
    parts = [
        {n.split('.', 2)[2] for n in weights if n.startswith(f'interactions.{i}.')} for i in range(num_stages(weights))
    ]

    def per_stage(part: str) -> bool | list[bool]:
        return _one_or_all([any(name.startswith(part) for name in names) for names in parts])

    mrfp = [len(weight) for name, weight in weights.items() if name.endswith('.mrfp.fc1.weight')]
    known = shared_options(weights, vit['num_layers'], '.attn', 3, own)
    if _has_network_in_injection_alone(weights):
        known['with_cffn'] = False
    if mrfp:
        known['mrfp_ratio'] = ratio(mrfp[0], vit['embed_dims'])
    known['use_cti_tov'], known['use_cti_toc'] = per_stage('cti_tov.'), per_stage('cti_toc.')
    known['cnn_feature_interaction'] = _one_or_all([_interacts(names) for names in parts])
    return {'vit': vit, **known, 'num_extra_cti': num_extra(weights, 'extra_CTIs')}


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """See `shared_guesses`; files of the branch for Co-DETR come with a map more."""
    found = shared_guesses(options)
    if any(_OLD.search(name) for name in find_official(state_dict).backbone):
        found['out_vit_map'] = 'the branch for Co-DETR, which has these names, returns the map of the ViT too (True)'
    return found


def _has_network_in_injection_alone(weights: dict[str, Tensor]) -> bool:
    """The official code without networks keeps that of the injection."""
    networks = {name for name in weights if name.endswith('.ffn.fc1.weight')}
    return (
        bool(networks) and all('.cti_tov.' in name for name in networks) and any(_COLLECTS.search(n) for n in weights)
    )


def _interacts(names: set[str]) -> bool:
    """Whether the levels of the branch interact in a stage; as the model has it by default where nothing would."""
    collects = any(name.startswith(('cti_toc.', 'extra_CTIs.')) for name in names)
    return any('.cfinter.' in name for name in names) or not collects


def _one_or_all(values: list[bool]) -> bool | list[bool]:
    return values[0] if len(set(values)) == 1 else values


def _convert_surroundings(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = rename(weights, _OLD_NAMES)

    def acts(name: str) -> bool:
        if match := _DOUBLED_NORM.match(name):
            return f'{match[1]}.cfinter.query_norm.weight' in weights
        if match := _MRFP.match(name):
            return f'{match[1]}.cti_tov.gamma' in weights
        return True

    return {name: weight for name, weight in weights.items() if acts(name)}


FORMAT = Format(
    name='ViT-CoMer',
    about=__doc__,
    matches=matches,
    convert=convert,
    model='ViTCoMer',
    own_options=options,
    cannot_tell=cannot_tell,
)
