"""The registries of this package: scope ``mmvitdense``, children of mmengine's.

Classes register with ``@MODELS.register_module()``; a config of any OpenMMLab library names them
``mmvitdense.Name``. The modules that hold them are imported at the first look-up.
"""

from mmengine import registry as root
from mmengine.registry import Registry

_SCOPE = 'mmvitdense'

# Looking up a model also makes the init_cfg types of checkpoints known.
MODELS = Registry('model', parent=root.MODELS, scope=_SCOPE, locations=['mmvitdense.models', 'mmvitdense.checkpoints'])
WEIGHT_INITIALIZERS = Registry(
    'weight initializer', parent=root.WEIGHT_INITIALIZERS, scope=_SCOPE, locations=['mmvitdense.checkpoints']
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=root.OPTIM_WRAPPER_CONSTRUCTORS,
    scope=_SCOPE,
    locations=['mmvitdense.engine'],
)
DATASETS = Registry('dataset', parent=root.DATASETS, scope=_SCOPE, locations=['mmvitdense.datasets'])
