# SoftCon (zhu-xlab/softcon): DINOv2 trained further on Sentinel-2 (s2, 13 bands) and Sentinel-1 (s1, radar in decibel) of
# SSL4EO-S12. `bands_*` are arguments of StretchBands: mean and deviation there; those of the data at hand do as well.
softcon = dict(
    pixels=dict(mean=[0.0], std=[255.0]),
    bands_s2=dict(
        mean=[1612.9, 1397.6, 1322.3, 1373.1, 1561.0, 2108.4, 2390.7, 2318.7, 2581.0, 837.7, 22.0, 2195.2, 1537.4],
        std=[791.0, 854.3, 878.7, 1144.9, 1127.5, 1164.2, 1276.0, 1249.5, 1345.9, 577.5, 47.5, 1340.0, 1142.9],
    ),
    bands_s1=dict(mean=[-12.59, -20.26], std=[5.26, 5.91]),
    small_s2='https://huggingface.co/wangyi111/softcon/resolve/main/B13_vits14_softcon.pth',
    base_s2='https://huggingface.co/wangyi111/softcon/resolve/main/B13_vitb14_softcon.pth',
    small_s1='https://huggingface.co/wangyi111/softcon/resolve/main/B2_vits14_softcon.pth',
    base_s1='https://huggingface.co/wangyi111/softcon/resolve/main/B2_vitb14_softcon.pth',
)
