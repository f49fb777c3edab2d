_base_ = ['../vitdet/vitdet-b-mae_mask2former-panoptic_lsj-50e_coco.py', '../_base_/models/early-exit.py']

model = _base_.early_exit
custom_hooks = [_base_.early_exit_hook]
