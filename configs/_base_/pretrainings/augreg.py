# AugReg (google-research/vision_transformer), trained on ImageNet-21k, or fine-tuned on ImageNet-1k at 384 pixels.
augreg = dict(
    pixels=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    base='https://huggingface.co/timm/vit_base_patch16_224.augreg_in21k/resolve/main/model.safetensors',
    base_384='https://huggingface.co/timm/vit_base_patch16_384.augreg_in21k_ft_in1k/resolve/main/model.safetensors',
    large_384='https://huggingface.co/timm/vit_large_patch16_384.augreg_in21k_ft_in1k/resolve/main/model.safetensors',
)
