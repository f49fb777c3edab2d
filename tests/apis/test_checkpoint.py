"""Weights fit, or they are refused."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from mmvitdense.apis.checkpoint import load_model_weights, read_run_checkpoint
from mmvitdense.checkpoints import CheckpointError
from mmvitdense.models import ViTCoMer
from tests.fidelity.agreement import redraw


class Net(nn.Module):
    def __init__(self, width=3, layers=1):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.norm = nn.BatchNorm1d(width)


class Renaming(Net):
    """Reads weights under the name that an older version of itself gave them."""

    def _load_from_state_dict(self, state_dict, prefix, *args):
        for key in [key for key in state_dict if key.startswith('layers.')]:
            state_dict[key.replace('layers.', 'blocks.')] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


@pytest.fixture
def save(tmp_path):
    def _save(content, name='net.pth'):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return _save


def state(net, drop=(), **more):
    return {**{key: value for key, value in net.state_dict().items() if key not in drop}, **more}


@pytest.mark.parametrize('wrap', [lambda s: s, lambda s: {'state_dict': s, 'meta': {'seed': 4}}])
def test_weights_that_fit_are_loaded(save, wrap):
    source, target = Net(), Net()
    content = load_model_weights(target, save(wrap(source.state_dict())))
    for key, value in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[key], value)
    assert content['meta'] in ({}, {'seed': 4})


def test_what_mmengine_adds_to_a_checkpoint_is_read(save):
    hub = {'log_scalars': {'loss': HistoryBuffer([1.0, 0.5], [1, 1])}, 'runtime_info': {'iter': np.int64(3)}}
    content = read_run_checkpoint(save({'state_dict': Net().state_dict(), 'message_hub': hub}))
    assert content['message_hub']['log_scalars']['loss'].current() == 0.5


def test_prefixes_of_data_parallel_are_removed(save):
    source, target = Net(), Net()
    load_model_weights(target, save({f'module.{key}': value for key, value in source.state_dict().items()}))
    torch.testing.assert_close(target.blocks[0].weight, source.blocks[0].weight)


def test_what_comes_from_the_config_may_be_missing_or_left_over(save):
    path = save(state(Net(), drop=['norm.num_batches_tracked'], **{'data_preprocessor.mean': torch.zeros(3)}))
    load_model_weights(Net(), path)


def test_a_model_may_rename_what_it_reads(save):
    source, target = Net(), Renaming()
    old = {key.replace('blocks.', 'layers.'): value for key, value in source.state_dict().items()}
    load_model_weights(target, save(old))
    torch.testing.assert_close(target.blocks[0].weight, source.blocks[0].weight)


def test_keys_that_do_not_fit_are_counted_and_named(save):
    path = save(state(Net(layers=1), drop=['norm.bias'], extra=torch.zeros(1)))
    with pytest.raises(CheckpointError) as error:
        load_model_weights(Net(layers=8), path)
    message = str(error.value)
    assert 'does not fit the model Net' in message
    assert '15 missing (blocks.1.bias, blocks.1.weight, blocks.2.bias, blocks.2.weight, blocks.3.bias, ...)' in message
    assert '1 unexpected (extra)' in message
    assert 'none of another shape' in message


def test_shapes_that_do_not_fit_are_named(save):
    with pytest.raises(CheckpointError, match=r'blocks\.0\.weight \(3x3 in the file, 4x4 in the model\)'):
        load_model_weights(Net(width=4), save(Net(width=3).state_dict()))


def test_fine_tuning_takes_what_fits_but_not_nothing(save):
    source, target = Net(layers=1), Net(layers=2)
    load_model_weights(target, save(source.state_dict()), strict=False)
    torch.testing.assert_close(target.blocks[0].weight, source.blocks[0].weight)
    with pytest.raises(CheckpointError, match='another model'):
        load_model_weights(Net(width=4), save(Net(width=3).state_dict()), strict=False)


class Payload:
    def __reduce__(self):
        return print, ('executed',)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1, 2], 'holds a list'),
        ({'state_dict': {}}, 'has no weights'),
        ({'epoch': 3}, 'holds no tensors'),
        ({'state_dict': {'a': torch.zeros(1)}, 'hook': Payload()}, 'holds more than weights .*print'),
    ],
)
def test_files_without_usable_weights(save, capsys, content, message):
    with pytest.raises(CheckpointError, match=message):
        read_run_checkpoint(save(content))
    assert 'executed' not in capsys.readouterr().out


def test_damaged_files(save, tmp_path):
    path = save({'state_dict': Net().state_dict()})
    whole = path.read_bytes()
    for name, content, message in [
        ('cut.pth', whole[: len(whole) // 2], 'cut short'),
        ('page.pth', b'<html>not found</html>', 'is a page of the web and no checkpoint'),
        ('junk.pth', b'weights', 'is a text and no checkpoint'),
        ('junk.pth', b'\x00weights\xff', 'is not a checkpoint'),
        ('empty.pth', b'', 'is an empty file'),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            read_run_checkpoint(tmp_path / name)
    with pytest.raises(CheckpointError, match='does not exist'):
        read_run_checkpoint(tmp_path / 'absent.pth')
    with pytest.raises(
        CheckpointError, match=r'is a folder; .*: it has cut\.pth, empty\.pth, junk\.pth, net\.pth, page\.pth'
    ):
        read_run_checkpoint(tmp_path)


def test_files_of_official_code_are_converted_in_memory(save):
    vit = {'embed_dims': 32, 'num_layers': 4, 'num_heads': 2, 'layer_scale_init': 1.0, 'pos_embed_cls_slot': True}
    net = nn.ModuleDict({'backbone': ViTCoMer(vit, deform_num_heads=2, conv_inplane=4)})
    official = {
        key.replace('.vit.', '.').replace('ls1.gamma', 'gamma1').replace('ls2.gamma', 'gamma2'): value
        for key, value in net.state_dict().items()
    }
    expected = {key: value.clone() for key, value in net.state_dict().items()}
    path = save({'state_dict': official})
    redraw(net)
    load_model_weights(net, path)
    for key, value in net.state_dict().items():
        assert torch.equal(value, expected[key]), key
    official['levels_of_another_model'] = torch.zeros(2)
    with pytest.raises(CheckpointError, match='It is a file of ViT-CoMer: use the config'):
        load_model_weights(net, save(official))
    with pytest.raises(CheckpointError, match='Use the config that the checkpoint was trained with'):
        load_model_weights(net, save({**net.state_dict(), 'backbone.more': torch.zeros(1)}))
