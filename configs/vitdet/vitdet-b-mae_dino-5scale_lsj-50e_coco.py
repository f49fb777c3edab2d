_base_ = './vitdet-b-mae_dino-4scale_lsj-50e_coco.py'

# Strides 4 to 64.
num_levels = 5
model = dict(
    neck=dict(scale_factors=(4, 2, 1, 0.5), num_outs=num_levels),
    num_feature_levels=num_levels,
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=num_levels))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=num_levels))),
)
