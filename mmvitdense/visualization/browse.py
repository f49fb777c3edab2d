"""Pictures of what a training pipeline produces: images after augmentation with their boxes, masks and maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS, DefaultScope

from .drawing import Artist, as_picture
from .picture_files import write_image


def browse(cfg: dict, output_dir: str | Path, num: int = 16, bands: Sequence[int] | None = None) -> Iterator[Path]:
    """Draw training samples of a detection or segmentation config, evenly spread over the data set.

    Args:
        cfg: An mmengine Config; its `train_dataloader.dataset` is drawn.
        output_dir: Folder for the pictures, created if needed.
        num: How many samples; all of them if there are fewer.
        bands: The channels that are shown as red, green and blue, see `as_picture`.

    Yields:
        The path of each picture once it is written.

    Raises:
        ValueError: If the samples hold neither instances nor a semantic map.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(cfg['train_dataloader']['dataset'])
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    artist = Artist(dataset.metainfo.get('classes') or (), dataset.metainfo.get('palette'))
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(num, len(dataset))).round().astype(int)).tolist():
        with DefaultScope.overwrite_default_scope(scope):
            item = dataset[index]
        sample = item['data_samples']
        if 'gt_instances' not in sample and 'gt_sem_seg' not in sample:
            raise ValueError(
                f'Samples of mmdet and mmseg can be drawn, got a {type(sample).__name__} without gt_instances and '
                'gt_sem_seg: the pipeline must load annotations and end with PackDetInputs or PackSegInputs.'
            )
        path = output_dir / f'{index:06d}_{Path(getattr(sample, "img_path", None) or "image").stem}.jpg'
        write_image(path, artist.truth(as_picture(item['inputs'].permute(1, 2, 0).numpy(), bands), sample))
        yield path
