# MIMDet's reproduction (hustvl/MIMDet configs/benchmarking): windows of 16 tokens, which tile the map, positions started
# from sines and cosines at 64 x 64 tokens, the row first, and padding of 128 before normalisation.
_base_ = './vit-fpn-b-mae_mask-rcnn_lsj-100e_coco.py'

model = dict(
    data_preprocessor=dict(type='mmvitdense.RawPaddingDetDataPreprocessor', raw_pad_value=128),
    backbone=dict(
        window_size=16,
        init_cfg=[
            dict(type='ViTPretrained', checkpoint=_base_.mae.base),
            dict(type='SinCosPositions', rows_first=True),
        ],
    ),
)
