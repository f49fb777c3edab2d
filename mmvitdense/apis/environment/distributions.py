"""Installed distributions: those the package runs on, and the optional ones with what each is for."""

from __future__ import annotations

from importlib import metadata

LINES = {
    'mmengine': ('onedl-mmengine', ('mmengine', 'mmengine-lite')),
    'mmcv': ('onedl-mmcv', ('mmcv-lite', 'mmcv', 'mmcv-full')),
    'mmdet': ('onedl-mmdetection', ('mmdet',)),
    'mmseg': ('onedl-mmsegmentation', ('mmsegmentation',)),
}
"""Module -> its distribution in the maintained line, and those of the original one. They own the same folders."""

OPTIONAL = {
    'safetensors': 'weights as .safetensors: conversion, publishing, from_pretrained',
    'ninja': 'compiles the kernels at their first call',
    'faster-coco-eval': 'COCO metrics several times faster than pycocotools',
    'lvis': 'the metrics of LVIS',
    'huggingface-hub': 'models of the Hugging Face Hub: from_pretrained, push_to_hub',
    'timm': 'TimmViT: a ViT of timm as the backbone',
    'peft': 'adapters of peft',
    'transformers': 'comparisons in the tests; no command needs it',
    'sahi': 'tiles for small objects in large images',
    'supervision': "predictions as supervision's Detections",
    'tensorboard': 'curves in TensorBoard (mmvitdense train --tensorboard)',
    'onnx': 'export to ONNX',
    'onnxscript': 'export to ONNX',
    'onnxruntime': 'runs what was exported to ONNX, and int8',
    'onnxslim': 'smaller ONNX files',
    'openvino': 'runs exported models on Intel CPUs',
    'nncf': 'int8 for OpenVINO',
    'tifffile': 'images of many channels in GeoTIFF',
    'gradio': 'the web page',
    'selenium': 'tests of the web page',
}
"""Distribution -> what it is for."""


def version_of(distribution: str) -> str | None:
    """The installed version, None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def installed(names: tuple[str, ...]) -> dict[str, str]:
    """{distribution: version} of those that are installed."""
    return {name: version for name in names if (version := version_of(name)) is not None}


def line_of() -> str:
    """Which line of OpenMMLab is installed: 'onedl', 'original', 'both' or 'none'."""
    onedl = installed(tuple(maintained for maintained, _ in LINES.values()))
    original = installed(tuple(name for _, names in LINES.values() for name in names))
    if onedl and original:
        return 'both'
    return 'onedl' if onedl else 'original' if original else 'none'
