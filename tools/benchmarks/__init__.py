"""Parts of `tools/benchmark_models.py`: what is measured, against what, and how."""
