# EVA-02 (baaivision/EVA), masked images of ImageNet-22k (base) and of Merged-38M (large).
eva02 = dict(
    pixels=dict(mean=[122.7709383, 116.7460125, 104.09373615], std=[68.5005327, 66.6321579, 70.3231626]),
    large='https://huggingface.co/timm/eva02_large_patch14_224.mim_m38m/resolve/main/model.safetensors',
    base='https://huggingface.co/timm/eva02_base_patch14_224.mim_in22k/resolve/main/model.safetensors',
)
