"""What a model has and nothing in the file of other code confirms: one warning for each load."""

import logging

import pytest
import torch

from mmvitdense.apis.checkpoint import load_model_weights
from mmvitdense.apis.convert import convert_file
from mmvitdense.apis.weight_files import write_checkpoint
from mmvitdense.checkpoints import CheckpointError, ViTPretrained
from mmvitdense.checkpoints.files import conversion_record
from mmvitdense.checkpoints.fit import unconfirmed
from mmvitdense.models import MIMDet, PlainViT, ViTAdapter, ViTCoMer
from tests.checkpoints.test_adapters import SMALL, TIMM, in_official_names
from tests.checkpoints.test_mimdet import SMALL as MIMDET
from tests.fidelity.agreement import redraw

VIT = {'embed_dims': 192, 'num_layers': 12, 'num_heads': 3, 'feedforward_channels': 24, 'img_size': 32, 'patch_size': 8}
PLAIN = {**VIT, 'with_cls_token': True, 'final_norm': 'last'}
DETECTOR = {**VIT, 'num_layers': 8, 'pos_embed_cls_slot': True, 'rel_pos': 'decomposed'}


@pytest.fixture
def warnings(monkeypatch):
    found = []

    def note(text, level, **_):
        assert level == logging.WARNING
        found.append(text)

    for module in (unconfirmed, conversion_record):
        monkeypatch.setattr(module, 'print_log', note)
    return found


@pytest.fixture
def save(tmp_path):
    """Write weights as other code does: without a record of positions."""

    def write(weights):
        torch.save({'state_dict': dict(weights)}, tmp_path / 'official.pth')
        return tmp_path / 'official.pth'

    return write


def mimdet():
    model = redraw(MIMDet(**MIMDET))
    return model, model.state_dict()


def adapter(kind):
    model = redraw(kind(dict(TIMM), **SMALL))
    return model, in_official_names(model)


def vitdet(**options):
    model = redraw(PlainViT(**DETECTOR, **options))
    pyramid = {'backbone.simfp_4.0.weight': torch.zeros(1)}
    return model, {**{f'backbone.net.{name}': x for name, x in model.state_dict().items()}, **pyramid}


def plain(**options):
    model = redraw(PlainViT(**{**PLAIN, **options}))
    return model, model.state_dict()


CASES = {
    'decoder of MIMDet': (mimdet, ['decoder.num_heads=8 (not in the weights; the decoder of MAE']),
    'ViT-CoMer': (
        lambda: adapter(ViTCoMer),
        ['n_points=4 (the weights', 'vit_feature (', 'vit.window_size ('],
    ),
    'ViT-Adapter': (lambda: adapter(ViTAdapter), ['n_points=4 (the weights have its product', 'interaction_indexes (']),
    'global or windowed': (lambda: vitdet(window_size=4, global_blocks=()), ['window_size=4 (all tables of relative']),
    'family': (plain, ['pos_resize (that of deit', "act='gelu'"]),
}


@pytest.mark.parametrize('name', CASES)
def test_an_official_file(name, warnings, save):
    """In the words of `mmvitdense convert`, which prints them as guesses."""
    (model, weights), shown = CASES[name][0](), CASES[name][1]
    path = save(weights)
    ViTPretrained(path)(model)
    (text,) = warnings
    assert text.startswith(f'{path} (')
    assert all(part in text for part in shown)
    printed = str(convert_file(path, options={'num_heads': getattr(model, 'num_heads', 2)}))
    for line in (line for line in printed.splitlines() if line.startswith('# a guess')):
        path_of_option, _, why = line.removeprefix('# a guess: ').partition(': ')
        assert path_of_option.removesuffix(' as by default') in text
        assert why in text


def test_nothing_is_reported(warnings, save, tmp_path):
    """Options that are known, a preset, tables that decide, our own file, and one that was converted with options."""
    model, weights = adapter(ViTAdapter)
    ViTPretrained(save(weights), known=['n_points', 'vit_feature', 'window_size', 'interaction_indexes'])(model)
    model, weights = plain()
    ViTPretrained(save(weights))(PlainViT(preset='dino-base', **PLAIN))
    model, weights = vitdet(window_size=2, global_blocks=(1, 3, 5, 7))
    ViTPretrained(save(weights))(model)
    ViTPretrained(save(plain()[1]), family='deit')(plain()[0])
    torch.save({'state_dict': plain()[0].state_dict()}, tmp_path / 'own.pth')
    ViTPretrained(tmp_path / 'own.pth')(plain()[0])
    ViTPretrained(save({**plain()[1], 'masked_embed': torch.zeros(1)}), unused=['masked_embed'])(plain()[0])
    conversion = convert_file(save(plain()[1]), options={'pos_resize': {}, 'act': 'gelu'})
    write_checkpoint(conversion.weights, tmp_path / 'converted.pth', conversion.record)
    ViTPretrained(tmp_path / 'converted.pth')(plain()[0])
    assert warnings == []


def test_a_preset_of_another_family_settles_nothing(warnings, save):
    _, weights = plain()
    ViTPretrained(save(weights), allow=['preset'])(PlainViT(preset='siglip-base-patch16', **PLAIN))
    assert 'pos_resize' in warnings[0]


def test_a_family_that_the_file_is_not_of(save):
    with pytest.raises(
        CheckpointError, match=r'is of deit or mae or augreg or dino or ibot or .*, not of .clip.: leave family'
    ):
        ViTPretrained(save(plain()[1]), family='clip')(plain()[0])
    with pytest.raises(ValueError, match='family must be one of mae, .*, eva02, got'):
        ViTPretrained('file.pth', family='none')


def test_of_what_a_part_of_the_file_is_loaded(warnings, save):
    """A ViT takes its own from the file of an adapter; a holder has the guesses of its ViT under its name."""
    _, weights = adapter(ViTAdapter)
    ViTPretrained(save(weights))(PlainViT(**{**TIMM, 'img_size': 64}))
    assert 'window_size (' in warnings[0]
    assert 'n_points' not in warnings[0]


def test_a_whole_model_by_load_from(warnings, save):
    class Detector(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = MIMDet(**MIMDET)

    source = Detector()
    load_model_weights(Detector(), save(source.state_dict()))
    (text,) = warnings
    assert 'decoder.num_heads=8 (not in the weights' in text
    path = save({})
    torch.save({'state_dict': source.state_dict()}, path)  # with the record of our models
    load_model_weights(Detector(), path)
    load_model_weights(torch.nn.Linear(2, 2), save(torch.nn.Linear(2, 2).state_dict()))
    assert len(warnings) == 1
