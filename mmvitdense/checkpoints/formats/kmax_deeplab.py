"""kMaX-DeepLab of bytedance/kmax-deeplab (detectron2), a whole model on a ResNet.

Files on a ConvNeXt are converted too, their backbone as it is.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

from .contract import Format
from .parts.renaming import rename

Weights = dict[str, Tensor]

_ANCHORS = ('sem_seg_head.predictor._cluster_centers.weight', 'sem_seg_head.pixel_decoder._in_norms.0.weight')
_NECK = 'neck.0.'
_STEM = 'backbone.stem.conv1.weight'
_CLASSES = 'sem_seg_head.predictor._predcitor._transformer_class_head.conv.bias'
# Of the loss, and of the normalisation of images, which the data preprocessor does.
_DROPPED = re.compile(r'^(criterion\.|pixel_(mean|std)$)|\._relative_distance_matrix$')
_RESNET = (
    (r'^backbone\.stem\.conv1\.norm\.', 'backbone.bn1.'),
    (r'^backbone\.stem\.', 'backbone.'),
    (r'^backbone\.res([2-5])\.', lambda match: f'backbone.layer{int(match[1]) - 1}.'),
    (r'^(backbone\.layer\d\.\d+)\.conv(\d)\.norm\.', r'\1.bn\2.'),
    (r'^(backbone\.layer\d\.\d+)\.shortcut\.norm\.', r'\1.downsample.1.'),
    (r'^(backbone\.layer\d\.\d+)\.shortcut\.', r'\1.downsample.0.'),
)
_HEAD = (
    (r'^sem_seg_head\.pixel_decoder\.', f'{_NECK}pixel_decoder.'),
    (r'^sem_seg_head\.predictor\.', _NECK),
    (r'\._in_norms\.', '.in_norms.'),
    (r'\._stages\.(\d+)\._blocks\.', r'.stages.\1.'),
    (r'\._conv1_bn_act\.', '.reduce.'),
    (r'\._conv2_bn_act\.', '.mix.'),
    (r'\._conv3_bn\.', '.expand.'),
    (r'\._shortcut\.', '.shortcut.'),
    (r'\._attention\._(height|width)_axis\.', r'.mix.0.\1.'),
    (r'\.qkv_transform\.conv\.', '.qkv.'),
    (r'\._(query|key|value)_rpe\._embeddings\.weight$', r'.\1_table'),
    (r'\._batch_norm_qkv\.', '.qkv_norm.'),
    (r'\._batch_norm_similarity\.', '.logit_norm.'),
    (r'\._batch_norm_retrieved_output\.', '.output_norm.'),
    (r'\._resized_fuses\.(\d+)\._conv_bn_(low|high)\.', r'.fuses.\1.\2.1.'),
    (r'\._cluster_centers\.weight$', '.cluster_centers'),
    (r'\._class_embedding_projection\.', '.of_classes.'),
    (r'\._mask_embedding_projection\.', '.of_masks.'),
    (r'\._predcitor\.', '.predictor.'),
    (r'\._pixel_space_head_conv0bnact\.', '.pixels.0.'),
    (r'\._pixel_space_head_conv1bnact\.', '.pixels.1.'),
    (r'\._pixel_space_head_last_convbn\.', '.pixels.2.'),
    (r'\._transformer_mask_head\.', '.kernels.'),
    (r'\._transformer_class_head\.conv\.', '.cls_embed.'),
    (r'\._pixel_space_mask_batch_norm\.', '.mask_norm.'),
    (r'\._kmax_transformer_layers\.', '.layers.'),
    (r'\._query_conv1_bn_act\.', '.query.'),
    (r'\._pixel_conv1_bn_act\.', '.pixel.'),
    (r'\._pixel_v_conv_bn\.', '.value.'),
    (r'\._query_qkv_conv_bn\.', '.self_attn.qkv.'),
    (r'\._query_self_attention\._batch_norm_retrieved_value\.', '.self_attn.value_norm.'),
    (r'\._query_self_attention\.', '.self_attn.'),
    (r'\._query_conv3_bn\.', '.self_attn.output.'),
    (r'\._query_ffn_conv1_bn_act\.', '.fc1.'),
    (r'\._query_ffn_conv2_bn\.', '.fc2.'),
    (r'\._kmeans_query_batch_norm_retrieved_value\.', '.centre_norm.'),
    (r'\._kmeans_query_conv3_bn\.', '.centre.'),
    (r'\._auxiliary_semantic_predictor\.', '.semantic.'),
    (r'\._aspp\._aspp_conv(\d)\.', r'.aspp.branches.\1.'),
    (r'\._aspp\._aspp_pool\.', '.aspp.pooled.'),
    (r'\._aspp\._proj_conv_bn_act\.', '.aspp.project.'),
    (r'\._low_level_projection_os8\.', '.laterals.0.'),
    (r'\._low_level_projection_os4\.', '.laterals.1.'),
    (r'\._low_level_fusion_os8_conv(\d)_bn_act\.', r'.fuses.0.\1.'),
    (r'\._low_level_fusion_os4_conv(\d)_bn_act\.', r'.fuses.1.\1.'),
    (r'\.conv_block_(\d)\.', r'.mix.\1.'),
    (r'\.final_conv\.conv\.', '.cls_embed.'),
    # The head for Cityscapes is a list.
    (r'\.semantic\.([01])\.', r'.semantic.mix.\1.'),
    (r'\.semantic\.2\.conv\.', '.semantic.cls_embed.'),
)


def matches(state_dict: Weights) -> bool:
    """Whether there are cluster centres and norms of the maps that come in."""
    return all(name in state_dict for name in _ANCHORS)


def convert(state_dict: Weights) -> Weights:
    """Rename to mmdet's `ResNet` under 'backbone.' and `KMaX`, the one neck of a list, under 'neck.0.'.

    Convolutions of queries, which are 1-dimensional in the file, get a width of one.
    """
    kept = {name: weight for name, weight in state_dict.items() if not _DROPPED.search(name)}
    renamed = rename(kept, (*(_RESNET if _STEM in kept else ()), *_HEAD))
    return {name: x[..., None] if name.startswith(_NECK) and x.ndim == 3 else x for name, x in renamed.items()}


def options(state_dict: Weights, **given: Any) -> dict[str, Any]:
    """Nothing: there is no ViT.

    Raises:
        CheckpointError: Always.
    """
    classes = len(state_dict[_CLASSES]) - 1
    raise CheckpointError(
        f'this is a kMaX-DeepLab of {classes} classes whose backbone is no ViT: build its model from a config of '
        'configs/kmax_deeplab'
    )


FORMAT = Format(
    name='kMaX-DeepLab',
    about=__doc__,
    matches=matches,
    convert=convert,
    model='KMaX',
    part='neck',
    own_options=options,
)
