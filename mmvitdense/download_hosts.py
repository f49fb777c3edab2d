"""Addresses that no program can fetch from, and what a person does instead."""

from __future__ import annotations

import urllib.parse
from typing import NamedTuple

_PASS = 'then give its path'
_OPEN = 'open it in a browser'
_BEIT = (
    'its host has refused everyone since 2023; the same weights are at https://github.com/addf400/files/releases and, '
    'in other containers, in the repositories microsoft/beit* and timm/beit* of huggingface.co'
)
_DINOV3 = (
    "DINOv3's weights are given to those who accept its licence, at "
    'https://ai.meta.com/resources/models-and-libraries/dinov3-downloads/ or in the repositories facebook/dinov3-* of '
    'huggingface.co (with HF_TOKEN set to a token of yours)'
)


class _Host(NamedTuple):
    name: str
    path: str
    never: bool
    advice: str


_HOSTS = (
    _Host('pan.baidu.com', '/', True, f'{_OPEN}, give the code after pwd= there, and fetch the file; {_PASS}'),
    _Host('drive.google.com', '/', True, f'{_OPEN} and fetch the file; {_PASS}'),
    _Host('1drv.ms', '/', True, f'{_OPEN} and fetch the file; {_PASS}'),
    _Host('onedrive.live.com', '/', True, f'{_OPEN} and fetch the file; {_PASS}'),
    _Host(
        'ai.meta.com',
        '/',
        True,
        f'{_OPEN}, accept what it asks, and fetch the file; {_PASS}',
    ),
    _Host('conversationhub.blob.core.windows.net', '/', False, _BEIT),
    _Host('unilm.blob.core.windows.net', '/', False, _BEIT),
    _Host('dl.fbaipublicfiles.com', '/dinov3/', False, f'{_DINOV3}; fetch the file; {_PASS}'),
    _Host('huggingface.co', '/facebook/dinov3', False, f'{_DINOV3}; fetch the file; {_PASS}'),
)


def cannot_be_fetched(url: str) -> str:
    """What to do with an address that leads to a page for persons; '' for others."""
    return next((host.advice for host in _of(url) if host.never), '')


def advice_for(url: str) -> str:
    """What to do when this address does not give a file; '' where nothing is known of it."""
    return next((host.advice for host in _of(url)), '')


def _of(url: str) -> list[_Host]:
    parts = urllib.parse.urlsplit(url)
    return [host for host in _HOSTS if parts.hostname == host.name and parts.path.startswith(host.path)]
