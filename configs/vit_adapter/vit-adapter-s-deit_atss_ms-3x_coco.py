_base_ = [
    '../_base_/models/atss_vit-adapter.py',
    '../_base_/datasets/coco_detection_ms.py',
    '../_base_/schedules/adamw_coco-3x.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/tta_detection.py',
    '../_base_/pretrainings/deit.py',
]

model = dict(
    backbone=dict(
        vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit.small, known=['act', 'pos_resize']))
    )
)
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=dict(init_scale=512))
# The pyramid leaves out the map of stride 4 and the parameters that only it needs.
find_unused_parameters = True
