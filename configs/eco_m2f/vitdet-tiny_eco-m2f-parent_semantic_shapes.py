_base_ = [
    '../_base_/models/mask2former_vit-tiny.py',
    '../_base_/models/early-exit.py',
    '../_base_/datasets/shapes_segmentation.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_segmentation.py',
]

# mmseg's Mask2Former is made of mmdet's parts.
custom_imports = dict(imports=['mmvitdense', 'mmdet.models'], allow_failed_imports=False)
model = _base_.early_exit_semantic
model.decode_head.pixel_decoder.encoder.num_layers = 6
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
custom_hooks = [_base_.early_exit_hook]
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
