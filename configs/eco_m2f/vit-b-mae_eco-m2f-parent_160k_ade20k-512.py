_base_ = ['../vit/vit-b-mae_mask2former_160k_ade20k-512.py', '../_base_/models/early-exit.py']

model = _base_.early_exit_semantic
custom_hooks = [_base_.early_exit_hook]
