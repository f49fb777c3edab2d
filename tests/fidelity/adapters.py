"""ViT-CoMer and ViT-Adapter against golden files of the official code, through the converter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmvitdense import models
from mmvitdense.checkpoints import convert, detect
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden


class Golden:
    """A file: `meta` and the parts 'sd', 'in', 'out', 'mid', 'cot' and 'grad' as dicts of tensors."""

    def __init__(self, name: str):
        self.parts = read_golden(name)
        self.meta = self.parts.pop('meta')
        self.weights, self.image = self.parts['sd'], self.parts['in']['image']
        self.kwargs = self.meta['kwargs']

    def build(self, **untold: Any) -> nn.Module:
        """Our model with the options that the weights tell and `untold`, in evaluation mode with the weights."""
        form = detect(self.weights)
        given = {'num_heads': self.kwargs['num_heads']}
        if isinstance(self.kwargs['img_size'], list):
            given['pretrain_img_size'] = self.kwargs['img_size']
        options = form.options(self.weights, **given)
        options['vit'].update(untold.pop('vit', {}))
        model = getattr(models, form.model)(**{**options, **untold}).eval()
        model.load_state_dict(convert(self.weights))
        return model

    def assert_outputs(self, model: nn.Module) -> None:
        """The maps, with gradients and without."""
        for grad in (False, True):
            with torch.set_grad_enabled(grad):
                outputs = self._named(model(self.image))
            for name, wanted in self.parts['out'].items():
                assert_within(outputs[name], wanted, OUTPUTS, name)

    def assert_stages(self, model: nn.Module) -> None:
        """The tokens of ViT and branch after each stage."""
        found = {}
        run_blocks = model.vit.run_blocks

        def run_recorded(*args):
            tokens = run_blocks(*args)
            stage = sum(name.endswith('_x') for name in found)
            found[f'stage{stage}_x'] = tokens[:, model.vit.num_prefix_tokens :]
            found[f'stage{stage}_cls'] = tokens[:, :1]
            return tokens

        model.vit.run_blocks = run_recorded
        for index, interaction in enumerate(model.interactions):

            def extract_recorded(*args, name=f'stage{index}_c', extract=interaction.extract):
                found[name] = extract(*args)
                return found[name]

            interaction.extract = extract_recorded
        model(self.image)
        for name, wanted in self.parts['mid'].items():
            assert_within(found[name], wanted, OUTPUTS, name)

    def assert_gradients(self, model: nn.Module) -> None:
        """The gradients of the image and of the parameters in the file, by the names that the converter gives them."""
        image = self.image.clone().requires_grad_()
        outputs = self._named(model(image))
        sum((outputs[name] * cotangent).sum() for name, cotangent in self.parts['cot'].items()).backward()
        wanted = dict(self.parts['grad'])
        assert_within(image.grad, wanted.pop('image'), GRADIENTS, 'image')
        # The format is told from the whole set of names, of which the file has the gradients of some.
        unknown = {n: torch.full_like(x, float('nan')) if x.is_floating_point() else x for n, x in self.weights.items()}
        parameters, count = dict(model.named_parameters()), 0
        for name, gradient in convert({**unknown, **wanted}).items():
            known = ~gradient.isnan()
            # A key bias is zero and frozen, and known, where those of queries and values are not.
            if name in parameters and gradient[known].any():
                count += 1
                assert_within(parameters[name].grad[known], gradient[known], GRADIENTS, name)
        assert count == len(wanted)

    def _named(self, maps: tuple[Tensor, ...]) -> dict[str, Tensor]:
        names = list(self.parts['out'])
        assert len(maps) == len(names)
        outputs = dict(zip(names, maps))
        if self.kwargs.get('version') == 'old':  # returns tokens there
            outputs['x'] = outputs['x'].flatten(2).transpose(1, 2)
        return outputs


def totals(model: nn.Module) -> tuple[int, int, int]:
    """Numbers of a model as the official code counts them: elements, entries of the state dict, parameters.

    The official code has two biases where ours of BEiT is one, whose part of the keys is zero and frozen, and a buffer
    of indices beside each table of biases. Its Uni-Perceiver has positions of eight frames beside those of patches.
    """
    parameters = list(model.parameters())
    count, entries, number = sum(p.numel() for p in parameters), len(model.state_dict()), len(parameters)
    for block in model.vit.blocks:
        if block.attn.without_key_bias:
            count, entries, number = count - model.embed_dims, entries + 1, number + 1
        entries += hasattr(block.attn, 'relative_position_bias_table')
    if isinstance(model.vit.norm_pre, nn.LayerNorm):
        count, entries, number = count + 8 * model.embed_dims, entries + 1, number + 1
    return count, entries, number


DEFORMABLE = {
    'tiny': {'deform_num_heads': 6},
    'small': {'deform_num_heads': 6},
    'base': {'deform_num_heads': 12, 'deform_ratio': 0.5},
    'large': {'deform_num_heads': 16, 'deform_ratio': 0.5},
}
"""Deformable attention of the published models, by size of the ViT."""


def build_published(model: type[nn.Module], arch: str, vit: dict[str, Any] | None = None, **options: Any) -> nn.Module:
    """A published model without memory, around timm's ViT unless `vit` says otherwise."""
    timm = {'pos_embed_cls_slot': True, 'layer_scale_init': 1.0}
    with torch.device('meta'):
        return model({'arch': arch, **(timm if vit is None else vit)}, **DEFORMABLE[arch], **options)


def assert_padding_is_cropped(model: nn.Module, height: int, width: int) -> None:
    """An image of odd size gives what it gives when it is padded with zeros to multiples of 32, cropped."""
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    padded = torch.zeros(1, 3, -(-height // 32) * 32, -(-width // 32) * 32)
    padded[:, :, :height, :width] = image
    with torch.no_grad():
        outputs, wanted = model(image), model(padded)
    assert len(outputs) == len(wanted)
    for stride, actual, expected in zip((4, 8, 16, 32), outputs[-4:], wanted[-4:]):
        expected = expected[:, :, : -(-height // stride), : -(-width // stride)]
        assert_within(actual, expected, OUTPUTS, f'stride {stride}')


def assert_gradients_of_one_image(model: nn.Module, image: Tensor) -> None:
    """The gradients of one image are half of those of a batch that has it twice, of all parameters.

    In float64, where rounding does not move a value over a kink.
    """
    model, image = model.double(), image.double()

    def gradients(image: Tensor) -> dict[str, Tensor]:
        model.zero_grad()
        image = image.clone().requires_grad_()
        generator = torch.Generator().manual_seed(0)
        outputs = model(image)
        sum((x * torch.randn(x.shape[1:], generator=generator)).sum() for x in outputs).backward()
        # Of an image that is there twice, each has its own.
        return {'image': image.grad[:1] * len(image)} | {name: p.grad for name, p in model.named_parameters()}

    once, twice = gradients(image), gradients(torch.cat([image, image]))
    for name, gradient in twice.items():
        # Zero but for rounding is the gradient of a bias before the norm of a batch.
        if gradient.abs().max() > 1e-9:
            assert_within(once[name], gradient / 2, 1e-6, name)
    assert once['image'].abs().max() > 1e-3
