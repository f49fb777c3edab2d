_base_ = ['./vit-adapter-l-beit_htc_ms-3x_coco.py', '../_base_/pretrainings/beitv2.py']

model = dict(backbone=dict(vit=dict(init_cfg=dict(checkpoint=_base_.beitv2.large_tuned))))
