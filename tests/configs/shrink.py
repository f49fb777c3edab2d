"""Configs made small enough to run in a second: narrow shallow backbone, small images, the built-in data."""

from __future__ import annotations

import copy
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmvitdense.datasets.shape_scenes import CLASSES
from mmvitdense.models.backbones.presets import PRESETS
from mmvitdense.models.backbones.vit_sizes import ARCHITECTURES

WIDTH, DEPTH, SIDE = 48, 4, 64
PROPOSALS = 32
_SIZES = ('scale', 'crop_size', 'size', 'stride', 'pad_size_divisor', 'img_size')


def image_side(config: Config) -> int:
    """Side in pixels that the model of a config is made for."""
    preprocessor = config.model.data_preprocessor
    return preprocessor['size'][0] if 'size' in preprocessor else preprocessor.pad_size_divisor


def shrink(config: Config, shapes_root: Path) -> Config:
    """Return a copy of a config whose model and images are small and whose data is the shapes data set."""
    config = copy.deepcopy(config)
    factor = image_side(config) // SIDE
    model = config.model
    model.backbone.pop('init_cfg', None)
    if 'embed_dims' not in model.backbone:
        _narrow(model)
    if 'roi_head' in model:
        _take_few_proposals(model)
    for part in (model, config.train_dataloader, config.val_dataloader):
        _divide_sizes(part, factor)
    for split, loader in (('training', config.train_dataloader), ('validation', config.val_dataloader)):
        _use_shapes(loader.dataset, split, shapes_root, instances='roi_head' in model or 'bbox_head' in model)
    return config


def _narrow(model: ConfigDict) -> None:
    backbone = model.backbone
    arch = backbone.pop('arch', None) or PRESETS[backbone.preset]['arch']
    width = ARCHITECTURES[arch][0]
    backbone.update(embed_dims=WIDTH, num_layers=DEPTH, num_heads=3, feedforward_channels=2 * WIDTH)
    out_indices = backbone.get('out_indices', -1)
    if not isinstance(out_indices, int):
        backbone.out_indices = tuple(range(DEPTH - len(out_indices), DEPTH))
    if backbone.get('conv_blocks'):
        backbone.conv_blocks = (1, DEPTH - 1)
    for part in ('neck', 'decode_head', 'auxiliary_head'):
        options = model.get(part) or {}
        for name, value in options.items():
            if name in ('in_channels', 'embed_dim', 'channels') and value == width:
                options[name] = WIDTH
            elif isinstance(value, list) and value and set(value) == {width}:
                options[name] = [WIDTH] * len(value)


def _take_few_proposals(model: ConfigDict) -> None:
    for options in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
        options.update(nms_pre=PROPOSALS, max_per_img=PROPOSALS)
    model.train_cfg.rcnn.sampler.num = PROPOSALS
    model.test_cfg.rcnn.max_per_img = 5
    _narrow_roi_heads(model.roi_head)


def _narrow_roi_heads(roi_head: ConfigDict) -> None:
    boxes, masks = roi_head.bbox_head, roi_head.mask_head
    for head in boxes if isinstance(boxes, list) else [boxes]:
        head.fc_out_channels = 4 * WIDTH
        head.conv_out_channels = WIDTH
        if head.loss_cls.type == 'mmvitdense.FederatedLoss':  # so few classes that all count
            head.num_classes = masks.num_classes = len(CLASSES)
            head.loss_cls.class_counts = [1] * len(CLASSES)


def _divide_sizes(part: ConfigDict | list, factor: int) -> None:
    items = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in items:
        if key in _SIZES:
            part[key] = value // factor if isinstance(value, int) else tuple(side // factor for side in value)
        elif isinstance(value, dict | list):
            _divide_sizes(value, factor)


def _use_shapes(dataset: ConfigDict, split: str, root: Path, instances: bool) -> None:
    dataset.data_root = str(root)
    if instances:
        if dataset.type.startswith('LVIS'):  # reads its files with a package of its own
            dataset.type = 'CocoDataset'
        dataset.metainfo = {'classes': CLASSES}
        dataset.ann_file = f'annotations/instances_{split}.json'
        dataset.data_prefix = {'img': f'images/{split}'}
    else:
        dataset.data_prefix = {'img_path': f'images/{split}', 'seg_map_path': f'annotations/{split}'}
