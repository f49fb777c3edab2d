"""Plain-DETR as DINOv3 releases it: the detector without its trunk, or a whole one.

The file for ViT-7B on COCO has 91 classes, the numbers of COCO's categories, of which eleven do not exist. They become
the 80 of mmdet; the first logit of the proposals stays, which says that there is an object.
"""

from __future__ import annotations

import re

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

from . import dinov3
from .contract import Format, Weights
from .parts.renaming import rename

_ANCHORS = ('transformer.decoder.layers.0.cross_attn.cpb_mlp1.0.weight', 'transformer.encoder.layers.0.linear1.weight')
_TRUNK = re.compile(r'^backbone\.0\.(?:_backbone\.)?backbone\.')
_TAP_NORMS = re.compile(r'^backbone\.0\.(?:_backbone\.)?layer_norms\.')
# The same layers once more.
_ALIASES = ('transformer.decoder.class_embed.', 'transformer.decoder.bbox_embed.')
_ENCODER = r'^transformer\.(encoder\.layers\.\d+)\.'
_DECODER = r'^transformer\.(decoder\.layers\.\d+)\.'
_RULES = (
    (rf'{_ENCODER}self_attn\.', r'\1.self_attn.attn.'),
    (rf'{_ENCODER}linear1\.', r'\1.ffn.layers.0.0.'),
    (rf'{_ENCODER}linear2\.', r'\1.ffn.layers.1.'),
    (rf'{_ENCODER}norm1\.', r'\1.norms.0.'),
    (rf'{_ENCODER}norm2\.', r'\1.norms.1.'),
    (rf'{_DECODER}self_attn\.', r'\1.self_attn.attn.'),
    (rf'{_DECODER}cross_attn\.cpb_mlp1\.', r'\1.cross_attn.bias_x.'),
    (rf'{_DECODER}cross_attn\.cpb_mlp2\.', r'\1.cross_attn.bias_y.'),
    (rf'{_DECODER}cross_attn\.', r'\1.cross_attn.'),
    (rf'{_DECODER}linear1\.', r'\1.ffn.layers.0.0.'),
    (rf'{_DECODER}linear2\.', r'\1.ffn.layers.1.'),
    # By number those of attention to the map, among the queries, and of the feed-forward network.
    (rf'{_DECODER}norm1\.', r'\1.norms.1.'),
    (rf'{_DECODER}norm2\.', r'\1.norms.0.'),
    (rf'{_DECODER}norm3\.', r'\1.norms.2.'),
    (r'^transformer\.decoder\.final_layer_norm\.', 'decoder.post_norm.'),
    (r'^transformer\.level_embed$', 'level_embed'),
    (r'^transformer\.enc_output_proj\.(\d+)\.(\d+)\.(?:ln\.)?', r'proposals.projections.\1.\2.'),
    (r'^transformer\.enc_output\.', 'proposals.output.'),
    (r'^transformer\.enc_output_norm\.', 'proposals.norm.'),
    (r'^transformer\.pos_trans\.', 'pos_trans_fc.'),
    (r'^transformer\.pos_trans_norm\.', 'pos_trans_norm.'),
    (r'^query_embed\.', 'query_embedding.'),
    (r'^input_proj\.0\.0\.', 'neck.convs.0.conv.'),
    (r'^input_proj\.0\.1\.', 'neck.convs.0.gn.'),
    (r'^class_embed\.', 'bbox_head.cls_branches.'),
    # Of three layers, between which there are activations.
    (r'^bbox_embed\.(\d+)\.layers\.0\.', r'bbox_head.reg_branches.\1.0.'),
    (r'^bbox_embed\.(\d+)\.layers\.1\.', r'bbox_head.reg_branches.\1.2.'),
    (r'^bbox_embed\.(\d+)\.layers\.2\.', r'bbox_head.reg_branches.\1.4.'),
)
_CLASSES = re.compile(r'^bbox_head\.cls_branches\.(\d+)\.')
_MISSING = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_CATEGORIES = tuple(number for number in range(91) if number not in _MISSING)
"""Numbers of COCO's categories, in the order of mmdet's classes."""


def matches(state_dict: Weights) -> bool:
    """Whether there are the biases of boxes, and an encoder, which Plain-DETR's own models on Swin do not have."""
    return all(name in state_dict for name in _ANCHORS)


def convert(state_dict: Weights) -> Weights:
    """Rename to `PlainDETR` with a `WindowedTaps` under 'backbone.'.

    Raises:
        CheckpointError: The taps of the trunk have norms of their own.
    """
    if any(_TAP_NORMS.match(name) for name in state_dict):
        raise CheckpointError(
            'this Plain-DETR has norms of its own for each map of its ViT, which no released model has; expected the '
            'final norm of the ViT alone'
        )
    heads = {n: x for n, x in state_dict.items() if not _TRUNK.match(n) and not n.startswith(_ALIASES)}
    trunk = {f'backbone.vit.{name}': x for name, x in _trunk(state_dict).items()}
    return {**trunk, **_contiguous_classes(rename(heads, _RULES))}


def trunk(state_dict: Weights) -> str | None:
    """The released file has none."""
    return None if any(_TRUNK.match(name) for name in state_dict) else 'missing'


def _trunk(state_dict: Weights) -> Weights:
    weights = {_TRUNK.sub('', name): x for name, x in state_dict.items() if _TRUNK.match(name)}
    if not weights:
        return {}
    if not dinov3.matches(weights):
        raise CheckpointError('the trunk of this Plain-DETR is no DINOv3; expected one: give the detector alone')
    unused = ('mask_token', 'cls_norm.', 'local_cls_norm.')
    return {name: x for name, x in dinov3.convert(weights).items() if not name.startswith(unused)}


def _contiguous_classes(weights: Weights) -> Weights:
    """Of branches for the numbers of categories, the rows of those that exist."""
    branches = [int(match[1]) for name in weights if (match := _CLASSES.match(name))]
    return {name: _rows(x, name, max(branches)) if _CLASSES.match(name) else x for name, x in weights.items()}


def _rows(rows: Tensor, name: str, last: int) -> Tensor:
    if len(rows) != 91:
        return rows
    categories = list(COCO_CATEGORIES)
    if int(_CLASSES.match(name)[1]) == last:
        categories[0] = 0
    return rows[categories]


FORMAT = Format(
    name='Plain-DETR',
    about=__doc__,
    matches=matches,
    convert=convert,
    model='PlainDETR',
    tells_options=False,
    trunk=trunk,
)
