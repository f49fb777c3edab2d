"""Models as a user would serve them: whole networks, with a graph that other runtimes take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmvitdense.apis.export_model import ExportOptions, ModelExport
from mmvitdense.export.description import Description
from mmvitdense.export.tracing import trace
from mmvitdense.export.wrapped import Wrapped
from mmvitdense.export.writing import save_onnx, to_onnx
from mmvitdense.models.backbones.plain_vit import PlainViT
from mmvitdense.models.backbones.vit_adapter import ViTAdapter
from mmvitdense.models.backbones.vit_comer import ViTCoMer
from mmvitdense.models.necks.simple_feature_pyramid import SimpleFeaturePyramid

_CONFIGS = Path(__file__).parents[2] / 'configs'
_UPERNET = _CONFIGS / 'vit/vit-b-mae_upernet-multilevel_160k_ade20k-512.py'


class Served:
    """A model from a normalised image, or for a segmentor from pixels, to maps.

    Args:
        module: In evaluation mode.
        size: Side of the image.
    """

    def __init__(self, module: nn.Module, size: int):
        self.module, self.size = module, size
        generator = torch.Generator().manual_seed(0)
        self.image = torch.randn(1, 3, size, size, generator=generator)
        with torch.no_grad():
            outputs = module(self.image)
        self.outputs = ('scores',) if isinstance(outputs, Tensor) else tuple(f'map{i}' for i in range(len(outputs)))

    def write(self, path: Path) -> None:
        """Export to ONNX by the exporter of the package."""
        wrapped = Wrapped(self.module, 'semantic', ('image',), self.outputs, any_batch=True, any_size=False)
        described = Description('semantic', wrapped.inputs, wrapped.outputs, self.size, self.size)
        save_onnx(to_onnx(trace(wrapped, (self.size, self.size)), described), path)


def _plain_vit(size: int) -> nn.Module:
    return PlainViT(preset='dinov2-small', img_size=size)


def _vitdet(size: int) -> nn.Module:
    vit = PlainViT(
        'base',
        img_size=1024,
        pretrain_img_size=224,
        window_size=14,
        rel_pos='decomposed',
        pos_embed_cls_slot=True,
    )
    return nn.Sequential(vit, SimpleFeaturePyramid(768, num_outs=5))


def _upernet(size: int) -> nn.Module:
    cfg = Config.fromfile(_UPERNET)
    cfg.model.backbone.update(init_cfg=None, img_size=size)
    return ModelExport(cfg, None, ExportOptions(size=(size, size))).wrapped.module


def _adapter(kind: type[nn.Module], size: int) -> nn.Module:
    vit = {
        'arch': 'small',
        'window_size': 14,
        'window_pad': 'qkv',
        'layer_scale_init': 1.0,
        'pos_embed_cls_slot': True,
        'pretrain_img_size': 224,
    }
    return kind(vit, deform_num_heads=6)


SERVED: dict[str, Callable[[int], nn.Module]] = {
    'served-plain-vit-s': _plain_vit,
    'served-vitdet-b': _vitdet,
    'served-upernet-vit-b': _upernet,
    'served-vit-comer-s': partial(_adapter, ViTCoMer),
    'served-vit-adapter-s': partial(_adapter, ViTAdapter),
}
"""{name: function of the side of the image in pixels}."""


def serve(name: str, size: int) -> Served:
    """A model, its parameters the same each time and drawn away from zeros and ones."""
    torch.manual_seed(0)
    module = SERVED[name](size).eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    return Served(module, size)
