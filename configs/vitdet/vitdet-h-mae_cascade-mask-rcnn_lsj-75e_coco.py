_base_ = ['./vitdet-h-mae_mask-rcnn_lsj-75e_coco.py', '../_base_/models/cascade_vitdet.py']

model = dict(roi_head=_base_.cascade)
