"""Detectors of mmdet as modules that torch.export can follow."""
