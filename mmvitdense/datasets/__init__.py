"""Data: the built-in shapes data set, checks of a person's own data, pictures of what a pipeline produces."""
