_base_ = ['./runtime.py', 'mmdet::_base_/default_runtime.py']

default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(type='mmvitdense.WholeCheckpointHook', by_epoch=False, interval=5000, max_keep_ckpts=2),
    repeatable=dict(type='mmvitdense.RepeatableHook'),
    finite_loss=dict(type='mmvitdense.FiniteLossHook'),
)
log_processor = dict(by_epoch=False)
