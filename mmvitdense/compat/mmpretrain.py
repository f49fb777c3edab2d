"""mmpretrain beside transformers 5.

mmdet imports mmpretrain when it is installed, and is ready for an ImportError. But with transformers >= 5 mmpretrain's
multi-modal models fail with a TypeError while they are defined, and mmdet cannot be imported. mmpretrain has a switch
for environments without those models, which looks at the lowest version of transformers only; here it looks at the
highest too.
"""

from types import ModuleType

from .import_hooks import after_import

MODULE = 'mmpretrain.utils.dependency'
_FIRST_UNSUPPORTED = 5


def register() -> None:
    after_import(MODULE, _switch_off_multimodal)


def _switch_off_multimodal(dependency: ModuleType) -> None:
    if dependency.WITH_MULTIMODAL:
        from importlib.metadata import version

        major = int(version('transformers').split('.')[0])
        dependency.WITH_MULTIMODAL = major < _FIRST_UNSUPPORTED
