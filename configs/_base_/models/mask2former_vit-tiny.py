# Mask2Former of mmseg for the built-in shapes, on the trunk of `mask2former_vitdet-tiny.py`.
_base_ = ['./mask2former_vit.py', './mask2former-tiny.py']

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(_delete_=True, type='mmvitdense.PlainViT', **_base_.tiny_vit),
    neck=_base_.tiny_pyramid,
    decode_head=dict(num_classes=6, train_cfg=dict(num_points=1024), **_base_.tiny_mask2former),
    test_cfg=dict(_delete_=True, mode='whole'),
)
