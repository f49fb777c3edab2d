_base_ = './vit-b-augreg_dpt_160k_ade20k-512.py'

model = dict(
    backbone=dict(
        vit=dict(arch='large', init_cfg=dict(checkpoint=_base_.augreg.large_384)), out_indices=(5, 11, 17, 23)
    ),
    decode_head=dict(
        in_channels=[1024, 1024, 1024, 1024], embed_dims=1024, post_process_channels=[256, 512, 1024, 1024]
    ),
)
