# BEiT v2 (microsoft/unilm), fine-tuned on ImageNet-22k.
beitv2 = dict(
    pixels=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    large_tuned='https://huggingface.co/timm/beitv2_large_patch16_224.in1k_ft_in22k/resolve/main/model.safetensors',
)
