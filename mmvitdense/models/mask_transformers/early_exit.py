"""Mask2Former with an encoder that stops early (ECO-M2F, arXiv 2404.15244): what mmdet and mmseg have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers.exit_gate import ExitGate
from mmvitdense.option_types import options_checked

POLICIES = ('full', 'random', 'gate')


class StopsEarly:
    """When an encoder stops. It stands before an encoder of `num_layers` layers among the bases of a class.

    Args:
        min_depth: The smallest depth that is drawn or chosen.
        exit: Depth in testing: 'full', a number of layers, 'random' (one for the batch), or 'gate' (by image).
        train_exit: Depth in training.

    Attributes:
        gate: The `ExitGate`.
        last_depths: Depth of each image of the last batch.

    Raises:
        ValueError: A policy or a depth that there is not.
    """

    @options_checked
    def __init__(self, *args, min_depth: int = 2, exit: str | int = 'full', train_exit: str | int = 'random', **kwargs):
        super().__init__(*args, **kwargs)
        self.gate = ExitGate(self.embed_dims, self.num_layers, min_depth)
        self.exit, self.train_exit = self._checked(exit, 'exit'), self._checked(train_exit, 'train_exit')
        self.last_depths: list[int] = []

    def _checked(self, policy: str | int, name: str) -> str | int:
        is_depth = isinstance(policy, int) and not isinstance(policy, bool) and 1 <= policy <= self.num_layers
        if policy not in POLICIES and not is_depth:
            raise ValueError(f'{name} must be one of {POLICIES} or a depth from 1 to {self.num_layers}, got {policy!r}')
        return policy

    @contextmanager
    def stopping_at(self, policy: str | int) -> Iterator[None]:
        """Use one policy in training and in testing while the context lasts."""
        before = self.exit, self.train_exit
        self.exit = self.train_exit = self._checked(policy, 'policy')
        try:
            yield
        finally:
            self.exit, self.train_exit = before


def exit_targets(scores: Tensor, beta: float, temperature: float | None = None) -> Tensor:
    """What the gate is to learn: the depth of the best `score - beta * layers`.

    Args:
        scores: B x D, quality of each image at each depth, from 0 to 1.
        beta: Quality that one more layer must bring.
        temperature: For shares of all depths, a softmax over them; None for the best alone.

    Returns:
        B indices of depths, or B x D shares.
    """
    value = scores - beta * torch.arange(1, scores.shape[1] + 1, device=scores.device)
    return value.argmax(dim=1) if temperature is None else (value / temperature).softmax(dim=1)


class ExitLosses:
    """One of the two trainings of ECO-M2F. It stands before a head of Mask2Former among the bases of a class.

    The head's `pixel_decoder` has an `encoder` that `StopsEarly`, and `exit_logits`.

    Args:
        mode: 'parent' trains all but the gate, each iteration as `train_exit` of the encoder says, its losses times
            the weight of the depth; 'gate' trains the gate on `exit_scores` of the images (`LoadExitScores`) and
            runs neither encoder nor mask decoder.
        beta: Quality from 0 to 1 that one more layer must bring, for the targets of the gate.
        temperature: See `exit_targets`.
        depth_weights: Weight of each depth from `min_depth` on; by default depth / number of layers.
        *args: For the head.
        **kwargs: For the head.

    Raises:
        ValueError: Another mode, another number of weights than of depths, or a decoder without early exit; in
            training, images without scores or with another number of them.
    """

    @options_checked
    def __init__(
        self,
        *args,
        mode: str = 'parent',
        beta: float = 0.0,
        temperature: float | None = None,
        depth_weights: Sequence[float] | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        if mode not in ('parent', 'gate'):
            raise ValueError(f"mode must be 'parent' or 'gate', got {mode!r}")
        encoder = getattr(self.pixel_decoder, 'encoder', None)
        if not isinstance(encoder, StopsEarly):
            raise ValueError(
                f'pixel_decoder must be an EarlyExitPixelDecoder, got {type(self.pixel_decoder).__name__}: give it '
                "type='mmvitdense.EarlyExitPixelDecoder'"
            )
        if temperature is not None and temperature <= 0:
            raise ValueError(f'temperature must be above 0, or None for the best depth alone, got {temperature}')
        depths = encoder.gate.depths
        if depth_weights is not None and len(depth_weights) != len(depths):
            raise ValueError(
                f'depth_weights needs one for each of the {len(depths)} depths {depths}, got {len(depth_weights)}'
            )
        if mode == 'parent' and encoder.train_exit == 'gate':
            raise ValueError("train_exit='gate' has no gradient to the gate: train the parent with 'random'")
        self.mode, self.beta, self.temperature = mode, beta, temperature
        self.depth_weights = {depth: depth / encoder.num_layers for depth in range(1, encoder.num_layers + 1)}
        if depth_weights is not None:
            self.depth_weights.update(zip(depths, depth_weights))
        encoder.gate.requires_grad_(mode == 'gate')

    def loss(self, x: Sequence[Tensor], batch_data_samples: list, *args: Any) -> dict[str, Tensor]:
        """The losses of Mask2Former times the weight of the depth, or `loss_gate` with `acc_gate` in percent."""
        if self.mode == 'gate':
            return self.gate_loss(self.pixel_decoder.exit_logits(x), batch_data_samples)
        losses = super().loss(x, batch_data_samples, *args)
        weight = self.depth_weights[self.pixel_decoder.encoder.last_depths[0]]
        return {name: loss * weight for name, loss in losses.items()}

    def gate_loss(self, logits: Tensor, batch_data_samples: list) -> dict[str, Tensor]:
        """Cross-entropy of the gate with `exit_targets`.

        Args:
            logits: B x D.
            batch_data_samples: Each with `exit_scores` of D numbers.
        """
        scores = [sample.get('exit_scores') for sample in batch_data_samples]
        for given in scores:
            if given is None or len(given) != logits.shape[1]:
                found = 'none' if given is None else len(given)
                raise ValueError(
                    f'an image has {found} exit scores and the gate {logits.shape[1]} depths: put LoadExitScores with '
                    "the file of this parent in the pipeline and 'exit_scores' among the meta_keys of PackDetInputs or "
                    'PackSegInputs'
                )
        target = exit_targets(torch.as_tensor(scores, device=logits.device), self.beta, self.temperature)
        best = target if target.ndim == 1 else target.argmax(dim=1)
        right = (logits.argmax(dim=1) == best).float().mean() * 100
        return {'loss_gate': F.cross_entropy(logits, target), 'acc_gate': right}


class TrainsGateAlone:
    """A detector or segmentor whose head is of `ExitLosses`. It stands before that model among the bases of a class.

    While the gate is trained, all else is frozen and as in testing, dropout and statistics of norms included.

    Raises:
        ValueError: The head is another.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not isinstance(self.exit_head, ExitLosses):
            raise ValueError(
                f'{type(self).__name__} needs a head with early exit, got {type(self.exit_head).__name__}: give it the '
                'type EarlyExitMask2FormerHead in mmdet, EarlyExitMask2FormerSegHead in mmseg'
            )
        if self._trains_gate:
            self.requires_grad_(False)
            self._encoder.gate.requires_grad_(True)

    @property
    def exit_head(self) -> ExitLosses:
        """The head."""
        raise NotImplementedError

    @property
    def _trains_gate(self) -> bool:
        return self.exit_head.mode == 'gate'

    @property
    def _encoder(self) -> StopsEarly:
        return self.exit_head.pixel_decoder.encoder

    def train(self, mode: bool = True) -> nn.Module:
        """Switch to training; of what is frozen nothing is switched."""
        super().train(mode)
        if mode and self._trains_gate:
            for module in self.children():
                module.eval()
            self._encoder.gate.train()
        return self

    def predictions_by_depth(self, data: dict, depths: Sequence[int] | None = None) -> dict[int, list]:
        """Predict a batch once at each depth, with the backbone run once.

        Args:
            data: As a loader gives it.
            depths: By default all from `min_depth` to the number of layers.

        Returns:
            {depth: data samples with predictions}.
        """
        raise NotImplementedError
