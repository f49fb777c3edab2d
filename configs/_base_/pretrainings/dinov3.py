# DINOv3 (facebookresearch/dinov3), trained on LVD-1689M, as timm has it.
dinov3 = dict(
    pixels=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    small='https://huggingface.co/timm/vit_small_patch16_dinov3_qkvb.lvd1689m/resolve/main/model.safetensors',
    small_plus='https://huggingface.co/timm/vit_small_plus_patch16_dinov3_qkvb.lvd1689m/resolve/main/model.safetensors',
    base='https://huggingface.co/timm/vit_base_patch16_dinov3_qkvb.lvd1689m/resolve/main/model.safetensors',
    large='https://huggingface.co/timm/vit_large_patch16_dinov3_qkvb.lvd1689m/resolve/main/model.safetensors',
    huge_plus='https://huggingface.co/timm/vit_huge_plus_patch16_dinov3_qkvb.lvd1689m/resolve/main/model.safetensors',
    seven_billion='https://huggingface.co/timm/vit_7b_patch16_dinov3.lvd1689m/resolve/main/model.safetensors',
)
