"""What `mmcv.ops.get_compiler_version` and `get_compiling_cuda_version` report; mmengine prints it at every start."""


def get_compiler_version() -> str:
    return 'none (mmcv ops by mmvitdense.compat)'


def get_compiling_cuda_version() -> str:
    return 'none (mmcv ops by mmvitdense.compat)'
