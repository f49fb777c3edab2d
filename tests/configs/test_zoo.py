"""The metafiles: what they say is complete, spelled as OpenMMLab spells it, and written into the READMEs."""

from collections import Counter

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmvitdense.apis.zoo import find_entries, list_entries, show_entry
from mmvitdense.apis.zoo_tables import write_tables
from mmvitdense.checkpoints.zoo import zoo_entries
from mmvitdense.checkpoints.zoo.entry import ACCESS
from mmvitdense.download_address import parse_address
from tests.configs.shrink import plain_vit
from tests.configs.test_configs import ROOT

ENTRIES = {entry.name: entry for entry in zoo_entries()}
PUBLISHED = [entry for entry in ENTRIES.values() if entry.access]
SPELLED = {
    'Object Detection': {'box AP'},
    'Instance Segmentation': {'mask AP'},
    'Panoptic Segmentation': {'PQ'},
    'Semantic Segmentation': {'mIoU', 'mIoU(ms+flip)'},
}


def test_tables_are_up_to_date():
    assert write_tables(write=False) == [], 'run `python tools/make_zoo_tables.py`'


def test_what_is_published():
    assert Counter(entry.family for entry in PUBLISHED) == {
        'ViTDet': 12,
        'ViT-Adapter': 28,
        'Co-DETR': 2,
        'ViT-CoMer': 7,
        'MIMDet': 6,
        'DetectionTransfer': 3,
        'EoMT': 21,
        'PMT': 7,
        'kMaX-DeepLab': 2,
        'DINOv2 linear heads': 16,
        'Plain-DETR': 1,
    }
    for entry in PUBLISHED:
        assert entry.access in ACCESS
        assert bool(entry.weights) != bool(entry.page), 'fetched by its address, or by hand'
        assert entry.results, entry.name
        assert entry.licence, entry.name
        assert entry.source, entry.name
        assert entry.metadata['Parameters'] > 1e6
        for result in entry.results:
            assert result.metrics.keys() <= SPELLED[result.task]
            assert all(10 < value < 100 for value in result.metrics.values())


def test_addresses():
    """Each has a place of its own in the cache, and the check sum of its name is the one that is written down."""
    addresses = [parse_address(entry.address) for entry in PUBLISHED if entry.weights]
    assert len({f'{address.key}-{address.name}' for address in addresses}) == len(addresses)
    assert len({address.name for address in addresses}) < len(addresses), 'names alone would meet'
    kinds = Counter(address.kind for address in addresses if address.digest)
    assert kinds == {'md5': 12, 'sha256': 1}
    for entry in PUBLISHED:
        assert entry.md5 is None or f'_{entry.md5}.' in entry.weights


@pytest.mark.parametrize('name', [entry.name for entry in PUBLISHED if entry.trunk])
def test_what_lacks_its_vit_says_where_it_is(name):
    init_cfg = plain_vit(Config.fromfile(ROOT / ENTRIES[name].config).model).init_cfg
    assert init_cfg.type == 'ViTPretrained'
    assert init_cfg.checkpoint.startswith('https://')


@pytest.mark.parametrize('name', ['vit-s-dinov2_linear_40k_ade20k-512', 'eomt-s-dinov2_panoptic_24e_coco-640'])
def test_parameters_are_those_of_the_config(name):
    config = Config.fromfile(ROOT / ENTRIES[name].config)
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.device('meta'):
        config.model.pop('data_preprocessor')
        model = MODELS.build(config.model)
    assert sum(p.numel() for p in model.parameters()) == ENTRIES[name].metadata['Parameters']


def test_search():
    def names(*words, **options):
        return {entry.name for entry in find_entries(words, **options)}

    small = names(task='instance', dataset='LVIS', max_params=150, published=True)
    assert small == {f'vitdet-b-mae_{kind}_lsj-100e_lvis-v1' for kind in ('mask-rcnn', 'cascade-mask-rcnn')}
    assert names('panoptic', 'dinov3', 'eomt', '1280') == {'eomt-l-dinov3_panoptic_12e_coco-1280'}
    assert names(access='click-through') == {
        entry.name for entry in PUBLISHED if entry.page and entry.access != 'gated'
    }
    assert all('DINOv3' in ENTRIES[name].licence for name in names(licence='dinov3'))
    assert '1 with published weights' in list_entries(find_entries(['eomt-l-dinov3_semantic']))
    shown = show_entry(ENTRIES['pmt-s-dinov3_panoptic_12e_coco-640'])
    assert 'lacks' in shown
    assert 'that of the config is fetched beside it' in shown
