"""Imports, exporters and compilers make a million objects in a few seconds: by default all are looked at ten times."""

import gc

# Before the first import of torch.
gc.set_threshold(50_000)
