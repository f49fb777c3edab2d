_base_ = './vitdet-h-mae_mask-rcnn_lsj-75e_coco.py'

model = dict(
    roi_head=dict(type='mmvitdense.Detectron2CascadeRoIHead', bbox_head=dict(reg_class_agnostic=True)),
)
