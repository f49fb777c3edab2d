# The backbone class of the published run is not released. That the pyramid is 6 times as wide as the ViT follows from the
# published number of parameters.
_base_ = [
    '../_base_/models/mask2former_vit-adapter.py',
    '../_base_/datasets/coco_stuff164k-896.py',
    '../_base_/schedules/adamw_poly-80k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/beitv2.py',
]

# mmseg's Mask2Former is made of mmdet's parts.
custom_imports = dict(imports=['mmvitdense', 'mmdet.models'], allow_failed_imports=False)
model = dict(
    backbone=dict(
        type='mmvitdense.ViTCoMer',
        vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.beitv2.large_tuned)),
        mrfp_ratio=6.0,
    ),
)
