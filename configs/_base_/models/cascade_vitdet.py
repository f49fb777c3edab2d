# The cascade of ViTDet in the place of the heads of its Mask R-CNN. Configs write `roi_head=_base_.cascade`.
cascade = dict(type='mmvitdense.Detectron2CascadeRoIHead', bbox_head=dict(reg_class_agnostic=True))
