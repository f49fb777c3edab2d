# ECViT, the backbone of EdgeCrafter (Intellindust-AI-Lab/EdgeCrafter).
ecvit = dict(
    pixels=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    tiny='https://github.com/capsule2077/edgecrafter/releases/download/edgecrafterv1/ecvitt.pth',
    tiny_plus='https://github.com/capsule2077/edgecrafter/releases/download/edgecrafterv1/ecvittplus.pth',
    small='https://github.com/capsule2077/edgecrafter/releases/download/edgecrafterv1/ecvits.pth',
    small_plus='https://github.com/capsule2077/edgecrafter/releases/download/edgecrafterv1/ecvitsplus.pth',
)
