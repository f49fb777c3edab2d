# OpenVision (UCSC-VLAA/OpenVision), the largest images of each size.
openvision = dict(
    pixels=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    tiny_patch16='https://huggingface.co/UCSC-VLAA/openvision-vit-tiny-patch16-384/resolve/main/open_clip_pytorch_model.bin',
    small_patch16='https://huggingface.co/UCSC-VLAA/openvision-vit-small-patch16-384/resolve/main/open_clip_pytorch_model.bin',
    small_patch8='https://huggingface.co/UCSC-VLAA/openvision-vit-small-patch8-384/resolve/main/open_clip_pytorch_model.bin',
    base_patch16='https://huggingface.co/UCSC-VLAA/openvision-vit-base-patch16-384/resolve/main/open_clip_pytorch_model.bin',
    base_patch8='https://huggingface.co/UCSC-VLAA/openvision-vit-base-patch8-384/resolve/main/open_clip_pytorch_model.bin',
    large_patch14='https://huggingface.co/UCSC-VLAA/openvision-vit-large-patch14-336/resolve/main/open_clip_pytorch_model.bin',
    so400m_patch14='https://huggingface.co/UCSC-VLAA/openvision-vit-so400m-patch14-384/resolve/main/open_clip_pytorch_model.bin',
)
