"""Configs made small enough to run in a second: narrow shallow backbone, small images, the built-in data."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

from mmvitdense.datasets.shape_scenes import CLASSES
from mmvitdense.pretrainings import ARCHITECTURES, PRESETS, PRETRAININGS, family_of

# A width with heads of an even number of pairs of channels, and for norms of 32 groups.
WIDTH, DEPTH, SIDE = 96, 4, 64
# In tokens: already larger than the maps, which are padded to it.
MAX_WINDOW = 16
PROPOSALS = 16
# Of what stands behind the backbone: in convolutions, for norms of 32 groups, and in transformers.
LEVEL_WIDTH = 32
HEAD_WIDTH, HEAD_LAYERS, HEAD_HEADS, QUERIES = 32, 2, 4, 16
# A step of a smaller rate is lost among the changes of their matching.
HEAD_RATE = 5e-4
_SIZES = ('scale', 'scales', 'crop_size', 'size', 'stride', 'pad_size_divisor', 'img_size')
_VIT_SIZES = ('arch', 'embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
_HEAD_WIDTHS = (
    *('embed_dims', 'feat_channels', 'out_channels', 'feedforward_channels', 'num_feats'),
    *('pixel_channels', 'mask_channels'),
)
_CONV_WIDTHS = ('channels', 'conv_out_channels', 'proposal_feature_channel')
# Heads whose convolutions have 256 channels by default.
_CONVOLUTIONS_OF_BOXES = ('ConvFCBBoxHead', 'Shared4Conv1FCBBoxHead')
# Of backbones that hold a ViT, as far as they take these.
_SMALL_HOLDER = {
    'decoder': {'embed_dims': HEAD_WIDTH, 'num_layers': 1, 'num_heads': HEAD_HEADS},
    'deform_num_heads': 3,
    'conv_inplane': 8,
    'num_queries': QUERIES,
    'num_query_blocks': 2,
}
_HEAD_COUNTS = {
    'num_layers': HEAD_LAYERS,
    'num_cp': HEAD_LAYERS,
    'num_heads': HEAD_HEADS,
    'num_queries': QUERIES,
    'num_one2many': QUERIES,
    'min_depth': 1,
}


def plain_vit(model: ConfigDict) -> ConfigDict:
    """Options of the plain ViT of a model, which is the backbone or held by it."""
    vit = model.backbone
    while 'vit' in vit:
        vit = vit.vit
    return vit


def image_side(config: Config) -> int:
    """Side in pixels that the model of a config is made for, the short side where images are no squares."""
    preprocessor = config.model.data_preprocessor
    if 'size' in preprocessor:
        return preprocessor['size'][0]
    if preprocessor.pad_size_divisor > SIDE:
        return preprocessor.pad_size_divisor
    (scale,) = (step.scale for step in config.val_dataloader.dataset.pipeline if step.type == 'Resize')
    return min(scale)


def shrink(config: Config, shapes_root: Path) -> Config:
    """Return a copy of a config whose model and images are small and whose data is the shapes data set."""
    factor = image_side(config) // SIDE
    config = shrink_model(config)
    for part in (config.train_dataloader, config.val_dataloader):
        _divide_sizes(part, factor)
    for split, loader in (('training', config.train_dataloader), ('validation', config.val_dataloader)):
        _use_shapes(loader.dataset, split, shapes_root)
    return config


def shrink_model(config: Config, level_width: int = LEVEL_WIDTH, proposals: int = PROPOSALS) -> Config:
    """Return a copy of a config whose model is small."""
    with DefaultScope.overwrite_default_scope(config.default_scope):
        return _shrink_model(copy.deepcopy(config), level_width, proposals)


def _shrink_model(config: Config, level_width: int, proposals: int) -> Config:
    factor = image_side(config) // SIDE
    model = config.model
    model.backbone.pop('init_cfg', None)
    vit = plain_vit(model)
    vit.pop('init_cfg', None)
    lift = model.backbone.get('lift', {})
    lift.pop('init_cfg', None)
    if lift.get('type') == 'mmvitdense.NAF':
        lift.dims = HEAD_WIDTH
    side_by_side = 0
    if vit.get('type') == 'ResNet':
        _narrow_resnet(model)
    elif 'embed_dims' not in vit:
        side_by_side = _side_by_side(model, vit)
        _narrow(model, vit)
    if _thin_heads(model, level_width):
        optimizer = config.optim_wrapper.optimizer
        optimizer.lr = max(optimizer.lr, HEAD_RATE)
    if side_by_side:
        model.neck.in_channels = [side_by_side * WIDTH]
    if 'roi_head' in model:
        _take_few_proposals(model, proposals)
        _narrow_roi_heads(model.roi_head, level_width)
    if 'mask_head' in model:  # sides of the masks of queries, of which there are many
        model.mask_head.size = 4
    _divide_sizes(model, factor)
    return config


def _narrow_resnet(model: ConfigDict) -> None:
    """The narrowest stages that a ResNet has, in the one neck behind it too."""
    model.backbone.update(depth=18, base_channels=8)
    model.neck[0].in_channels = [8, 16, 32, 64]


def _narrow(model: ConfigDict, vit: ConfigDict) -> None:
    width = _width(vit)
    if 'preset' in vit:
        vit.preset = _first_like(vit.preset)
    vit.update(embed_dims=WIDTH, num_layers=DEPTH, num_heads=3, feedforward_channels=2 * WIDTH)
    out_indices = vit.get('out_indices', -1)
    if not isinstance(out_indices, int):
        vit.out_indices = tuple(range(DEPTH - len(out_indices), DEPTH))
    if isinstance(stages := vit.get('frozen_stages', -1), int) and stages > 0:
        vit.frozen_stages = DEPTH
    if vit.get('tuned_blocks'):
        vit.tuned_blocks = (1, DEPTH - 1)
    if vit.get('conv_blocks'):
        vit.conv_blocks = (1, DEPTH - 1)
    if vit.get('global_blocks'):
        vit.global_blocks = (1, DEPTH - 1)
    elif vit.get('window_size') and isinstance(vit.window_size, int):
        # By default the last block of each quarter, which would be all.
        vit.setdefault('global_blocks', (1, DEPTH - 1))
    if isinstance(vit.get('window_size'), list):
        vit.window_size = [min(size, MAX_WINDOW) for size in vit.window_size[-DEPTH:]]
    if vit is not model.backbone:
        _narrow_holder(model)
    for part in ('neck', 'decode_head', 'auxiliary_head', 'panoptic_head'):
        for options in _dicts(model.get(part) or {}):
            if _is_dpt(options) or {'readout', 'up_scale'} & options.keys():  # convolutions on large maps
                options.channels = HEAD_WIDTH
            if _is_dpt(options):
                options.update(embed_dims=WIDTH, post_process_channels=[WIDTH // share for share in (8, 4, 2, 1)])
            for name, value in options.items():
                if name in ('in_channels', 'embed_dim', 'channels') and value == width:
                    options[name] = WIDTH
                elif _is_list_of(value, width):
                    options[name] = [WIDTH] * len(value)


def _is_dpt(options: ConfigDict) -> bool:
    """Whether this is mmseg's DPT, whose `embed_dims` are those of the ViT."""
    return 'post_process_channels' in options


