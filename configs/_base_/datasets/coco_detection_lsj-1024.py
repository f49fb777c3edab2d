# Boxes alone are scored; masks are loaded, because boxes are taken from the cropped masks.
_base_ = './coco_instance_lsj-1024.py'

val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
