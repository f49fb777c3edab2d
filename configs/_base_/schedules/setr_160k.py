# 160k iterations at 16 images with SGD and ten times the rate for heads, as mmseg trains SETR.
_base_ = './sgd_poly-160k.py'

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=10.0)}))
auto_scale_lr = dict(base_batch_size=16)
