# kMaX-DeepLab for panoptic segmentation on a ResNet-50, as published: images of 1281 x 1281, norms of the backbone trained too.
_base_ = ['./kmax_panoptic.py', './resnet-50.py']

kmax = _base_.model.neck[1]
kmax.in_channels = [256, 512, 1024, 2048]
model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], pad_size_divisor=1281),
    backbone=dict(
        _delete_=True,
        **_base_.resnet50,
        norm_cfg=dict(type='SyncBN', eps=1e-3, momentum=0.01),
        norm_eval=False,
    ),
    neck=[kmax],
)
