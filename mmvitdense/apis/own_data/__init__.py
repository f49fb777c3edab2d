"""Configs for data of one's own."""

from .writing import config_text, write_config

__all__ = ['config_text', 'write_config']
