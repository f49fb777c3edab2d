# PMT (arXiv 2603.25398) for semantic segmentation: six blocks with 100 queries on a frozen ViT-L of DINOv3.
_base_ = './eomt_semantic.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PMT',
        vit=dict(preset='dinov3-large', frozen_stages='all'),
        num_classes=150,
        num_queries=100,
    ),
)
