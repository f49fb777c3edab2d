# Weights, gradients and the state of the optimizer are split among the processes of a training (FSDP), for large ViTs:
# torchrun --nproc_per_node N tools/train.py CONFIG configs/_base_/fsdp.py --launcher pytorch
model_wrapper_cfg = dict(type='mmvitdense.FullyShardedModel')
