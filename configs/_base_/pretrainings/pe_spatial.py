# Perception Encoder, spatial, for dense prediction (facebookresearch/perception_models).
pe_spatial = dict(
    pixels=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    tiny='https://huggingface.co/facebook/PE-Spatial-T16-512/resolve/main/PE-Spatial-T16-512.pt',
    small='https://huggingface.co/facebook/PE-Spatial-S16-512/resolve/main/PE-Spatial-S16-512.pt',
    base='https://huggingface.co/facebook/PE-Spatial-B16-512/resolve/main/PE-Spatial-B16-512.pt',
    large='https://huggingface.co/facebook/PE-Spatial-L14-448/resolve/main/PE-Spatial-L14-448.pt',
    gigantic='https://huggingface.co/facebook/PE-Spatial-G14-448/resolve/main/PE-Spatial-G14-448.pt',
)
