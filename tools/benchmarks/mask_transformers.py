"""EoMT beside what it leaves out: the same ViT with ViT-Adapter, pixel decoder and decoder of Mask2Former."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from mmvitdense.models import EoMT, PlainViT, ViTAdapter
from mmvitdense.pretrainings import ARCHITECTURES

_HEAD = Path(__file__).parents[2] / 'configs/_base_/models/mask2former_vitdet.py'
_QUERIES = 200
_QUERY_BLOCKS = {'large': 4, 'huge': 5}
# Heads of the deformable attention in ViT-Adapter's recipes, and the share of their channels.
_DEFORMABLE = {'base': (12, 0.5), 'large': (16, 0.5), 'huge': (16, 0.5)}


class EoMTBesideAdapter(nn.Module):
    """Both models around one ViT, that of DINOv2 with registers and patches of 16 pixels, on COCO panoptic.

    Args:
        arch: Name of the sizes of the ViT.
        size: Side of the images, at which the table of positions is kept.
    """

    def __init__(self, arch: str, size: int):
        super().__init__()
        dims = ARCHITECTURES[arch][0]
        vit = PlainViT(
            arch,
            pretrain_img_size=size,
            with_cls_token=True,
            num_registers=4,
            pos_embed_cls_slot=False,
            layer_scale_init=1.0,
            final_norm='all',
        )
        self.eomt = EoMT(vit, 133, _QUERIES, _QUERY_BLOCKS.get(arch, 3))
        heads, ratio = _DEFORMABLE.get(arch, (6, 1.0))
        self.adapter = ViTAdapter(vit, deform_num_heads=heads, deform_ratio=ratio)
        head = Config.fromfile(_HEAD).model.panoptic_head
        head.update(in_channels=[dims] * 4, num_queries=_QUERIES)
        with DefaultScope.overwrite_default_scope('mmdet'):
            self.head = MODELS.build(head)

    def ours(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of classes and masks after the last block."""
        found = self.eomt(image)
        return found.classes[-1], found.masks[-1]

    def with_adapter(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The same of Mask2Former after its last layer."""
        classes, masks = self.head(self.adapter(image), [])
        return classes[-1], masks[-1]
