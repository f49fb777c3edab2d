# ATSS (arXiv 1912.02424) on the levels of RetinaNet.
_base_ = ['./boxes_atss.py', './vitdet_five-levels.py']

model = dict(_base_.atss, **_base_.five_levels)
