"""What others add needs no edit in `checkpoints`: a format, a ViT with more parts, a model that holds one."""

import pytest
import torch
from torch import nn

from mmvitdense.checkpoints import FORMATS, CheckpointError, ViTPretrained, fit_to_model, formats
from mmvitdense.checkpoints.formats import detect
from mmvitdense.layers import HoldsViT
from mmvitdense.models import PlainViT
from mmvitdense.pretrainings import PRETRAININGS
from tests.fidelity.agreement import redraw

SMALL = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 24, 'patch_size': 8, 'img_size': 32}
ANOTHER = '''"""A layout of nobody."""

from mmvitdense.checkpoints.formats.contract import Format

FORMAT = Format(
    name='Nobody ViT',
    about=__doc__,
    matches=lambda state_dict: 'nobody/pos_embed' in state_dict,
    convert=lambda state_dict: {name.removeprefix('nobody/').replace('/', '.'): x for name, x in state_dict.items()},
    families=lambda state_dict: ('augreg',),
)
'''


def test_another_format_is_one_file(tmp_path, monkeypatch):
    (tmp_path / 'nobody.py').write_text(ANOTHER)
    monkeypatch.setattr(formats, '__path__', [*formats.__path__, str(tmp_path)])
    monkeypatch.setattr(detect, 'FORMATS', tuple(detect._find_formats(formats.__name__)))
    vit = PlainViT(**SMALL, with_cls_token=True, final_norm='last')
    weights = {f'nobody/{name}'.replace('.', '/'): tensor for name, tensor in vit.state_dict().items()}
    form = detect.detect(weights)
    assert form.name == 'Nobody ViT'
    assert form.options(weights, num_heads=2)['pos_resize'] == PRETRAININGS['augreg'].options['pos_resize']


@pytest.mark.parametrize('form', FORMATS, ids=lambda form: form.name)
def test_names_are_unique_and_say_what_they_are(form):
    assert [other.name for other in FORMATS].count(form.name) == 1
    assert form.about.splitlines()[0].endswith(('.', ','))


class WithDecoder(PlainViT):
    """A ViT with a part that MIMDet has too."""

    def __init__(self, **options):
        super().__init__(**options)
        self.decoder = nn.Linear(16, 4)


class Lifted(HoldsViT, nn.Module):
    """A ViT with a layer behind it."""

    def __init__(self):
        super().__init__()
        self.vit = PlainViT(**SMALL, with_cls_token=True)
        self.lift = nn.Linear(16, 16)


def test_a_vit_with_a_part_called_decoder(tmp_path):
    source = redraw(PlainViT(**SMALL, with_cls_token=True)).state_dict()
    torch.save({**source, 'head.weight': torch.zeros(3, 16)}, tmp_path / 'vit.pth')
    model = WithDecoder(**SMALL, with_cls_token=True)
    ViTPretrained(tmp_path / 'vit.pth', as_initialized=['decoder'])(model)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in source.items())


class TestHolder:
    def test_takes_a_whole_file_and_refuses_others(self):
        source, model = redraw(Lifted()).state_dict(), Lifted()
        kept, report = fit_to_model(source, model)
        model.load_state_dict(kept)
        assert report.loaded == len(source)
        assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in source.items())
        with pytest.raises(CheckpointError, match=r'holds a plain ViT, not a Lifted: give it to the ViT inside'):
            fit_to_model(model.vit.state_dict(), model)
        with pytest.raises(CheckpointError, match=r'not those of this Lifted: the checkpoint lacks 2, first lift'):
            fit_to_model({name: x for name, x in source.items() if 'lift' not in name}, model)

    def test_a_plain_vit_takes_its_own(self):
        source, vit = redraw(Lifted()).state_dict(), PlainViT(**SMALL, with_cls_token=True)
        kept, report = fit_to_model(source, vit)
        vit.load_state_dict(kept)
        assert report.left_over == ['lift.weight', 'lift.bias']
