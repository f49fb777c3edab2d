"""One page of a training run: its plan, curves, scores of classes, mistakes, worst images, beside other runs."""

from .report import report_run

__all__ = ['report_run']
