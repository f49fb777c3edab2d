_base_ = './vitdet-l-mae_mask-rcnn_lsj-100e_lvis-v1.py'

model = dict(
    roi_head=dict(type='mmvitdense.Detectron2CascadeRoIHead', bbox_head=dict(reg_class_agnostic=True)),
)
