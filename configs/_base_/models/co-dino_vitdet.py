# Co-DINO with five levels, strides 4 to 64, of the simple pyramid of ViT-B. The images of large-scale jittering are the whole
# square, whose padding is not hidden, as in the released recipes with it.
_base_ = ['./dino_vitdet.py', './co-dino_heads.py']

model = dict(
    **_base_.co_dino,
    neck=dict(scale_factors=(4, 2, 1, 0.5), num_outs=5),
    with_attn_mask=False,
)
