"""Linear layers with a trained update of low rank beside their weights (LoRA, arXiv 2106.09685)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.ops import linear


class LowRankUpdate(nn.Module):
    """The product of two matrices, `up @ down`, which starts as zero.

    Args:
        in_features: Columns of `down`.
        out_features: Rows of `up`.
        rank: Rows of `down`.
        device: Where the weights are.
        dtype: Their type.
    """

    def __init__(self, in_features: int, out_features: int, rank: int, device=None, dtype=None):
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, in_features, device=device, dtype=dtype))
        self.up = nn.Parameter(torch.empty(out_features, rank, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw `down` as torch draws linear layers, and set `up` to zero (section 4.1 of the paper)."""
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        nn.init.zeros_(self.up)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ... x in_features to ... x out_features."""
        return F.linear(F.linear(tokens, self.down), self.up)


class LowRankLinear(nn.Linear):
    """A linear layer W whose rows `rows[name]` compute with W + alpha / rank * up @ down.

    It takes over weight and bias of the layer that it replaces, under their names, and freezes them.

    Args:
        layer: That layer.
        rows: {name of an update: first row and the one after the last}.
        rank: Rank of each update.
        alpha: Numerator of the scale of the updates.
        dropout: Probability with which an input of the updates is set to zero in training.
    """

    def __init__(self, layer: nn.Linear, rows: Mapping[str, tuple[int, int]], rank: int, alpha: float, dropout: float):
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.rank, self.alpha, self.dropout = rank, float(alpha), float(dropout)
        self.rows = dict(sorted(rows.items(), key=lambda item: item[1]))
        where = {'device': layer.weight.device, 'dtype': layer.weight.dtype}
        self.low_rank = nn.ModuleDict(
            {name: LowRankUpdate(self.in_features, stop - start, rank, **where) for name, (start, stop) in rows.items()}
        )
        self.merged = False
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                parameter.requires_grad_(False)
        self.train(layer.training)

    @property
    def scale(self) -> float:
        """What the updates are multiplied by."""
        return self.alpha / self.rank

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ... x in_features to ... x out_features."""
        output = linear(tokens, self.weight, self.bias)
        if self.merged:
            return output
        tokens = F.dropout(tokens, self.dropout, self.training)
        parts, done = [], 0
        for name, (start, stop) in self.rows.items():
            parts += [output[..., done:start]] if start > done else []
            parts.append(output[..., start:stop] + self.scale * self.low_rank[name](tokens))
            done = stop
        parts += [output[..., done:]] if done < self.out_features else []
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    @torch.no_grad()
    def delta(self) -> Tensor:
        """What the updates add to the weight, out_features x in_features."""
        delta = torch.zeros_like(self.weight)
        for name, (start, stop) in self.rows.items():
            update = self.low_rank[name]
            delta[start:stop] = (self.scale * (update.up.double() @ update.down.double())).to(delta)
        return delta

    def merge(self) -> None:
        """Add the updates to the weight, so that the layer takes no longer than a plain one; nothing if it is done."""
        if not self.merged:
            self.weight.data += self.delta()
            self.merged = True

    def unmerge(self) -> None:
        """Take the updates out of the weight again, which is as it was but for rounding."""
        if self.merged:
            self.weight.data -= self.delta()
            self.merged = False

    def train(self, mode: bool = True) -> LowRankLinear:
        """Switch between training and evaluation; what is merged could not learn, and is unmerged for training."""
        if mode and self.merged:
            self.unmerge()
        return super().train(mode)

    def plain(self) -> nn.Linear:
        """A linear layer of torch that computes the same in evaluation, with weights of its own."""
        with torch.device('meta'):
            layer = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        weight = self.weight.detach().clone() if self.merged else self.weight.detach() + self.delta()
        layer.weight = nn.Parameter(weight)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach().clone())
        return layer.train(self.training)

    def extra_repr(self) -> str:
        """What torch prints of the layer."""
        return f'{super().extra_repr()}, rank={self.rank}, alpha={self.alpha:g}, updates={list(self.rows)}'

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.merged:
            # The updates are saved beside, and whoever loads them would add them twice.
            destination[f'{prefix}weight'] = self.weight.detach() - self.delta()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        if self.merged:
            raise RuntimeError(
                f'weights are loaded into {prefix.removesuffix(".") or type(self).__name__} while its updates are '
                'merged: call unmerge_lora(model) first'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)
