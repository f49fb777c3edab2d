# The published model: ResNet-50 with fixed norms. 8 GPUs with 4 images each. The size of an image is drawn evenly from 0.5 to 2.0,
# where the published recipe draws one of the steps of 0.1.
_base_ = [
    '../_base_/models/pem_semantic.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/pem_160k-ade20k.py',
    '../_base_/runtime_segmentation.py',
]

pem = _base_.model.neck[1]
pem.in_channels = [256, 512, 1024, 2048]
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    neck=[pem],
    test_cfg=dict(_delete_=True, mode='whole'),
)
train_dataloader = dict(batch_size=4)
