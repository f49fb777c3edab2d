# A linear head on the map that NAF doubles of a frozen trunk, that of lift/vit-tiny_linear_shapes.py.
_base_ = '../lift/lift-tiny_linear_shapes.py'

naf = 'work_dirs/naf-tiny_pretraining_shapes/iter_1200.pth'
lift = dict(
    _delete_=True, type='mmvitdense.NAF', dims=64, window=5, init_cfg=dict(type='NAFPretrained', checkpoint=naf)
)
model = dict(backbone=dict(lift=lift))
