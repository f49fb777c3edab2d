"""Sizes of images in training and testing, chosen from the data."""

from __future__ import annotations

from typing import Any

from mmvitdense.datasets.doctor import Layout


def fitted_sizes(cfg: Any, layout: Layout) -> tuple[dict[str, Any], list[str]]:
    """Options that make a recipe work at the size of the data, and what a person is to know of it."""
    return {}, []
