"""Pages of a mapped file are given back, and the tensors of the file stay what they are."""

import re
import sys
from pathlib import Path

import pytest
import torch

from mmvitdense.checkpoints import initializer, read_checkpoint
from mmvitdense.checkpoints.files.file_pages import FilePages
from mmvitdense.checkpoints.files.safetensors_writing import write_safetensors
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import redraw

linux = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='pages are given back on Linux alone')


def resident(path):
    """Bytes of a file that are in the memory of this process."""
    total, counted = 0, False
    for line in Path('/proc/self/smaps').read_text().splitlines():
        if re.match(r'^[0-9a-f]+-[0-9a-f]+ ', line):
            counted = line.endswith(str(path))
        elif counted and line.startswith('Rss:'):
            total += 1024 * int(line.split()[1])
    return total


@pytest.fixture
def weights():
    return {'a': torch.randn(1000, 1000), 'b': torch.randn(1000, 500)}


@linux
def test_memory_falls_and_the_values_stay(tmp_path, weights):
    path = tmp_path / 'weights.pth'
    torch.save(weights, path)
    read = read_checkpoint(path)
    assert torch.equal(read['a'], weights['a'])
    assert resident(path) > 4_000_000
    FilePages(path, read.values()).release()
    assert resident(path) < 100_000
    assert all(torch.equal(read[name], weights[name]) for name in weights)


@linux
def test_parts_of_an_index(tmp_path, weights):
    """Those of all files fall."""
    dtypes = dict.fromkeys(weights, torch.float32)
    index, *parts = write_safetensors(tmp_path / 'w.safetensors', weights, weights.items(), dtypes, shard_size=1)
    assert len(parts) == 2
    read = read_checkpoint(index)
    assert all(torch.equal(read[name], weights[name]) for name in weights)
    assert sum(resident(part) for part in parts) > 5_000_000
    FilePages(index, read.values()).release()
    assert sum(resident(part) for part in parts) < 100_000
    assert all(torch.equal(read[name], weights[name]) for name in weights)


@pytest.mark.parametrize('kind', ['legacy', 'safetensors'])
def test_files_of_other_kinds(tmp_path, weights, kind):
    if kind == 'safetensors':
        path = tmp_path / 'weights.safetensors'
        pytest.importorskip('safetensors.torch').save_file(weights, path)
    else:
        path = tmp_path / 'weights.pth'
        torch.save(weights, path, _use_new_zipfile_serialization=False)
    read = read_checkpoint(path)
    FilePages(path, read.values()).release()
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_no_such_file(tmp_path, weights):
    FilePages(tmp_path / 'nothing.pth', weights.values()).release()


def test_mappings_of_others_stay_as_they_are(tmp_path):
    """Whoever mapped the file may have written to their tensors, which giving back all of its pages would undo."""
    sizes = {'embed_dims': 48, 'num_layers': 1, 'num_heads': 3, 'img_size': 32}
    path = tmp_path / 'vit.pth'
    torch.save(redraw(PlainViT(**sizes)).state_dict(), path)
    theirs = torch.load(path, mmap=True, weights_only=True)
    theirs['pos_embed'].zero_()
    model = PlainViT(**sizes, init_cfg={'type': 'ViTPretrained', 'checkpoint': str(path)})
    model.init_weights()
    assert not theirs['pos_embed'].any()
    assert model.pos_embed.any()


@linux
def test_loading_never_holds_the_whole_file(tmp_path, monkeypatch):
    """Nor after the loading anything of it."""
    monkeypatch.setattr(initializer, '_CHUNK_BYTES', 200_000)
    sizes = {'embed_dims': 192, 'num_layers': 4, 'num_heads': 3, 'img_size': 32}
    source = redraw(PlainViT(**sizes))
    path = tmp_path / 'vit.pth'
    torch.save(source.state_dict(), path)
    seen = []
    model = PlainViT(**sizes, init_cfg={'type': 'ViTPretrained', 'checkpoint': str(path)})
    load = PlainViT.load_state_dict

    def watch(*arguments, **options):
        result = load(*arguments, **options)
        seen.append(resident(path))
        return result

    monkeypatch.setattr(PlainViT, 'load_state_dict', watch)
    model.init_weights()
    assert len(seen) > 5
    assert max(seen) < path.stat().st_size / 2
    assert resident(path) < 100_000
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in source.state_dict().items())
