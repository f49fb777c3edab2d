"""Reading configs and changing them from the command line."""

import pytest
from mmengine.config import Config

from mmvitdense.apis.config import (
    config_name,
    load_config,
    option_notes,
    refuse_mistyped_fields,
    set_work_dir,
    unused_notes,
    with_fragments,
)
from mmvitdense.apis.errors import InputError


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'small_net.py'
    path.write_text(
        'width = 4\n'
        "model = dict(type='Net', backbone=dict(type='ViT', num_layers=2, out_indices=(1,)))\n"
        "param_scheduler = [dict(type='LinearLR', begin=0)]\n"
        "train_cfg = dict(type='IterBasedTrainLoop', max_iters=10)\n"
    )
    return path


def test_options_are_merged_at_any_depth(config):
    cfg = load_config(config, {'model.backbone.num_layers': 5, 'param_scheduler.0.begin': 7, 'randomness.seed': 3})
    assert cfg.model.backbone.num_layers == 5
    assert cfg.param_scheduler[0].begin == 7
    assert cfg.randomness.seed == 3
    assert cfg.model.backbone.type == 'ViT'


def test_an_option_may_add_a_field(config):
    assert load_config(config, {'model.backbone.window_size': 7}).model.backbone.window_size == 7


def test_a_config_object_is_left_alone(config):
    given = Config.fromfile(config)
    load_config(given, {'train_cfg.max_iters': 3})
    assert given.train_cfg.max_iters == 10


@pytest.mark.parametrize(
    ('key', 'message'),
    [
        ('trian_cfg.max_iters', "no 'trian_cfg' in the config; did you mean 'train_cfg'"),
        ('train_cfg.max_iter', "no 'max_iter' in train_cfg; did you mean 'max_iters'"),
        ('model.backbone.num_layer', "no 'num_layer' in model.backbone; did you mean 'num_layers'"),
        ('something_else', 'nothing in a run reads such a field'),
        ('param_scheduler.1.begin', 'expected a number from 0 to 0'),
        ('param_scheduler.first', 'expected a number from 0 to 0'),
    ],
)
def test_a_key_that_cannot_be_meant_is_refused(config, key, message):
    with pytest.raises(InputError, match=message):
        load_config(config, {key: 1})


def test_keys_that_differ_by_a_number_are_no_typos(tmp_path):
    path = tmp_path / 'c.py'
    path.write_text("model = dict(type='Net', stage_channels_1=4)\n")
    assert load_config(path, {'model.stage_channels_2': 8}).model.stage_channels_2 == 8


def test_a_variable_of_the_file_is_pointed_out(config):
    (note,) = option_notes({'width': 8, 'train_cfg.max_iters': 3})
    assert 'width' in note
    assert load_config(config, {'width': 8}).width == 8
    assert option_notes({'train_cfg.max_iters': 3}) == option_notes(None) == []


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        (dict(tta_model=dict(type='SegTTAModel')), ['tta_model: not used', '--tta predicts several']),
        (dict(tta_model=dict(type='SegTTAModel'), tta_pipeline=[]), ['tta_model, tta_pipeline: not used']),
        (dict(strategy=dict(type='DDPStrategy')), ['strategy: not used', 'FlexibleRunner']),
        (
            dict(optimizer=dict(type='SGD'), optim_wrapper=dict(optimizer=dict(type='AdamW'))),
            ['optim_wrapper.optimizer'],
        ),
        (dict(lr_config=dict(policy='poly')), ['lr_config: not used', 'param_scheduler']),
        (dict(total_epochs=12), ['train_cfg.max_epochs']),
        (dict(strategy=dict(type='DDPStrategy'), runner_type='FlexibleRunner'), None),
        (dict(optimizer=dict(lr=1), optim_wrapper=dict(optimizer=dict(lr=1))), None),
        (dict(train_pipeline=[], test_pipeline=[], num_classes=3, norm_cfg=dict(type='BN'), tta_model=None), None),
    ],
)
def test_fields_that_nothing_reads_are_pointed_out(fields, words):
    notes = unused_notes(Config(fields), tta=False)
    assert len(notes) == (words is not None)
    assert all(word in notes[0] for word in words or ())
    if 'tta_model' in fields:
        assert unused_notes(Config(fields)) == unused_notes(Config(fields), tta=True) == []


@pytest.mark.parametrize(
    ('name', 'meant'),
    [('val_evalutor', 'val_evaluator'), ('optim_wraper', 'optim_wrapper'), ('trian_cfg', 'train_cfg')],
)
def test_a_field_that_is_mistyped_in_the_file_is_refused(name, meant):
    with pytest.raises(InputError, match=f"{name!r}; did you mean '{meant}'"):
        refuse_mistyped_fields(Config({name: dict(type='A')}))


def test_variables_of_a_config_are_no_mistyped_fields():
    part = dict(type='A', b=1)
    names = ('test_pipeline', 'train_pipeline', 'image_size', 'num_classes', 'norm_cfg', 'val_evaluator_abs', 'env')
    refuse_mistyped_fields(Config(dict.fromkeys(names, 1)))
    refuse_mistyped_fields(Config(dict(val_evaluators=part, val_evaluator=dict(metrics=[part]))))


def test_names_find_the_configs_of_the_package():
    cfg = load_config('mmvitdense::quickstart/vit-tiny_upernet_shapes.py')
    assert cfg.model.backbone.type == 'mmvitdense.PlainViT'


def test_a_missing_config_names_its_neighbour(config):
    with pytest.raises(InputError, match=r'smal_net\.py does not exist; did you mean .*small_net\.py'):
        load_config(config.with_name('smal_net.py'))
    with pytest.raises(InputError, match='does not exist'):
        load_config('mmvitdense::quickstart/nothing_like_it.py')


def test_a_file_of_another_kind_is_no_config(tmp_path):
    path = tmp_path / 'notes.txt'
    path.write_text('x')
    with pytest.raises(InputError, match='is not a config'):
        load_config(path)


def test_work_dir(config, tmp_path):
    cfg = load_config(config)
    set_work_dir(cfg, None, config)
    assert cfg.work_dir == 'work_dirs/small_net'
    set_work_dir(cfg, None, config)
    assert cfg.work_dir == 'work_dirs/small_net'
    set_work_dir(cfg, str(tmp_path / 'here'), config)
    assert cfg.work_dir == str(tmp_path / 'here')
    with pytest.raises(InputError, match='is a file'):
        set_work_dir(cfg, str(config), config)


def test_config_name(config):
    assert config_name(config) == config_name(str(config)) == config_name(Config.fromfile(config)) == 'small_net'
    assert config_name('mmvitdense::vitdet/some-net.py') == 'some-net'


def test_fragments_are_merged_in_their_order(tmp_path):
    files = [tmp_path / name for name in ('one.py', 'two.py')]
    files[0].write_text("model = dict(backbone=dict(depth=3))\nmodel_wrapper_cfg = dict(type='A')\n")
    files[1].write_text('model_wrapper_cfg = dict(_delete_=True, b=1)\n')
    config = Config({'model': {'type': 'M', 'backbone': {'depth': 2, 'width': 4}}})
    merged = with_fragments(config, files)
    assert merged.model == {'type': 'M', 'backbone': {'depth': 3, 'width': 4}}
    assert merged.model_wrapper_cfg == {'b': 1}
    assert config.model.backbone.depth == 2
    assert load_config('mmvitdense::_base_/fsdp.py').model_wrapper_cfg.type == 'mmvitdense.FullyShardedModel'
    with pytest.raises(InputError, match=r'three\.py does not exist'):
        with_fragments(config, [tmp_path / 'three.py'])
