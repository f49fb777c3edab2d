"""Heads of mmdet 2 and mmsegmentation 0 that have other names in mmdet 3 and mmsegmentation 1.

Those of Mask R-CNN, Cascade R-CNN, Sparse R-CNN, HTC, ATSS, GFL, UPerNet and FCN are unchanged. In Mask2Former the
layers of the two transformers call their parts by name instead of by number; Co-DETR and the attention before the
pyramid of HTC++, which mmdet does not have, are those of this project.
"""

from __future__ import annotations

from torch import Tensor

from .co_detr_names import is_co_detr, rename_co_detr
from .renaming import rename

_PIXEL_LAYER = r'^(\w+_head\.pixel_decoder\.encoder\.layers\.\d+)\.'
_QUERY_LAYER = r'^(\w+_head\.transformer_decoder\.layers\.\d+)\.'
# Of ViT-Adapter's HTC++, the first of two necks.
_ATTENTION = r'^neck\.0\.'
_RULES = (
    (rf'{_ATTENTION}(norm[12]\.|attn\.)', r'neck.0.block.\1'),
    (rf'{_ATTENTION}ffn\.', r'neck.0.block.mlp.'),
    (rf'{_ATTENTION}gamma_([12])$', r'neck.0.block.ls\1.gamma'),
    (rf'{_PIXEL_LAYER}attentions\.0\.', r'\1.self_attn.'),
    (rf'{_PIXEL_LAYER}ffns\.0\.', r'\1.ffn.'),
    (rf'{_QUERY_LAYER}attentions\.0\.', r'\1.cross_attn.'),
    (rf'{_QUERY_LAYER}attentions\.1\.', r'\1.self_attn.'),
    (rf'{_QUERY_LAYER}ffns\.0\.', r'\1.ffn.'),
)


def convert_heads(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the heads and necks of a whole model; names that no rule knows stay."""
    return rename_co_detr(weights) if is_co_detr(weights) else rename(weights, _RULES)
