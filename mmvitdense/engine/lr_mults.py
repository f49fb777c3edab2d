"""Learning rates by the names of parameters, beside the usual rules of weight decay."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmvitdense.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LearningRateOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Optimizer constructor that gives parts of a model learning rates of their own.

    `custom_keys` of mmengine also change learning rates, but a parameter that one of them names is no longer subject
    to `norm_decay_mult`, `bias_decay_mult` and `flat_decay_mult`. `lr_mults` leave these rules, and all others
    of mmengine's default constructor, as they are. The recipe of MIMDet, three rates and no weight decay of biases and
    other vectors::

        paramwise_cfg=dict(
            lr_mults={'backbone.stem': 1.0, 'backbone.vit': 0.5, '': 2.0},
            norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0)

    Parameters with equal options share a group, so that the optimizer updates them together.

    Args:
        optim_wrapper_cfg: As in mmengine, with the optimizer inside.
        paramwise_cfg: mmengine's options and `lr_mults`, {first parts of a name: factor of the learning rate}. The
            longest that fits a name counts; '' fits every name; a name that none fits has the factor 1.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        paramwise_cfg = dict(paramwise_cfg or {})
        self.lr_mults = dict(paramwise_cfg.pop('lr_mults', None) or {})
        for start, factor in self.lr_mults.items():
            if not isinstance(factor, int | float) or factor < 0:
                raise ValueError(f'lr_mults must be factors of at least 0, got {factor!r} for {start!r}')
        # The default constructor builds no groups when it is given no option.
        super().__init__(optim_wrapper_cfg, paramwise_cfg or {'custom_keys': {}})

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', is_dcn_module=None) -> None:
        """Fill `params` with the groups of `module` (called by mmengine, which recurses through it)."""
        if prefix:
            super().add_params(params, module, prefix, is_dcn_module)
            return
        single = []
        with _without_lines_of_frozen_parameters():
            super().add_params(single, module, prefix, is_dcn_module)
        factors, marks = self.factors(module), self.marks(module)
        groups = {}
        for group in single:
            (parameter,) = group.pop('params')
            group['lr'] = group.get('lr', self.base_lr) * factors[id(parameter)]
            group.update(marks.get(id(parameter), {}))
            groups.setdefault(tuple(sorted(group.items(), key=str)), []).append(parameter)
        params.extend({'params': members, **dict(options)} for options, members in groups.items())
        rates = sorted({group['lr'] for group in params})
        print_log(
            f'{self.describe()}: {len(single)} parameters in {len(params)} groups, '
            f'learning rates {rates[0]:.3g} to {rates[-1]:.3g}',
            logger='current',
        )
        frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
        if frozen:
            print_log(f'{len(frozen)} parameters are frozen, first {", ".join(frozen[:4])}', logger='current')

    def factors(self, model: nn.Module) -> dict[int, float]:
        """Factor of the learning rate of every parameter of the model, by its id.

        Raises:
            ValueError: No parameter has one of the starts of names.
        """
        names = {name: id(parameter) for name, parameter in model.named_parameters()}
        for start in self.lr_mults:
            if not any(_starts_with(name, start) for name in names):
                raise ValueError(
                    f'lr_mults names {start!r}, with which no parameter of {type(model).__name__} starts; the first '
                    f'parts of its names are {", ".join(sorted({name.split(".")[0] for name in names}))}'
                )
        return {key: _factor(name, self.lr_mults) for name, key in names.items()}

    def marks(self, model: nn.Module) -> dict[int, dict]:
        """Entries of the group of a parameter that schedules read, by its id."""
        return {}

    def describe(self) -> str:
        """What the log calls these rules."""
        return f'lr_mults {self.lr_mults}'


@contextmanager
def _without_lines_of_frozen_parameters() -> Iterator[None]:
    """Keep mmengine from logging a warning for each."""
    logger = MMLogger.get_current_instance()

    def is_other(record: logging.LogRecord) -> bool:
        return 'is skipped since its requires_grad=' not in record.getMessage()

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def _factor(name: str, lr_mults: Mapping[str, float]) -> float:
    fitting = [start for start in lr_mults if _starts_with(name, start)]
    return lr_mults[max(fitting, key=len)] if fitting else 1.0


def _starts_with(name: str, start: str) -> bool:
    """Whether the parts of `start` ('backbone.vit') are the first parts of `name`."""
    return not start or f'{name}.'.startswith(f'{start.rstrip(".")}.')
