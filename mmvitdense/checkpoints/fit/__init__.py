"""Fitting converted weights to a model: tables of positions, sizes, what may be missing."""
