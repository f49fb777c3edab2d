"""Models of mmpretrain."""
