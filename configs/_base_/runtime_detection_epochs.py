_base_ = ['./runtime.py', 'mmdet::_base_/default_runtime.py']

default_hooks = dict(
    checkpoint=dict(type='mmvitdense.WholeCheckpointHook', max_keep_ckpts=2),
    repeatable=dict(type='mmvitdense.RepeatableHook'),
    finite_loss=dict(type='mmvitdense.FiniteLossHook'),
)
