"""Names and colours of the classes that a model predicts."""

from __future__ import annotations

from typing import Any

from .image_loading import test_dataset


def dataset_meta(cfg: Any, checkpoint_meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """Class names and colours: those of the run that made the checkpoint, else those of the test data of the config.

    Args:
        cfg: The config.
        checkpoint_meta: 'meta' of the checkpoint.
    """
    from mmengine.registry import DATASETS

    given = (checkpoint_meta or {}).get('dataset_meta') or {}
    meta = {str(key).lower(): value for key, value in given.items()}
    if meta.get('classes'):
        return meta
    dataset = test_dataset(cfg)
    kind = dataset.get('type')
    if isinstance(kind, str):
        kind = DATASETS.get(kind if '.' in kind else f'{cfg.default_scope}.{kind}')
    return {**(getattr(kind, 'METAINFO', None) or {}), **(dataset.get('metainfo') or {})}
