"""LoRA in the files of the package peft: `adapter_model.safetensors` and `adapter_config.json`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmvitdense.layers import LowRankLinear
from mmvitdense.whole_files import written_whole

from .lora import lora_layers

WEIGHTS, CONFIG = 'adapter_model.safetensors', 'adapter_config.json'
_PREFIX = 'base_model.model.'


def save_peft(vit: nn.Module, folder: str | Path) -> None:
    """Write the updates of a ViT with LoRA as peft does.

    Updates of rows of a joint projection become one update of all its rows, whose rank is the sum of theirs.

    Args:
        vit: The ViT; names in the file are those of its layers.
        folder: Where the two files go.
    """
    weights, ranks, alphas = {}, {}, {}
    for name, layer in lora_layers(vit):
        down, up = _joint(layer)
        weights[f'{_PREFIX}{name}.lora_A.weight'], weights[f'{_PREFIX}{name}.lora_B.weight'] = down, up
        ranks[name], alphas[name] = len(down), layer.scale * len(down)
    first = next(iter(ranks))
    config = {
        'peft_type': 'LORA',
        'r': ranks[first],
        'lora_alpha': alphas[first],
        'rank_pattern': {name: rank for name, rank in ranks.items() if rank != ranks[first]},
        'alpha_pattern': {name: alpha for name, alpha in alphas.items() if alpha != alphas[first]},
        'target_modules': list(ranks),
        'lora_dropout': lora_layers(vit)[0][1].dropout,
        'bias': 'none',
        'inference_mode': True,
    }
    from safetensors.torch import save_file

    with written_whole(Path(folder) / WEIGHTS) as path:
        save_file(weights, path, metadata={'format': 'pt'})
    with written_whole(Path(folder) / CONFIG) as path:
        path.write_text(json.dumps(config, indent=2))


def load_peft(vit: nn.Module, folder: str | Path) -> None:
    """Read the updates of a ViT with LoRA from the files of peft.

    Args:
        vit: A ViT that was built with LoRA on the layers of the file, at its rank, with 'qkv' for a joint projection.
        folder: Where the two files are.

    Raises:
        ValueError: The file has other layers, ranks or shapes, or a kind of LoRA that is not this one.
    """
    from safetensors.torch import load_file

    config = json.loads((Path(folder) / CONFIG).read_text())
    strange = [key for key in ('use_dora', 'fan_in_fan_out', 'modules_to_save', 'lora_bias') if config.get(key)]
    if config.get('bias', 'none') != 'none':
        strange.append('bias')
    if config.get('peft_type') != 'LORA' or strange:
        raise ValueError(f'{folder} is of another kind than LoRA alone: {strange or config.get("peft_type")}')
    weights = {name.removeprefix(_PREFIX): x for name, x in load_file(Path(folder) / WEIGHTS).items()}
    layers = dict(lora_layers(vit))
    expected = {f'{name}.lora_{kind}.weight' for name in layers for kind in 'AB'}
    if odd := sorted(expected ^ weights.keys()):
        raise ValueError(
            f'{folder} and the ViT have LoRA on other layers, {len(odd)} names differ, first {odd[0]}: give the '
            f'targets and blocks of the file, {config.get("target_modules")}'
        )
    for name, layer in layers.items():
        _check_layer(name, layer, weights)
    for name, layer in layers.items():
        _take(layer, weights[f'{name}.lora_A.weight'], weights[f'{name}.lora_B.weight'], _scale(config, name, layer))


def _joint(layer: LowRankLinear) -> tuple[Tensor, Tensor]:
    """One `down`, sum of ranks x in, and one `up`, out x sum of ranks, of all updates of a layer."""
    updates = [(rows, layer.low_rank[name]) for name, rows in layer.rows.items()]
    down = torch.cat([update.down.detach() for _, update in updates]).cpu()
    up = torch.zeros(layer.out_features, len(down), dtype=down.dtype)
    for index, ((start, stop), update) in enumerate(updates):
        up[start:stop, index * layer.rank : (index + 1) * layer.rank] = update.up.detach().cpu()
    return down.contiguous(), up


def _check_layer(name: str, layer: LowRankLinear, weights: dict[str, Tensor]) -> None:
    if list(layer.rows) != ['all']:
        raise ValueError(
            f"{name} has an update for each of {list(layer.rows)}, and the file one for all: give targets=('qkv', ...)"
        )
    down, up = weights[f'{name}.lora_A.weight'], weights[f'{name}.lora_B.weight']
    own = layer.low_rank['all']
    if (down.shape, up.shape) != (own.down.shape, own.up.shape):
        raise ValueError(
            f'{name} has updates of {tuple(own.up.shape)} times {tuple(own.down.shape)}, and the file of '
            f'{tuple(up.shape)} times {tuple(down.shape)}: give rank={len(down)}'
        )


def _take(layer: LowRankLinear, down: Tensor, up: Tensor, scale: float) -> None:
    merged = layer.merged
    layer.unmerge()
    with torch.no_grad():
        layer.low_rank['all'].down.copy_(down)
        layer.low_rank['all'].up.copy_(up * (scale / layer.scale))
    if merged:
        layer.merge()


def _scale(config: dict[str, Any], name: str, layer: LowRankLinear) -> float:
    """What the file multiplies an update by."""
    alpha = (config.get('alpha_pattern') or {}).get(name, config['lora_alpha'])
    return alpha / (math.sqrt(layer.rank) if config.get('use_rslora') else layer.rank)
