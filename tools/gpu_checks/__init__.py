"""The checks of `tools/check_gpu.py`."""
