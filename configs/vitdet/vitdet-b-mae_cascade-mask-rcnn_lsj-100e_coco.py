_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/models/cascade_vitdet.py']

model = dict(roi_head=_base_.cascade)
