# The adapter has maps of four strides of its own: without a pyramid network they are brought to 256 channels, and pooled for
# stride 64.
_base_ = './vit-adapter-s-deit_mask-rcnn_ms-3x_coco.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmvitdense.ChannelMapperWithPooling',
        in_channels=[384, 384, 384, 384],
        out_channels=256,
        num_outs=5,
    ),
)
