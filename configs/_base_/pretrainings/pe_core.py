# Perception Encoder, core (facebookresearch/perception_models).
pe_core = dict(
    pixels=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    tiny='https://huggingface.co/facebook/PE-Core-T16-384/resolve/main/PE-Core-T16-384.pt',
    small='https://huggingface.co/facebook/PE-Core-S16-384/resolve/main/PE-Core-S16-384.pt',
    base='https://huggingface.co/facebook/PE-Core-B16-224/resolve/main/PE-Core-B16-224.pt',
    large='https://huggingface.co/facebook/PE-Core-L14-336/resolve/main/PE-Core-L14-336.pt',
    gigantic='https://huggingface.co/facebook/PE-Core-G14-448/resolve/main/PE-Core-G14-448.pt',
)
