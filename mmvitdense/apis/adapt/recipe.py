"""What a recipe says of images, steps and rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..rate_rule import rule_of


@dataclass(frozen=True)
class Recipe:
    """The numbers of a config that belong together.

    Attributes:
        batch: Images of a batch of one process.
        accumulated: Batches whose gradients are averaged for a step.
        per_step: Images of a step that the rate is meant for: `auto_scale_lr.base_batch_size`, or else those of one
            process.
        by_epoch: Whether the loop counts rounds of the data.
        length: Rounds, or batches.
        rule: How the rate goes with the images of a step, see `rate_rule`.
        rate: The base rate, None where the optimizer has none.
    """

    batch: int
    accumulated: int
    per_step: int
    by_epoch: bool
    length: int
    rule: str
    rate: float | None

    def steps(self, images: int) -> float:
        """Steps of the optimizer with `per_step` images each.

        Args:
            images: Size of the data.
        """
        return self.length * images / self.per_step if self.by_epoch else self.length / self.accumulated

    def epochs(self, images: int) -> float:
        """Rounds of the data."""
        return self.length if self.by_epoch else self.steps(images) * self.per_step / images


def recipe_of(cfg: Any) -> Recipe:
    """Read a config, of one optimizer."""
    loop, wrapper, scaling = cfg.get('train_cfg') or {}, cfg.get('optim_wrapper') or {}, cfg.get('auto_scale_lr') or {}
    batch = (cfg.get('train_dataloader') or {}).get('batch_size') or 1
    accumulated = int(wrapper.get('accumulative_counts') or 1)
    by_epoch = counts_epochs(loop)
    optimizer = wrapper.get('optimizer') or {}
    return Recipe(
        batch=batch,
        accumulated=accumulated,
        per_step=scaling.get('base_batch_size') or batch * accumulated,
        by_epoch=by_epoch,
        length=int(loop.get('max_epochs' if by_epoch else 'max_iters') or 0),
        rule=rule_of(optimizer.get('type')),
        rate=optimizer.get('lr'),
    )


def counts_epochs(loop: dict[str, Any]) -> bool:
    """Whether the loop of a training counts rounds of the data, as mmengine decides it."""
    return bool(loop.get('by_epoch')) or 'max_epochs' in loop
