"""Mask2Former trained to stop early: the head of the parent and of its gate, and the detector around it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.models.detectors import Mask2Former
from torch import Tensor

from mmvitdense.registry import MODELS

from .early_exit import EarlyExitPixelDecoder


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


@MODELS.register_module()
class EarlyExitMask2FormerHead(Mask2FormerHead):
    """mmdet's Mask2Former head over `EarlyExitPixelDecoder`, in one of the two trainings of ECO-M2F.

    Args:
        mode: 'parent' trains all but the gate, each iteration as `train_exit` of the encoder says, its losses times
            the weight of the depth; 'gate' trains the gate on `exit_scores` of the images (`LoadExitScores`) and
            runs neither encoder nor mask decoder.
        beta: Quality from 0 to 1 that one more layer must bring, for the targets of the gate.
        temperature: See `exit_targets`.
        depth_weights: Weight of each depth from `min_depth` on; by default depth / number of layers.
        **kwargs: For mmdet's head.

    Raises:
        ValueError: Another mode, another number of weights than of depths, or a decoder without early exit; in
            training, images without scores or with another number of them.
    """

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
        if not isinstance(self.pixel_decoder, EarlyExitPixelDecoder):
            raise ValueError(
                f'pixel_decoder must be an EarlyExitPixelDecoder, got {type(self.pixel_decoder).__name__}: give it '
                "type='mmvitdense.EarlyExitPixelDecoder'"
            )
        if temperature is not None and temperature <= 0:
            raise ValueError(f'temperature must be above 0, or None for the best depth alone, got {temperature}')
        encoder = self.pixel_decoder.encoder
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

    def loss(self, x: Sequence[Tensor], batch_data_samples: list) -> dict[str, Tensor]:
        """The losses of Mask2Former times the weight of the depth, or `loss_gate` with `acc_gate` in percent."""
        if self.mode == 'gate':
            return self.gate_loss(self.pixel_decoder.exit_logits(x), batch_data_samples)
        losses = super().loss(x, batch_data_samples)
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
                    "the file of this parent in the pipeline and 'exit_scores' among the meta_keys of PackDetInputs"
                )
        target = exit_targets(torch.as_tensor(scores, device=logits.device), self.beta, self.temperature)
        best = target if target.ndim == 1 else target.argmax(dim=1)
        right = (logits.argmax(dim=1) == best).float().mean() * 100
        return {'loss_gate': F.cross_entropy(logits, target), 'acc_gate': right}


@MODELS.register_module()
class EarlyExitMask2Former(Mask2Former):
    """mmdet's Mask2Former with `EarlyExitMask2FormerHead`; while the gate is trained, all else is frozen and as in
    testing, dropout and statistics of norms included.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self._trains_gate:
            self.requires_grad_(False)
            self._gate.requires_grad_(True)

    @property
    def _trains_gate(self) -> bool:
        return self.panoptic_head.mode == 'gate'

    @property
    def _gate(self) -> torch.nn.Module:
        return self.panoptic_head.pixel_decoder.encoder.gate

    def train(self, mode: bool = True) -> EarlyExitMask2Former:
        """Switch to training; of what is frozen nothing is switched."""
        super().train(mode)
        if mode and self._trains_gate:
            for module in self.children():
                module.eval()
            self._gate.train()
        return self

    def predictions_by_depth(self, data: dict, depths: Sequence[int] | None = None) -> dict[int, list]:
        """Predict a batch once at each depth, with the backbone run once.

        Args:
            data: As a loader gives it.
            depths: By default all from `min_depth` to the number of layers.

        Returns:
            {depth: data samples with predictions}.
        """
        data = self.data_preprocessor(data, False)
        feats = self.extract_feat(data['inputs'])
        found, encoder = {}, self.panoptic_head.pixel_decoder.encoder
        for depth in depths or self._gate.depths:
            samples = [sample.clone() for sample in data['data_samples']]
            with encoder.stopping_at(depth):
                predicted = self.panoptic_head.predict(feats, samples)
            results = self.panoptic_fusion_head.predict(*predicted, samples, rescale=True)
            found[depth] = self.add_pred_to_datasample(samples, results)
        return found
