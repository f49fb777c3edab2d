"""What a look-up of a name imports: nobody gets a library that the name does not need."""

import subprocess
import sys

import pytest

PRELUDE = """
import sys
def imported(name):
    return sys.modules.get(name) is not None
"""


def run(code):
    """Run code in a fresh interpreter."""
    done = subprocess.run([sys.executable, '-c', PRELUDE + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_mmdet_is_imported_for_names_that_are_found_nowhere_else():
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


def test_without_mmdet_the_other_names_are_found():
    run("""
sys.modules['mmdet'] = None  # as if it were not installed
from mmengine.registry import MODELS
MODELS.get('mmvitdense.NoSuchModel')
assert not imported('mmvitdense.models.detection')
assert MODELS.get('mmvitdense.PlainViT').__name__ == 'PlainViT'
""")
