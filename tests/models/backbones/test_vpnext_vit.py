"""The suite of backbones for VPNeXt's; what it computes is in `segmentation/test_vpnext.py`."""

from mmvitdense.models import VPNeXtViT
from tests.models.suite import BackboneSuite

from .test_vit_taps import OF_THE_VIT, VIT


class TestVPNeXtViT(BackboneSuite):
    model_class = VPNeXtViT
    patch_size = 14
    trunk = 'vit.'
    # The image, three times padded, is a large part of what so small a model keeps.
    kept_when_recomputing = 0.7
    variants = {'dense-by-two': {'vit': VIT, 'out_indices': (1, 3), 'steps': (2,), 'norm': True}}
    compiled = exported = {
        'dense-by-two': {**variants['dense-by-two'], 'vit': {**VIT, 'num_layers': 2}, 'out_indices': (0, 1)}
    }

    def build(self, options):
        """With options of the ViT that the suite gives."""
        of_vit = {name: options[name] for name in OF_THE_VIT if name in options}
        others = {name: value for name, value in options.items() if name not in of_vit}
        return super().build({**others, 'vit': {**options['vit'], **of_vit}})

    def shapes(self, options, batch, size):
        """The dense map has two cells to each of the others, also where the image ends within a patch."""
        rows, columns = (-(-side // 14) for side in size)
        return [(batch, 32, rows, columns)] * 2 + [(batch, 32, 2 * rows, 2 * columns)]
