_base_ = ['../vitdet/vitdet-tiny_mask2former-panoptic_shapes.py', '../_base_/models/early-exit.py']

model = _base_.early_exit
model.panoptic_head.pixel_decoder.encoder.num_layers = 6
custom_hooks = [_base_.early_exit_hook]
