# BEiT (microsoft/unilm), pre-trained alone, or fine-tuned on ImageNet-22k.
beit = dict(
    pixels=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    base='https://huggingface.co/microsoft/beit-base-patch16-224-pt22k/resolve/main/pytorch_model.bin',
    large='https://huggingface.co/microsoft/beit-large-patch16-224-pt22k/resolve/main/pytorch_model.bin',
    base_tuned='https://huggingface.co/timm/beit_base_patch16_224.in22k_ft_in22k/resolve/main/model.safetensors',
    large_tuned='https://huggingface.co/timm/beit_large_patch16_224.in22k_ft_in22k/resolve/main/model.safetensors',
)
