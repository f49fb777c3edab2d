# PEM for semantic segmentation on a ResNet-50, as published for ADE20K: norms of the backbone are fixed.
_base_ = ['./pem_semantic.py', './resnet-50.py']

pem = _base_.model.neck[1]
pem.in_channels = [256, 512, 1024, 2048]
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    backbone=dict(
        _delete_=True,
        **_base_.resnet50,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
    ),
    neck=[pem],
    test_cfg=dict(_delete_=True, mode='whole'),
)
