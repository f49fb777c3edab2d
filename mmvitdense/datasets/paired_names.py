"""Images and label maps whose names differ in one part."""

from __future__ import annotations

from collections.abc import Mapping

IMAGE, LABELS = 'img_path', 'seg_map_path'


def pair_of_names(name: str, parts: Mapping[str, str] | None) -> tuple[str, str]:
    """The names of an image and of its label map.

    Args:
        name: Of either.
        parts: What each has in the place of the other's, by the keys of `data_prefix`; None where they are the same:
            with `dict(img_path='s2', seg_map_path='dfc')`, 'a_dfc_1.tif' is that of 'a_s2_1.tif'.
    """
    if not parts:
        return name, name
    return name.replace(parts[LABELS], parts[IMAGE]), name.replace(parts[IMAGE], parts[LABELS])
