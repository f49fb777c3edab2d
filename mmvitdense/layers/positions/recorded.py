"""What the weights of a ViT do not show of its positions, recorded in its state dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

RECORD = 'positions'
"""Under which `state_dict()._metadata` has, for a module that owns tables, {'grids': {name of a table: (rows,
columns)}}, and for a ViT besides 'rope', the kind of its rotary positions or None.

`torch.save` keeps it, and the names of the weights stay as they are. The rows of a table do not determine its grid:
24 x 24 are as many as 18 x 32.
"""


class RecordsPositions(nn.Module):
    """A module that writes a record into its state dict, and refuses tables that are recorded with other grids."""

    def table_grids(self) -> dict[str, tuple[int, int]]:
        """{name of a table: its grid} of the tables of positions, or of their biases, that the module itself owns."""
        raise NotImplementedError

    def position_record(self) -> dict[str, Any]:
        """What is recorded."""
        grids = self.table_grids()
        return {'grids': grids} if grids else {}

    def _save_to_state_dict(self, destination: dict[str, Tensor], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        record = self.position_record()
        if record and hasattr(destination, '_metadata'):
            destination._metadata[prefix[:-1]][RECORD] = record

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Tensor],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        own = self.table_grids()
        others = set()
        for name, grid in local_metadata.get(RECORD, {}).get('grids', {}).items():
            if name in own and tuple(grid) != own[name] and f'{prefix}{name}' in state_dict:
                others.add(f'{prefix}{name}')
                error_msgs.append(
                    f'{prefix}{name} is a table of {grid[0]} x {grid[1]} positions, the model has '
                    f'{own[name][0]} x {own[name][1]}: build the model with the sizes of the checkpoint, or load it '
                    "with init_cfg=dict(type='ViTPretrained', ...), which resizes tables."
                )
        if others:  # as a table of another shape, it is not copied: mmengine only logs these errors
            state_dict = {name: tensor for name, tensor in state_dict.items() if name not in others}
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
