"""What is measured: pairs of computations by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn

from mmvitdense.layers import Attention, BiasTable, DecomposedTables
from mmvitdense.layers.positions import decomposed
from mmvitdense.models.backbones.holding import build_held_vit
from mmvitdense.models.backbones.plain_vit import PlainViT
from mmvitdense.models.necks.simple_feature_pyramid import SimpleFeaturePyramid
from mmvitdense.pretrainings import ARCHITECTURES

from .eager_attention import attend
from .eager_vit import vitdet
from .official_adapter import vit_adapter
from .official_comer import vit_comer
from .parameters import Parameters

PATCH, WINDOW = 16, 14
ARCHS = {name[0]: name for name in ARCHITECTURES}


class Pair(NamedTuple):
    """Two computations to compare.

    `model` holds the parameters of both, `inputs` are their tensors. `same` says whether they compute one
    function.
    """

    model: nn.Module
    inputs: tuple[Tensor, ...]
    ours: Callable[..., Any]
    baseline: Callable[..., Any]
    baseline_name: str
    same: bool = True


def _vitdet(arch: str, size: int, batch: int) -> Pair:
    dims = ARCHITECTURES[arch][0]
    vit = PlainViT(
        arch,
        img_size=1024,
        pretrain_img_size=224,
        window_size=WINDOW,
        rel_pos='decomposed',
        pos_embed_cls_slot=True,
    )
    neck = SimpleFeaturePyramid(dims, num_outs=5)
    model = nn.Sequential(vit, neck)
    return Pair(model, (_image(batch, size),), model, partial(vitdet, vit, neck), 'eager')


def _attention(window: int, positions: str | None, arch: str, size: int, batch: int) -> Pair:
    dims, _, heads, _ = ARCHITECTURES[arch]
    grid = (size // PATCH, size // PATCH)
    table = (window, window) if window else grid
    module = Attention(
        dims,
        heads,
        window_size=window,
        tables={'rel-pos': DecomposedTables(table), 'bias': BiasTable(table), None: None}[positions],
    )

    def eager(tokens: Tensor) -> Tensor:
        return attend(module, Parameters.of(module), tokens, grid)

    tokens = torch.randn(batch, grid[0] * grid[1], dims)
    return Pair(module, (tokens,), lambda tokens: module(tokens, grid), eager, 'eager')


def _chosen(window: int, other: str, arch: str, size: int, batch: int) -> Pair:
    """Attention as the device chooses it against another of its implementations."""
    pair = _attention(window, 'rel-pos', arch, size, batch)

    def forced(tokens: Tensor) -> Tensor:
        with mock.patch.object(decomposed, 'choose_implementation', return_value=other):
            return pair.ours(tokens)

    return pair._replace(baseline=forced, baseline_name=other)


def _around_a_vit(name: str, arch: str, size: int, batch: int) -> Pair:
    from mmvitdense.models.backbones.vit_adapter import ViTAdapter
    from mmvitdense.models.backbones.vit_comer import ViTCoMer

    heads = ARCHITECTURES[arch][2]
    wide = arch in ('base', 'large')
    adapter = {'vit-comer': ViTCoMer, 'vit-adapter': ViTAdapter}[name]
    model = adapter(
        dict(
            arch=arch,
            window_size=WINDOW,
            window_pad='qkv',
            layer_scale_init=1.0,
            pos_embed_cls_slot=True,
            pretrain_img_size=224,
        ),
        deform_num_heads=heads if wide else 6,
        deform_ratio=0.5 if wide else 1.0,
    )
    official = {'vit-comer': vit_comer, 'vit-adapter': vit_adapter}[name]
    return Pair(model, (_image(batch, size),), model, partial(official, model), 'official')


def _mimdet(ratio: float, arch: str, size: int, batch: int) -> Pair:
    from mmvitdense.models.backbones.mimdet import MIMDet

    model = MIMDet(dict(arch=arch, pretrain_img_size=800), sample_ratio=ratio, test_sample_ratio=ratio)

    def whole(image: Tensor) -> tuple[Tensor, ...]:
        model.sample_ratio = model.test_sample_ratio = 1.0
        try:
            return model(image)
        finally:
            model.sample_ratio = model.test_sample_ratio = ratio

    return Pair(model, (_image(batch, size),), model, whole, 'ratio 1.0', same=False)


def _frozen(kind: str, how: str, arch: str, size: int, batch: int) -> Pair:
    """A model whose ViT is frozen, or learns by LoRA alone, against the same model that is trained as a whole."""
    from mmvitdense.models.backbones.vit_adapter import ViTAdapter
    from mmvitdense.models.backbones.vit_hook import ViTHook

    def build(how: str) -> nn.Module:
        vit: dict[str, Any] = {'arch': arch, 'pretrain_img_size': 224}
        vit = {'frozen': {**vit, 'frozen_stages': 'all'}, 'lora': {'type': 'mmvitdense.LoRA', 'vit': vit}}.get(how, vit)
        heads = ARCHITECTURES[arch][2]
        deformable = {'deform_num_heads': heads, 'deform_ratio': 0.5}
        if kind == 'pyramid':
            return nn.Sequential(build_held_vit(vit), SimpleFeaturePyramid(ARCHITECTURES[arch][0], num_outs=5))
        if kind == 'hook':
            return ViTHook(vit, self_attention='deformable', **deformable)
        return ViTAdapter(vit, use_injector=kind == 'adapter', **deformable)

    models = nn.ModuleDict({'ours': build(how), 'baseline': build('tuned')})
    return Pair(models, (_image(batch, size),), models['ours'], models['baseline'], 'tuned', same=False)


def _eomt(arch: str, size: int, batch: int) -> Pair:
    from .mask_transformers import EoMTBesideAdapter

    model = EoMTBesideAdapter(arch, size)
    return Pair(model, (_image(batch, size),), model.ours, model.with_adapter, 'adapter', same=False)


def _image(batch: int, size: int) -> Tensor:
    return torch.randn(batch, 3, size, size)


_FAMILIES: dict[str, Callable[[str, int, int], Pair]] = {
    'vitdet-{}': _vitdet,
    'attention-{}-window': partial(_attention, WINDOW, None),
    'attention-{}-window-rel-pos': partial(_attention, WINDOW, 'rel-pos'),
    'attention-{}-window-bias': partial(_attention, WINDOW, 'bias'),
    'attention-{}-global': partial(_attention, 0, None),
    'attention-{}-global-rel-pos': partial(_attention, 0, 'rel-pos'),
    'attention-{}-global-bias': partial(_attention, 0, 'bias'),
    **{
        f'implementation-{{}}-{kind}-vs-{other}': partial(_chosen, window, other)
        for kind, window in (('window', WINDOW), ('global', 0))
        for other in decomposed.IMPLEMENTATIONS
    },
    'vit-comer-{}': partial(_around_a_vit, 'vit-comer'),
    'vit-adapter-{}': partial(_around_a_vit, 'vit-adapter'),
    **{
        f'{how}-{kind}-{{}}': partial(_frozen, kind, how)
        for how in ('frozen', 'lora')
        for kind in ('pyramid', 'adapter', 'extractors', 'hook')
    },
    'eomt-{}': _eomt,
    'mimdet-{}-ratio-0.5': partial(_mimdet, 0.5),
    'mimdet-{}-ratio-0.25': partial(_mimdet, 0.25),
}
SUBJECTS: dict[str, Callable[[int, int], Pair]] = {
    family.format(letter): partial(make, arch) for family, make in _FAMILIES.items() for letter, arch in ARCHS.items()
}
"""{name: function of the side of the image in pixels and the images in a batch}."""


def build(name: str, size: int, batch: int, device: str, training: bool) -> Pair:
    """Make a pair on a device, its parameters and inputs the same each time.

    Every parameter is drawn away from its initial value, so that no zero hides a part of the computation.
    """
    torch.manual_seed(0)
    pair = SUBJECTS[name](size, batch)
    with torch.no_grad():
        for parameter in pair.model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    pair.model.to(device).train(training)
    return pair._replace(inputs=tuple(tensor.to(device) for tensor in pair.inputs))
