# The recipe of ViT-CoMer-L is not released: this is ViT-Adapter's.
_base_ = './vit-comer-s-deit_mask-rcnn_ms-3x_coco.py'

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        vit=dict(
            arch='large',
            pretrain_img_size=384,
            drop_path_rate=0.4,
            init_cfg=dict(
                checkpoint='https://huggingface.co/timm/vit_large_patch16_384.augreg_in21k_ft_in1k/resolve/main/model.safetensors'
            ),
        ),
        deform_num_heads=16,
        deform_ratio=0.5,
    ),
    neck=dict(in_channels=[1024, 1024, 1024, 1024]),
)
optim_wrapper = dict(
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.8, flat_decay_mult=0.0),
)
