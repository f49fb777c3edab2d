# PMT (arXiv 2603.25398) for panoptic segmentation: six blocks with 200 queries on a frozen ViT-L of DINOv3.
_base_ = './eomt_panoptic.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PMT',
        vit=dict(preset='dinov3-large', frozen_stages='all'),
        num_classes=133,
        num_queries=200,
    ),
)
