"""Runs that are killed, damaged or starved, and what must be left of them."""
