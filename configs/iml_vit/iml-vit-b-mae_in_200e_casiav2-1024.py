# With instance norm in the head, which the authors found to converge always; batch norm wants more than one image at a time.
_base_ = ['./iml-vit-b-mae_200e_casiav2-1024.py']

model = dict(
    decode_head=dict(norm_cfg=dict(_delete_=True, type='IN', affine=True, track_running_stats=True)),
)
