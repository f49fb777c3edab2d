"""Models of the repositories that published the pre-trainings."""
