"""ViT-CoMer and ViT-Adapter against golden files of the official code, through the converter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmvitdense import models
from mmvitdense.checkpoints import convert, detect
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within

DIRECTORY = Path(__file__).parents[1] / 'golden'


class Golden:
    """A file: ``meta`` and the parts 'sd', 'in', 'out', 'mid', 'cot' and 'grad' as dicts of tensors."""

    def __init__(self, name: str):
        with np.load(DIRECTORY / f'{name}.npz') as file:
            self.meta = json.loads(str(file['meta']))
            self.parts: dict[str, dict[str, Tensor]] = {}
            for key in file.files:
                kind, _, rest = key.partition('/')
                if rest:
                    self.parts.setdefault(kind, {})[rest] = torch.from_numpy(file[key])
        self.weights, self.image = self.parts['sd'], self.parts['in']['image']
        self.kwargs = self.meta['kwargs']

    def build(self, **untold: Any) -> nn.Module:
        """Our model with the options that the weights tell and ``untold``, in evaluation mode with the weights."""
        form = detect(self.weights)
        given = {'num_heads': self.kwargs['num_heads']}
        if isinstance(self.kwargs['img_size'], list):
            given['pretrain_img_size'] = self.kwargs['img_size']
        options = form.options(self.weights, **given)
        options['vit'].update(untold.pop('vit', {}))
        model = getattr(models, form.MODEL)(**{**options, **untold}).eval()
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

    The bias of BEiT's keys, zero and frozen, is no parameter there, and each of its blocks has a buffer of indices and
    two biases in place of one.
    """
    parameters = dict(model.named_parameters())
    count = sum(parameter.numel() for parameter in parameters.values())
    number, entries = len(parameters), len(model.state_dict())
    for block in model.vit.blocks:
        if block.attn.qkv.bias is not None and block.attn.qkv.without_key_bias:
            count -= model.embed_dims
            number, entries = number + 1, entries + 1
        entries += any(name.startswith('relative_position') for name, _ in block.attn.named_parameters())
    return count, entries, number
