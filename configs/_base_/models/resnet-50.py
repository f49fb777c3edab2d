# torchvision's ResNet-50, for a config that takes `resnet50` as its backbone and says what its norms do.
resnet50 = dict(
    type='ResNet',
    depth=50,
    init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
)
