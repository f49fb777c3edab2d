"""Names of Co-DETR's heads: the released code's (mmdet 2), and those of the copy in `projects` of mmdet 3."""

from __future__ import annotations

from torch import Tensor

from .renaming import rename

ANCHOR = 'query_head.transformer.level_embeds'
_TRANSFORMER = r'^query_head\.transformer\.'
_ENCODER = r'^(encoder\.layers\.\d+)\.'
_DECODER = r'^(decoder\.layers\.\d+)\.'
_STAGE = r'^(mask_head\.masks\.stages\.\d+\.)'
_RULES = (
    (rf'{_TRANSFORMER}(encoder|decoder|aux_pos_trans|aux_pos_trans_norm)\.', r'\1.'),
    (rf'{_TRANSFORMER}level_embeds$', 'level_embed'),
    (rf'{_TRANSFORMER}query_embed\.', 'query_embedding.'),
    (rf'{_TRANSFORMER}enc_output\.', 'memory_trans_fc.'),
    (rf'{_TRANSFORMER}enc_output_norm\.', 'memory_trans_norm.'),
    (rf'{_ENCODER}attentions\.0\.', r'\1.self_attn.'),
    (rf'{_DECODER}attentions\.0\.', r'\1.self_attn.'),
    (rf'{_DECODER}attentions\.1\.', r'\1.cross_attn.'),
    (r'^((?:encoder|decoder)\.layers\.\d+)\.ffns\.0\.', r'\1.ffn.'),
    (r'^decoder\.ref_point_head\.0\.', 'decoder.ref_point_head.layers.0.'),
    (r'^decoder\.ref_point_head\.2\.', 'decoder.ref_point_head.layers.1.'),
    # With the dot before the lists of auxiliary heads, whose first is 'bbox_head.0.'.
    (r'^bbox_head\.0\.', 'dense_head.'),
    (r'^roi_head\.0\.', 'roi_head.'),
    (r'^query_head\.(cls_branches|reg_branches)\.', r'bbox_head.\1.'),
    (r'^query_head\.downsample\.', 'downsample.'),
    (r'^query_head\.(?:dn_generator\.)?label_embedding\.', 'dn_query_generator.label_embedding.'),
    # The instance models.
    (r'^mask_head\.', 'mask_head.masks.'),
    (r'^mask_iou_head\.', 'mask_head.overlap.'),
    (r'^(mask_head\..+)\.norm_layer\.', r'\1.norm.'),
    (r'^mask_head\.masks\.instance_convs\.', 'mask_head.masks.box_convs.'),
    (r'^mask_head\.masks\.semantic_convs\.', 'mask_head.masks.image_convs.'),
    (r'^mask_head\.masks\.stage_instance_logits\.', 'mask_head.masks.logits.'),
    (rf'{_STAGE}semantic_transform_in\.', r'\1image.'),
    (rf'{_STAGE}fuse_conv\.0\.', r'\1join.'),
    *((rf'{_STAGE}fuse_conv\.1\.dilation_conv_{n}\.conv\.', rf'\1branches.{n - 1}.') for n in (1, 2, 3)),
    (rf'{_STAGE}fuse_conv\.1\.merge_conv\.conv\.', r'\1merge.'),
    (rf'{_STAGE}fuse_transform_out\.', r'\1reduce.'),
    (r'^neck\.fc(\d)\1\.', r'neck.laterals.\1.'),
)


def is_co_detr(state_dict: dict[str, Tensor]) -> bool:
    """Whether a file has the heads of a Co-DETR of the released code or of the copy in mmdet 3."""
    return ANCHOR in state_dict


def rename_co_detr(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to `CoDETR`; names that no rule knows stay. Of files with averaged weights, which are those under the
    usual names, the others ('ema_' and names without dots) are dropped."""
    return rename({name: x for name, x in weights.items() if not name.startswith('ema_')}, _RULES)
