"""What a look-up of a name imports: nobody gets a library that the name does not need."""

import pytest

PRELUDE = """
import sys
def imported(name):
    return sys.modules.get(name) is not None
"""


@pytest.fixture
def run(bare_python):
    """Run code where nothing was looked up yet."""

    def _run(code):
        done = bare_python.run(['-c', PRELUDE + code])
        assert done.returncode == 0, done.stderr[-2000:]

    return _run


def test_mmdet_is_imported_for_names_that_are_found_nowhere_else(run):
    pytest.importorskip('mmdet')
    run("""
from mmvitdense.registry import MODELS, WEIGHT_INITIALIZERS
assert WEIGHT_INITIALIZERS.get('ViTPretrained') is not None
assert MODELS.get('mmvitdense.PlainViT').__name__ == 'PlainViT'
assert MODELS.get('SimpleFeaturePyramid').__name__ == 'SimpleFeaturePyramid'
MODELS.get('BaseDataPreprocessor')
assert not imported('mmdet') and not imported('mmseg') and not imported('mmvitdense.models.detection')
assert MODELS.get('mmvitdense.Detectron2MaskHead') is not None
assert imported('mmdet') and imported('mmvitdense.models.detection') and not imported('mmseg')
assert MODELS.get('mmvitdense.NoSuchModel') is None
assert MODELS.get('mmvitdense.Mask2FormerSegHead').__module__ == 'mmvitdense.models.segmentation.mask2former_head'
""")


def test_without_mmdet_the_other_names_are_found(run):
    run("""
sys.modules['mmdet'] = None  # as if it were not installed
from mmengine.registry import MODELS
MODELS.get('mmvitdense.NoSuchModel')
assert not imported('mmvitdense.models.detection')
assert MODELS.get('mmvitdense.PlainViT').__name__ == 'PlainViT'
""")
