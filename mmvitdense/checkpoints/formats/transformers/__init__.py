"""Layouts of the library `transformers`, one file each, see `formats.contract`."""