def _first_like(preset: str) -> str:
    """The first preset of its family that differs in sizes alone: in small they are the same."""
    family = family_of(preset)
    alike = (f'{family}-{size}' for size in PRETRAININGS[family].sizes)
    return next(other for other in alike if _without_sizes(PRESETS[other]) == _without_sizes(PRESETS[preset]))


def _without_sizes(options: Mapping) -> dict:
    return {name: value for name, value in options.items() if name not in _VIT_SIZES}


def _width(vit: ConfigDict) -> int:
    preset = PRESETS[vit.preset] if 'preset' in vit else {}
    return preset.get('embed_dims') or ARCHITECTURES[vit.pop('arch', None) or preset['arch']][0]


def _is_list_of(value: object, width: int) -> bool:
    return isinstance(value, list) and bool(value) and all(item == width for item in value)


def _side_by_side(model: ConfigDict, vit: ConfigDict) -> int:
    """How many maps of the ViT are one before the neck, 0 where they are not."""
    if model.backbone.get('type') != 'mmvitdense.WindowedTaps':
        return 0
    return model.neck.in_channels[0] // _width(copy.deepcopy(vit))


def _narrow_holder(model: ConfigDict) -> None:
    """Narrow what a model holds beside its ViT: a decoder, or four stages of one block each."""
    backbone = model.backbone
    options = inspect.signature(MODELS.get(backbone.type).__init__).parameters
    backbone.pop('interaction_indexes', None)
    if not isinstance(backbone.get('out_indices', -1), int):
        backbone.out_indices = tuple(range(DEPTH - len(backbone.out_indices), DEPTH))
    backbone.update({name: value for name, value in _SMALL_HOLDER.items() if name in options})
    if 'decoder' in options:  # its maps have the width of the decoder, those before it are of the stem
        model.neck.in_channels = [WIDTH // 4, WIDTH // 2, HEAD_WIDTH, HEAD_WIDTH]


def _thin_heads(model: ConfigDict, level_width: int) -> bool:
    """Narrow what is behind the backbone, and leave transformers few layers; whether there are any."""
    outside = [options for options in _dicts(model, skip='backbone') if not _is_dpt(options)]
    levels = _levels(model.get('neck') or {})
    widths = [options.embed_dims for options in outside if 'embed_dims' in options]
    pooling = 'pool_scales' in model.get('decode_head', {})  # channels of UPerNet are of no other part
    before = widths[0] if widths else levels or (model.decode_head.channels if pooling else None)
    if before is None:
        for head in ('decode_head', 'auxiliary_head'):
            if 'channels' in (options := model.get(head) or {}) and options.channels > WIDTH:
                options.channels = level_width
        return False
    after, named = (HEAD_WIDTH, _HEAD_WIDTHS) if widths else (level_width, _HEAD_WIDTHS + _CONV_WIDTHS)
    for options in outside:
        for name, value in options.items():
            if (name in named and isinstance(value, int)) or (name == 'in_channels' and value == levels):
                options[name] = value * after // before
            elif name == 'in_channels' and levels and _is_list_of(value, levels):
                options[name] = [levels * after // before] * len(value)
            if widths and isinstance(value, int):
                options[name] = _HEAD_COUNTS.get(name, options[name])
        if options.get('type') == 'mmvitdense.KMaX':
            options.update(num_layers=(1, 0, 1), channels=(16, 8, 8, 8), num_blocks=(1, 1, 1, 1))
    return bool(widths)


def _levels(neck: ConfigDict | list) -> int | None:
    """Channels of the maps that the last neck with maps gives, written down where they are its default."""
    for part in reversed(neck if isinstance(neck, list) else [neck]):
        if 'type' in part and 'out_channels' not in part:
            option = inspect.signature(MODELS.get(part.type).__init__).parameters.get('out_channels')
            if option is None:
                continue
            part.out_channels = option.default
        if 'out_channels' in part:
            return part.out_channels
    return None


def _take_few_proposals(model: ConfigDict, count: int) -> None:
    for options in (model.train_cfg.get('rpn_proposal'), model.test_cfg.rpn):
        if options:
            options.update(nms_pre=count, max_per_img=count)
    if model.train_cfg.rpn:  # anchors do not fit into images so small
        model.train_cfg.rpn.allowed_border = -1
    if 'num_proposals' in model.rpn_head:  # they are parameters
        model.rpn_head.num_proposals = count
    stages = model.train_cfg.rcnn
    for stage in stages if isinstance(stages, list) else [stages]:
        if 'num' in stage.sampler:
            stage.sampler.num = count
    model.test_cfg.rcnn.max_per_img = 5


def _narrow_roi_heads(roi_head: ConfigDict, width: int) -> None:
    boxes = roi_head.bbox_head
    for head in boxes if isinstance(boxes, list) else [boxes]:
        if 'fc_out_channels' in head:
            head.fc_out_channels = 4 * width
        if head.type in _CONVOLUTIONS_OF_BOXES:
            head.conv_out_channels = width
        if 'class_counts' in inspect.signature(MODELS.get(head.loss_cls.type).__init__).parameters:
            # Of so few classes all count.
            head.num_classes = roi_head.mask_head.num_classes = len(CLASSES)
            head.loss_cls.class_counts = [1] * len(CLASSES)


def _dicts(part: ConfigDict | list, skip: str = '') -> Iterator[ConfigDict]:
    """Every dict inside `part`, itself included, without those under the key `skip`."""
    if isinstance(part, dict):
        yield part
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if key != skip and isinstance(value, dict | list):
            yield from _dicts(value, skip)


def _divide_sizes(part: ConfigDict | list, factor: int) -> None:
    for options in _dicts(part):
        for name, value in options.items():
            if name in _SIZES:
                options[name] = _divided(value, factor)


def _divided(value: int | tuple | list, factor: int) -> int | tuple | list:
    """Sizes in pixels divided; a divisor for the strides and the scales of anchors stay."""
    if isinstance(value, int):
        return value // factor if value >= SIDE else value
    if isinstance(value, list):
        return [_divided(item, factor) for item in value]
    return tuple(side // factor for side in value)


def _use_shapes(dataset: ConfigDict, split: str, root: Path) -> None:
    if 'dataset' in dataset:
        for step in dataset.pipeline:
            if 'num_things_classes' in step:
                step.num_things_classes = len(CLASSES)
        _use_shapes(dataset.dataset, split, root)
        return
    dataset.data_root = str(root)
    for step in dataset.pipeline:
        if 'scores_file' in step:
            step.scores_file = str(_exit_scores(root))
    if dataset.type == 'mmvitdense.ManipulationDataset':
        dataset.data_root = str(_as_tampered(root, split))
        return
    if dataset.type == 'mmvitdense.ImageFolder':
        dataset.data_prefix = {'img_path': f'images/{split}'}
        return
    if 'img_path' in dataset.data_prefix:
        dataset.data_prefix = {'img_path': f'images/{split}', 'seg_map_path': f'annotations/{split}'}
        dataset.update(img_suffix='.jpg', seg_map_suffix='.png')
        dataset.pop('name_parts', None)
        for step in dataset.pipeline:
            if step.type == 'mmvitdense.StretchBands':
                dataset.data_prefix.img_path = str(_as_bands(root, split, len(step.mean)))
                dataset.img_suffix = '.npy'
        if dataset.pop('ann_file', None):  # a data set that wants its lists of images
            dataset.update(type='BaseSegDataset', metainfo={'classes': ('background', *CLASSES)})
        return
    panoptic = dataset.type.endswith('PanopticDataset')
    maps = {} if panoptic or 'seg' not in dataset.data_prefix else {'seg': f'annotations/{split}'}
    dataset.type = 'CocoPanopticDataset' if panoptic else 'CocoDataset'
    dataset.metainfo = {'classes': CLASSES}
    dataset.data_prefix = {'img': f'images/{split}', **maps}
    if panoptic:
        stuff = ('background',)
        dataset.metainfo = {'classes': CLASSES + stuff, 'thing_classes': CLASSES, 'stuff_classes': stuff}
        dataset.data_prefix.seg = f'annotations/panoptic_{split}'
    dataset.ann_file = f'annotations/{"panoptic" if panoptic else "instances"}_{split}.json'


def _as_bands(shapes_root: Path, split: str, number: int) -> Path:
    """A folder with the images as arrays of so many bands, of the range that reflectance has."""
    folder = shapes_root.parent / f'bands_{number}_{split}'
    if not folder.exists():
        folder.mkdir()
        for path in (shapes_root / 'images' / split).iterdir():
            colours = np.asarray(Image.open(path), np.uint16)
            np.save(folder / f'{path.stem}.npy', 16 * colours[..., [band % 3 for band in range(number)]])
    return folder


def _exit_scores(shapes_root: Path) -> Path:
    """A file of scores by which each image is best at the last depth."""
    path = shapes_root.parent / 'exit_scores.json'
    if not path.exists():
        scores = [number / HEAD_LAYERS for number in range(HEAD_LAYERS)]
        path.write_text(json.dumps({image.name: scores for image in shapes_root.glob('images/*/*')}))
    return path


def _as_tampered(shapes_root: Path, split: str) -> Path:
    """The folders of images and label maps under the names of images and masks; no pixel counts as tampered with."""
    root = shapes_root.parent / f'tampered_{split}'
    for name, kind in (('Tp', 'images'), ('Gt', 'annotations')):
        if not (root / name).exists():
            root.mkdir(exist_ok=True)
            (root / name).symlink_to(shapes_root / kind / split)
    return root
