# projects/configs/co_dino/co_dino_5scale_vitcomer_sfp_16e.py of the branch Co-DETR of Traffic-X/ViT-CoMer.
_base_ = [
    '../vit_comer/vit-comer-l-beitv2_dino-5scale_16e_coco.py',
    '../_base_/models/co-dino_heads.py',
    '../_base_/tta_co-dino.py',
]

model = dict(
    **_base_.co_dino,
    backbone=dict(out_vit_map=True),
    neck=dict(
        _delete_=True,
        type='mmvitdense.SFP',
        in_channels=1024,
        out_channels=256,
        lateral_channels=[1024, 1024, 1024, 1024],
    ),
)
# Of the two auxiliary heads, where they predict.
model['test_cfg']['rcnn']['nms'] = dict(type='soft_nms', iou_threshold=0.5)
model['test_cfg']['dense']['nms'] = dict(type='soft_nms', iou_threshold=0.6)
