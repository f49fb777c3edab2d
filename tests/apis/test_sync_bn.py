"""SyncBN outside of a process group."""

import torch
from mmengine.config import Config

from mmvitdense.apis.sync_bn import sync_bn_to_bn


def test_every_depth_and_kind_is_turned():
    cfg = Config(
        {
            'norm_cfg': {'type': 'SyncBN', 'requires_grad': True},
            'model': {
                'backbone': {'norm_cfg': {'type': 'mmdet.NaiveSyncBN', 'stats_mode': 'N', 'eps': 1e-3}},
                'heads': [
                    {'norm_cfg': {'type': 'MMSyncBN', 'group': 4}},
                    {'norm_cfg': {'type': 'GN', 'num_groups': 8}},
                ],
                'neck': {'layers': ({'norm': {'type': torch.nn.SyncBatchNorm}},)},
            },
        }
    )
    (note,) = sync_bn_to_bn(cfg)
    assert cfg.norm_cfg == {'type': 'BN', 'requires_grad': True}
    assert cfg.model.backbone.norm_cfg == {'type': 'BN', 'eps': 1e-3}
    assert cfg.model.heads == [{'norm_cfg': {'type': 'BN'}}, {'norm_cfg': {'type': 'GN', 'num_groups': 8}}]
    assert cfg.model.neck.layers[0].norm == {'type': 'BN'}
    assert '4 place' in note
    assert 'model.backbone.norm_cfg' in note


def test_nothing_to_turn_says_nothing():
    cfg = Config({'model': {'norm_cfg': {'type': 'BN'}, 'note': 'SyncBN'}})
    assert sync_bn_to_bn(cfg) == []
    assert cfg.model.note == 'SyncBN'
