"""Data: the built-in shapes data set and checks of a person's own data."""
