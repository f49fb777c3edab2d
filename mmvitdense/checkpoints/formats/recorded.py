"""What a converted file records of its model, or config.json beside it says, which is more than its layout shows."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from .contract import Format, Record
from .parts.families import families_with

# Options that no weight shows: what a file in the layout of another library has to record.
NOT_IN_WEIGHTS = (
    *('num_heads', 'act', 'norm_eps', 'final_norm', 'final_norm_eps', 'pos_resize', 'rope'),
    *('window_size', 'global_blocks', 'window_pad'),
)


def with_all_known(
    form: Format, state_dict: dict[str, Tensor], record: Mapping[str, Any], config: Mapping[str, Any]
) -> Format:
    """The format of a file, with what else is known of its model.

    Args:
        form: The layout that the file has.
        state_dict: The file.
        record: What `read_record` gives.
        config: What `read_config` gives; a record knows better.

    Raises:
        CheckpointError: `PlainViT` cannot compute what config.json says.
    """
    form = as_recorded(form, record)
    return form if form.record is not None or not config else _as_configured(form, state_dict, config)


def _as_configured(form: Format, state_dict: dict[str, Tensor], config: Mapping[str, Any]) -> Format:
    if form.config is None:
        return form
    weights = form.converted({name: tensor.to('meta') for name, tensor in state_dict.items()})
    if not (options := form.config(weights, config)):
        return form
    known = Record(options, {}, whole=False)
    return replace(form, record=known, families=lambda read: families_with(form.families(read), options))


def as_recorded(form: Format, record: Mapping[str, Any]) -> Format:
    """The format of a file that was converted from another one.

    Args:
        form: The layout that the file has now.
        record: What `read_record` gives; empty for others, whose format stays as it is.
    """
    options = recorded_options(record)
    if options is None:
        return form
    guesses = {path: guess['why'] for path, guess in (record.get('guesses') or {}).items()}
    known = Record(options, guesses, whole=not record.get('layout'))
    families = tuple(record.get('families') or ())
    # A layout of ours is that of several models.
    model = form.model if form.tells_options else record.get('model', form.model)
    return replace(form, record=known, model=model, families=(lambda _: families) if families else form.families)


def recorded_options(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The options in a record; None where it has none."""
    if not (recorded := record.get('options')):
        return None
    call = ast.parse(f'dict({recorded})', mode='eval').body
    return {part.arg: _literal(part.value) for part in call.keywords}


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        return {part.arg: _literal(part.value) for part in node.keywords}
    return ast.literal_eval(node)
