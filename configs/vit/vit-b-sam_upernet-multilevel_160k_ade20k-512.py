# The outputs are those of the blocks that attend globally; windows and relative positions stay.
_base_ = ['./vit-b-mae_upernet-multilevel_160k_ade20k-512.py', '../_base_/pretrainings/sam.py']

model = dict(
    backbone=dict(
        _base_.preset_vit,
        _delete_=True,
        preset='sam-base',
        out_indices=(2, 5, 8, 11),
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.sam.base),
    ),
)
