"""A schedule whose new layers warm up before the pre-trained ViT starts to learn."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from mmvitdense.registry import PARAM_SCHEDULERS

STAGE = 'stage'
"""Key of parameter groups: 'vit' for the second stage; all others are of the first."""


@PARAM_SCHEDULERS.register_module()
class TwoStageWarmupPoly(_ParamScheduler):
    """Linear warm-up and polynomial decay, in two stages (EoMT, `training/two_stage_warmup_poly_schedule.py`).

    All but the ViT warm up in the first w1 steps, from a rate of zero. The ViT has the rate zero until then and warms
    up in the w2 steps after. Each decays to zero at `total`. Which groups are of the ViT,
    `MaskTransformerOptimWrapperConstructor` says.

    Args:
        optimizer: An optimizer or optimizer wrapper with such groups.
        warmup: (w1, w2), steps.
        total: Steps of the training.
        power: Exponent of the decay.
        accumulative_counts: Iterations of a step, as that of the optimizer wrapper.
        param_name: What is scheduled.
        **options: `begin`, `end`, `last_step` and `verbose` of mmengine's schedulers. Iterations are counted,
            `by_epoch` must be False.

    Raises:
        ValueError: No group is of the ViT, `by_epoch` is asked for, or the warm-ups are longer than `total`.
    """

    def __init__(
        self,
        optimizer: object,
        warmup: Sequence[int],
        total: int,
        power: float = 0.9,
        accumulative_counts: int = 1,
        param_name: str = 'lr',
        by_epoch: bool = False,
        **options: int | bool,
    ):
        if by_epoch:
            raise ValueError('TwoStageWarmupPoly counts iterations: set by_epoch=False')
        if len(warmup) != 2 or min(warmup) < 0 or sum(warmup) >= total:
            raise ValueError(
                f'warmup must be two numbers of steps, together fewer than total={total}, got {tuple(warmup)}'
            )
        if options.get('end', total * accumulative_counts) < total * accumulative_counts:
            raise ValueError(
                f'TwoStageWarmupPoly ends after {total * accumulative_counts} iterations, and the run gives it '
                f'end={options["end"]}: set by_epoch=False, and total to the steps of the run'
            )
        if not any(group.get(STAGE) == 'vit' for group in optimizer.param_groups):
            raise ValueError(
                'TwoStageWarmupPoly finds no parameters of a ViT: build the optimizer with '
                "optim_wrapper=dict(constructor='mmvitdense.MaskTransformerOptimWrapperConstructor', ...)"
            )
        self.warmup, self.total, self.power = tuple(warmup), total, power
        self.accumulative_counts = accumulative_counts
        super().__init__(optimizer, param_name=param_name, by_epoch=False, **options)

    def factors(self, step: int) -> dict[str, float]:
        """Factors of both stages after `step` steps of the optimizer: 'heads' and 'vit'."""
        first, second = self.warmup
        return {
            'heads': self._factor(step, first),
            'vit': self._factor(step - first, second, self.total - first) if step >= first else 0.0,
        }

    def _factor(self, step: int, warmup: int, total: int | None = None) -> float:
        if step < warmup:
            return step / warmup
        total = self.total if total is None else total
        return max(0.0, 1 - (step - warmup) / (total - warmup)) ** self.power

    def _get_value(self) -> list[float]:
        factors = self.factors(self.last_step // self.accumulative_counts)
        groups = zip(self.base_values, self.optimizer.param_groups)
        return [base * factors['vit' if group.get(STAGE) == 'vit' else 'heads'] for base, group in groups]
