# Co-DINO with five levels, strides 4 to 64, of the simple pyramid of ViT-B.
_base_ = ['./dino_vitdet.py', './co-dino_heads.py']

model = dict(**_base_.co_dino, neck=dict(scale_factors=(4, 2, 1, 0.5), num_outs=5))
