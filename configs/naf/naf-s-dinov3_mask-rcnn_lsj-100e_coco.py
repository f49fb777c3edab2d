# ViTDet's Mask R-CNN on the map of a frozen DINOv3 ViT-S at stride 8, without windows as the ViT is not tuned to them. The
# weights of NAF are the released ones.
_base_ = '../lift/lift-s-dinov3_mask-rcnn_lsj-100e_coco.py'

naf = 'https://github.com/valeoai/NAF/releases/download/model/naf_release.pth'
model = dict(
    backbone=dict(
        lift=dict(
            _delete_=True,
            type='mmvitdense.NAF',
            init_cfg=dict(type='NAFPretrained', checkpoint=naf),
        ),
    ),
)
