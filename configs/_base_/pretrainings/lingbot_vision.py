# LingBot-Vision (Robbyant/lingbot-vision), which computes what DINOv3 does, under Apache-2.0.
lingbot_vision = dict(
    pixels=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    small='https://huggingface.co/robbyant/lingbot-vision-vit-small/resolve/main/model.pt',
    base='https://huggingface.co/robbyant/lingbot-vision-vit-base/resolve/main/model.pt',
    large='https://huggingface.co/robbyant/lingbot-vision-vit-large/resolve/main/model.pt',
    giant='https://huggingface.co/robbyant/lingbot-vision-vit-giant/resolve/main/model.pt',
)
