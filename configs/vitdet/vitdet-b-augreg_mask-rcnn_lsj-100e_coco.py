_base_ = './vitdet-b-mae_mask-rcnn_lsj-100e_coco.py'

model = dict(
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
    ),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='augreg-base',
        img_size=1024,
        window_size=14,
        rel_pos='decomposed',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='ViTPretrained',
            checkpoint='https://huggingface.co/timm/vit_base_patch16_224.augreg_in21k/resolve/main/model.safetensors',
        ),
    ),
)
