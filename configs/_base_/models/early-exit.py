# ECO-M2F (arXiv 2404.15244) over a Mask2Former: what a config merges into `model`, of mmdet and of mmseg. The parent is drawn a
# depth of 2 to 6 layers in each iteration; weights of the depths are not published, and here they are depth / 6.
early_exit_head = dict(
    mode='parent',
    pixel_decoder=dict(
        type='mmvitdense.EarlyExitPixelDecoder',
        encoder=dict(min_depth=2, exit='full', train_exit='random'),
    ),
)
early_exit = dict(
    type='mmvitdense.EarlyExitMask2Former',
    panoptic_head=dict(type='mmvitdense.EarlyExitMask2FormerHead', **early_exit_head),
)
early_exit_semantic = dict(
    type='mmvitdense.EarlyExitEncoderDecoder',
    decode_head=dict(type='mmvitdense.EarlyExitMask2FormerSegHead', **early_exit_head),
)
early_exit_hook = dict(type='mmvitdense.ExitDepthHook')
