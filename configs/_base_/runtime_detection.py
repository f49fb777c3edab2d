_base_ = ['./runtime.py', 'mmdet::_base_/default_runtime.py']

default_hooks = dict(
    logger=dict(interval=50, log_metric_by_epoch=False),
    checkpoint=dict(type='mmvitdense.WholeCheckpointHook', by_epoch=False, interval=5000, max_keep_ckpts=2),
    repeatable=dict(type='mmvitdense.RepeatableHook'),
    finite_loss=dict(type='mmvitdense.FiniteLossHook'),
    work_dir=dict(type='mmvitdense.WorkDirHook'),
    processes=dict(type='mmvitdense.ProcessesHook', loader_timeout=600),
)
env_cfg = dict(dist_cfg=dict(timeout=600))
log_processor = dict(by_epoch=False)
