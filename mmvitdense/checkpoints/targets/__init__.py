"""Models of other libraries that the weights of a `PlainViT` can be written for, one file each."""
