# A small plain ViT with ResFormer's positions, trained from scratch at three resolutions of every image.
_base_ = ['../quickstart/vit-tiny_upernet_shapes.py']

model = dict(
    type='mmvitdense.MultiResolutionEncoderDecoder',
    resolutions=(1.0, 0.75, 0.5),
    consistency=1.0,
    backbone=dict(
        pos_embed='sine_conv', value_conv=3, window_size=0, global_blocks=None, rel_pos=None, final_norm='last'
    ),
)
