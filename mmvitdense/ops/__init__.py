"""Deformable kernels. Imports torch and nothing of OpenMMLab."""

from .reference import ms_deform_attn

__all__ = ['backend', 'ms_deform_attn']


def backend() -> str:
    """The implementation that the functions of this package use."""
    return 'reference'
