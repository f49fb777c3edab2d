# As with ViT-B: relative positions of the pre-training, absolute ones at random.
_base_ = './vit-fpn-l-mae_mask-rcnn_lsj-100e_coco.py'

model = dict(
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
    ),
    backbone=dict(
        qkv_bias='qv',
        layer_scale_init=1e-5,
        init_cfg=dict(
            checkpoint='https://huggingface.co/microsoft/beit-large-patch16-224-pt22k/resolve/main/pytorch_model.bin',
            as_initialized=['pos_embed'],
        ),
    ),
)
