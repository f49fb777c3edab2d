"""Weights that are split among two processes are trained, saved and resumed as whole ones of one process are."""

import shutil

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mmvitdense.models.backbones import PlainViT
from tests.reliability.same_runs import assert_same, flat, last_checkpoint, logged

from .tiny_runs import run, train

pytestmark = pytest.mark.skipif(
    not hasattr(torch.distributed, 'fsdp') or torch.__version__ < '2.7', reason='fully_shard came with torch 2.7'
)


class Images:
    """Eight images of noise, without augmentation."""

    metainfo = {'classes': ('one',)}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {'inputs': torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(index))}


class SmallViT(BaseModel):
    """A ViT of three blocks, the first frozen, of widths that two processes cannot share evenly, and a head."""

    def __init__(self):
        super().__init__()
        self.backbone = PlainViT(
            *(), img_size=16, patch_size=8, embed_dims=15, num_layers=3, num_heads=3, feedforward_channels=31,
            out_indices=(2,), frozen_stages=1, with_cp=True,
        )  # fmt: skip
        self.head = nn.Conv2d(15, 3, 1)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.unused = nn.Linear(2, 2)

    def forward(self, inputs, mode='loss'):
        (features,) = self.backbone(torch.stack(list(inputs)))
        found = self.head(features) * self.scale
        if mode == 'predict':
            return [{'drawn': 0.0}]
        return {'loss': (found - 0.5).square().mean()}


def settings(folder, sharded, batch, **other):
    torch.manual_seed(0)
    wrapper = {'type': 'MMDistributedDataParallel', 'device_ids': None, 'find_unused_parameters': True}
    return {
        'work_dir': str(folder), 'loop': 'iter', 'workers': 0, 'length': 7, 'save': 5, 'accumulate': 2,
        'validate': False, 'lr': 0.01, 'model': SmallViT(), 'dataset': Images(), 'batch_size': batch,
        'wrapper': {'type': 'mmvitdense.FullyShardedModel'} if sharded else wrapper,
        'optim': {
            'constructor': 'mmvitdense.LayerDecayOptimWrapperConstructor',
            'paramwise_cfg': {'layer_decay_rate': 0.5},
            'clip_grad': {'max_norm': 0.05},
        },
        **other,
    }  # fmt: skip


def assert_close(found, expected):
    for key in ('state_dict', 'optimizer', 'gradients'):
        left, right = flat(found.get(key, {})), flat(expected.get(key, {}))
        assert left.keys() == right.keys(), key
        for place, value in right.items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(left[place], value, rtol=1e-4, atol=1e-5, msg=f'{key}{place}')
            else:
                assert left[place] == value, place
    ours, theirs = logged(found), logged(expected)
    assert ours.keys() == theirs.keys()
    assert {'train/loss', 'train/grad_norm'} <= ours.keys()
    for name in theirs.keys() - {'train/loss'}:  # of the first process alone
        values = theirs[name]
        assert ours[name] == pytest.approx(values, rel=1e-4), name


def test_as_one_process_and_resumed(tmp_path):
    train(**settings(tmp_path / 'one', False, 4))
    whole = last_checkpoint(tmp_path / 'one')
    assert run(settings(tmp_path / 'two', True, 2), 2) == [0, 0]
    assert_close(last_checkpoint(tmp_path / 'two'), whole)
    # Gone on with from the checkpoint before the last, with gradients that wait for a step.
    shutil.copytree(tmp_path / 'two', tmp_path / 'again')
    (tmp_path / 'again' / 'last_checkpoint').write_text(str(tmp_path / 'again' / 'iter_5.pth'))
    assert last_checkpoint(tmp_path / 'again')['gradients']
    assert run(settings(tmp_path / 'again', True, 2, resume=True), 2) == [0, 0]
    assert_same(last_checkpoint(tmp_path / 'again'), last_checkpoint(tmp_path / 'two'))
