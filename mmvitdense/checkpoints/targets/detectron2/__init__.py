"""Models of detectron2."""
