# RetinaNet on the simple pyramid of ViT-B.
_base_ = ['./boxes_retinanet.py', './vitdet_five-levels.py']

model = dict(_base_.retinanet, **_base_.five_levels)
