"""Heads, losses and detectors for mmdet, the only models that import it: at the first look-up of a name of theirs."""
