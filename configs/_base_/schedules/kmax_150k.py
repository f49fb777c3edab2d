# kMaX-DeepLab's steps on COCO (configs/coco of bytedance/kmax-deeplab): 150k iterations at 64 images, polynomial decay from the
# first iteration on with a linear warm-up laid over it, a tenth of the rate for the backbone, no decay of norms, biases, positions
# and queries.
max_iters = 150000
warm_up = 5000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    # To where the decay has come by then.
    dict(
        type='LinearLR',
        start_factor=0.001,
        end_factor=(1 - warm_up / max_iters) ** 0.9,
        by_epoch=False,
        begin=0,
        end=warm_up,
    ),
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=warm_up, end=max_iters),
]
no_decay = dict(decay_mult=0.0)
slow_no_decay = dict(lr_mult=0.1, decay_mult=0.0)
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            # The longest of these that a name has counts, so that the norms of the backbone are named in full.
            '.bn1.weight': slow_no_decay,
            '.bn2.weight': slow_no_decay,
            '.bn3.weight': slow_no_decay,
            '.bn1.bias': slow_no_decay,
            '.bn2.bias': slow_no_decay,
            '.bn3.bias': slow_no_decay,
            '.downsample.1': slow_no_decay,
            'cluster_centers': no_decay,
            'query_table': no_decay,
            'key_table': no_decay,
            'value_table': no_decay,
            'in_norms': no_decay,
        },
    ),
)
auto_scale_lr = dict(base_batch_size=64)
