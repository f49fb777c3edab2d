"""torch.compile of backbone and neck of small models: what it gives, forward and backward, is what eager gives."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch

from .numbers import distance
from .rows import Failed, Report
from .small import Small, images_of, tensors_of


def run(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """One row a model; the whole of it has to be one graph."""
    from mmvitdense.datasets.shapes import write_shapes

    root = write_shapes(folder / 'shapes', 6, 3, image_size=(96, 128), seed=1)
    for name in names:
        with report.guard(name) as row:
            small = Small(_config(name), root)
            model = small.model().to(device).eval()
            images = images_of(model, small.batch('train_dataloader'))
            other = copy.deepcopy(model)
            compiled = torch.compile(
                other.extract_feat, fullgraph=True, backend='aot_eager' if device == 'cpu' else 'inductor'
            )
            maps = {}
            for label, function in (('eager', model.extract_feat), ('compiled', compiled)):
                maps[label] = tensors_of(function(images))
                sum((tensor.sin() / tensor.numel() ** 0.5).sum() for tensor in maps[label]).backward()
            grads = [{n: p.grad for n, p in part.named_parameters() if p.grad is not None} for part in (other, model)]
            row['maps'] = distance(maps['compiled'], maps['eager'])
            row['gradients'] = distance(grads[0].values(), grads[1].values())
            row['detail'] = f'maps differ by {row["maps"]:.1e}, gradients by {row["gradients"]:.1e}'
            if not (row['maps'] < 1e-4 and row['gradients'] < 1e-3):
                raise Failed(row['detail'])


def _config(name: str) -> str:
    """The first config of a family that detects with Mask R-CNN."""
    from tests.configs.test_configs import LEAVES

    return next(leaf for leaf in LEAVES if leaf.startswith(f'{name.replace("-", "_")}/') and 'mask-rcnn' in leaf)
