"""Models by name: official files of each family, served as they are published, converted as they are loaded."""

import io
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import save

from mmvitdense.apis import find_model, load_model, run_demo
from mmvitdense.apis.errors import InputError, run_tool
from mmvitdense.apis.test import evaluate_model
from mmvitdense.checkpoints import CheckpointError
from mmvitdense.checkpoints.zoo import zoo_entries
from mmvitdense.checkpoints.zoo.files import FOLDER
from tests.apis.small_zoo import REPOSITORY, SmallZoo
from tests.checkpoints.test_adapters import in_official_names
from tests.checkpoints.test_mask_transformer_files import (
    OF_TIMM,
    eomt_file,
    eomt_trunk,
    eomt_trunk_of,
    pmt_file,
    renamed,
)
from tests.checkpoints.test_mimdet import official as mimdet_file
from tests.configs.shrink import plain_vit, shrink
from tests.integration.test_detectron2_checkpoint import official_weights, small_config

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

VITDET = 'vitdet-b-mae_mask-rcnn_lsj-100e_coco'
LINEAR = 'vit-s-dinov2_linear_40k_ade20k-512'
ADE20K = 'eomt-l-dinov2_panoptic_31e_ade20k-640'
PUBLISHED = {entry.name: entry for entry in zoo_entries()}


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zoo = SmallZoo(tmp_path, monkeypatch)
    yield zoo
    zoo.close()


def saved(content):
    torch.save(content, buffer := io.BytesIO())
    return buffer.getvalue()


def small(name, shapes_root, keep_trunk=False):
    config = Config.fromfile(REPOSITORY / 'configs' / PUBLISHED[name].config)
    init_cfg = plain_vit(config.model).get('init_cfg')
    config = shrink(config, shapes_root)
    config.test_dataloader, config.test_evaluator = config.val_dataloader, config.val_evaluator
    if keep_trunk:
        plain_vit(config.model).init_cfg = dict(init_cfg)
    return config


def assert_loaded(model, expected):
    found, expected = model.state_dict(), expected.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert 'num_batches_tracked' in name or torch.equal(found[name], value), name


def whole(model, backbone):
    """An official file of a detector or segmentor: the names of the backbone, and the heads as ours are."""
    state = {f'backbone.{name}': value for name, value in backbone(model.backbone).items()}
    return {**state, **{name: x for name, x in model.state_dict().items() if not name.startswith('backbone.')}}


def test_detectron2(zoo, shapes_root, tmp_path):
    """Fetched by name, checked by its MD5 sum, converted, evaluated; the options of the command line as always."""
    config = small_config('mask-rcnn')
    config.test_dataloader.dataset.data_root = config.val_dataloader.dataset.data_root = str(shapes_root)
    config.test_evaluator.ann_file = str(shapes_root / 'annotations' / 'instances_validation.json')
    official = official_weights(cascade=False)
    zoo.add(VITDET, config)
    zoo.publish(VITDET, pickle.dumps({'model': official, '__author__': 'a test'}))
    metrics = evaluate_model(VITDET, work_dir=str(tmp_path / 'work'))
    assert metrics.keys() >= {'coco/bbox_mAP', 'coco/segm_mAP'}
    image = next((shapes_root / 'images' / 'validation').iterdir())
    assert run_demo(image, VITDET, out_dir=tmp_path / 'seen', device='cpu') == 0
    assert (tmp_path / 'seen' / 'predictions.json').is_file()
    found = find_model(VITDET, cfg_options={'model.test_cfg.rcnn.max_per_img': 3})
    assert re.search(r'[0-9a-f]{8}-model_final_[0-9a-f]{6}\.pkl$', found.checkpoint)
    assert found.config.model.test_cfg.rcnn.max_per_img == 3
    assert (found.name, found.entry.name) == (VITDET, VITDET)
    model = load_model(f'{VITDET}.py', device='cpu')
    assert not model.training
    assert len(model.dataset_meta['classes']) == 5
    name = 'backbone.net.blocks.0.attn.qkv.weight'
    assert torch.equal(model.backbone.blocks[0].attn.qkv.weight, torch.from_numpy(official[name]))
    for other in (
        f'mmvitdense::vitdet/{VITDET}.py',
        f'vitdet/{VITDET}',
        zoo.folder / 'configs' / f'vitdet/{VITDET}.py',
    ):
        assert find_model(other).checkpoint == found.checkpoint


@pytest.mark.parametrize(
    ('name', 'wrap'),
    [
        ('vit-adapter-t-deit_mask-rcnn_ms-3x_coco', lambda name, content: content),
        ('vit-adapter-t-deit_upernet_160k_ade20k-512', lambda name, content: zipped(name, content)),
        ('vit-comer-t-deit_upernet_160k_ade20k-512', None),
    ],
)
def test_adapters(zoo, shapes_root, monkeypatch, name, wrap):
    """A `.pth.tar`, which is no tar, an archive around one, and a file that a browser has fetched."""
    expected = zoo.add(name, small(name, shapes_root))
    content = saved({'meta': {'epoch': 36}, 'state_dict': whole(expected, in_official_names)})
    if wrap:
        zoo.publish(name, wrap(name, content))
    else:
        with pytest.raises(CheckpointError, match=r'open https://pan\.baidu\.com/s/\S+ in a browser and give the code'):
            find_model(name)
        Path('by_hand').mkdir()
        Path('by_hand', f'{name}.pth').write_bytes(content)
        assert_loaded(load_model(name, f'by_hand/{name}.pth', device='cpu'), expected)
        monkeypatch.setenv(FOLDER, 'by_hand')
    assert_loaded(load_model(name, device='cpu'), expected)


def zipped(name, content):
    with zipfile.ZipFile(buffer := io.BytesIO(), 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f'{name}.pth.tar', content)
    return buffer.getvalue()


def test_generations_of_mimdet(zoo, shapes_root):
    """Files of one name at two addresses do not meet, and one that is given for the other is named."""
    names = ['mimdet-b-mae_mask-rcnn_sr050-3x_coco', 'mimdet-b-mae_mask-rcnn_sr050-mask-token-3x_coco']
    assert len({zoo.entries[name].weights.rpartition('/')[2] for name in names}) == 1
    models = {}
    for name in names:
        models[name] = zoo.add(name, small(name, shapes_root))
        zoo.publish(name, saved({'state_dict': whole(models[name], mimdet_file)}))
    for name in names:
        assert_loaded(load_model(name, device='cpu'), models[name])
    with pytest.raises(
        CheckpointError, match=r"a file of MIMDet, of release 1\.0\.0 .*fill='mask_token': use the config"
    ):
        load_model(names[0], names[1], device='cpu')


def test_differences_decoders_and_their_trunk(zoo, shapes_root, monkeypatch):
    """EoMT on DINOv3 and PMT: the ViT comes from its own address, or from the file that is given."""
    eomt, pmt = 'eomt-s-dinov3_panoptic_24e_coco-640', 'pmt-s-dinov3_panoptic_12e_coco-640'
    models = {name: zoo.add(name, small(name, shapes_root, keep_trunk=True)) for name in (eomt, pmt)}
    address = plain_vit(small(eomt, shapes_root, keep_trunk=True).model).init_cfg.checkpoint
    assert address == plain_vit(small(pmt, shapes_root, keep_trunk=True).model).init_cfg.checkpoint
    content = eomt_file(models[eomt].backbone, 'dinov3', 0.25)
    zoo.publish(eomt, saved(content))
    zoo.publish(pmt, saved(pmt_file(models[pmt].backbone, 'dinov3', with_vit=False)))
    with pytest.raises(
        CheckpointError, match=rf'\(EoMT\) needs the ViT that it was made with, .*{address} .*--trunk FILE'
    ):
        load_model(eomt, device='cpu')
    torch.save(eomt_trunk(models[eomt].backbone, 0.25), 'dinov3.pth')
    assert_close(load_model(eomt, device='cpu', trunk='dinov3.pth'), models[eomt])
    with pytest.raises(InputError, match='leave out --trunk'):
        load_model(eomt, saved_to('own.pth', models[eomt].state_dict()), device='cpu', trunk='dinov3.pth')
    zoo.serve(address, save(eomt_trunk_of(models[pmt].backbone)))
    assert_close(load_model(pmt, device='cpu'), models[pmt])


def saved_to(path, content):
    torch.save(content, path)
    return path


def assert_close(model, expected):
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, msg=lambda text, name=name: f'{name}: {text}')


def test_classes_of_ade20k_in_the_order_of_the_config(zoo, shapes_root):
    """The official code mixes things and stuff; mmdet has things first."""
    from mmdet.datasets.ade20k import ADE20KPanopticDataset
    from mmseg.datasets import ADE20KDataset

    name = ADE20K
    model = zoo.add(name, small(name, shapes_root))
    official = eomt_file(model.backbone, 'dinov2')
    zoo.publish(name, saved(official))
    found = load_model(name, device='cpu').backbone.head.cls_embed.weight
    rows = official['network.class_head.weight']
    ours, theirs = ADE20KPanopticDataset.METAINFO['classes'], [c.strip() for c in ADE20KDataset.METAINFO['classes']]
    same = [(place, theirs.index(label)) for place, label in enumerate(ours) if theirs.count(label) == 1]
    assert len(same) > 90
    assert all(torch.equal(found[place], rows[other]) for place, other in same)
    assert torch.equal(found[150], rows[150])
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, rows.tolist()))


def test_a_head_and_its_trunk(zoo, shapes_root, tmp_path):
    """DINOv2's linear head is joined to the ViT of the config, and evaluated by its name."""
    config = small(LINEAR, shapes_root, keep_trunk=True)
    shapes = Config.fromfile(REPOSITORY / 'configs' / '_base_' / 'datasets' / 'shapes_segmentation.py')
    config.test_dataloader, config.test_evaluator = shapes.test_dataloader, shapes.test_evaluator
    config.test_dataloader.dataset.data_root = str(shapes_root)
    config.model.decode_head.num_classes = 6
    model = zoo.add(LINEAR, config)
    vit = renamed(model.backbone.vit.state_dict(), OF_TIMM)
    zoo.serve(plain_vit(config.model).init_cfg.checkpoint, saved(vit))
    zoo.publish(LINEAR, saved({'state_dict': {n: x for n, x in model.state_dict().items() if n.startswith('decode')}}))
    assert 'mIoU' in evaluate_model(LINEAR, work_dir=str(tmp_path / 'work'))
    assert_loaded(load_model(LINEAR, device='cpu'), model)


def test_random_weights_need_no_network():
    """A file that the ViT would start from is not asked for."""
    config = small_config('mask-rcnn')
    config.model.backbone.init_cfg = dict(type='ViTPretrained', checkpoint='https://example.com/none.pth')
    torch.manual_seed(0)
    model = load_model(config, 'random', device='cpu')
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert model.backbone.blocks[0].attn.qkv.weight.std() > 0
    assert config.model.backbone.init_cfg.checkpoint.endswith('none.pth')


def test_what_people_type(zoo, shapes_root, capsys, monkeypatch):
    """One sentence each, and what is wrong with a file leaves nothing of it."""
    zoo.add(VITDET, small_config('mask-rcnn'))
    zoo.add('vitdet-b-mae_atss_lsj-100e_coco', small_config('mask-rcnn'))

    def said(*given):
        assert run_tool(lambda: find_model(*given) and 0) == 2
        text = capsys.readouterr().err
        assert text.startswith('error: ')
        assert text.count('\n') == 1
        return text

    assert f"that is called 'vitdet-b-mae_mask-rcn'; did you mean {VITDET}" in said('vitdet-b-mae_mask-rcn')
    assert '`mmvitdense zoo` lists all that there are.' in said('resnet')
    assert 'configs is a folder; expected a config file or a name of the zoo' in said('project/configs')
    assert 'config configs/none.py does not exist' in said('configs/none.py')
    assert 'No weights are published for vitdet-b-mae_atss' in said('vitdet-b-mae_atss_lsj-100e_coco')
    assert 'The checkpoint none.pth does not exist' in said(VITDET, 'none.pth')
    assert 'The checkpoint none.pth does not exist' in said('none.pth')
    assert f'no model of the zoo that are called {VITDET[:-1]!r}; did you mean {VITDET}' in said(VITDET, VITDET[:-1])
    assert 'The name of the model is empty' in said('')
    Path('mine.py').write_text(f"_base_ = '{zoo.folder}/configs/vitdet/{VITDET}.py'")
    assert 'mine is a config of your own, so that no weights are published for it: give the weights' in said('mine.py')
    zoo.publish(VITDET, b'first')
    path = Path(zoo.served, find_entry(VITDET).weights.removeprefix('https://'))
    path.write_bytes(b'second')
    assert 'is not the file that was published: its MD5 sum begins with' in said(VITDET)
    path.unlink()
    assert '404 File not found' in said(VITDET)
    monkeypatch.setenv('MMVITDENSE_OFFLINE', '1')
    assert 'is not fetched, because the environment variable MMVITDENSE_OFFLINE is set' in said(VITDET)
    assert [file for file in Path('torch/hub/checkpoints').iterdir() if file.suffix != '.lock'] == []


def find_entry(name):
    return next(entry for entry in zoo_entries() if entry.name == name)


class TestCheckpointsWithTheirConfig:
    TEXT = Config(
        {
            'default_scope': 'mmseg',
            'custom_imports': {'imports': ['mmvitdense']},
            'model': {
                'type': 'EncoderDecoder',
                'backbone': {'type': 'mmvitdense.PlainViT', 'embed_dims': 8, 'num_layers': 1, 'num_heads': 1},
                'decode_head': {'type': 'FCNHead', 'in_channels': 8, 'channels': 4, 'num_classes': 2, 'num_convs': 0},
            },
            'test_cfg': None,
            'scale': (2, float('inf')),
        }
    )

    def save(self, text, tmp_path):
        torch.save({'state_dict': {'a': torch.zeros(1)}, 'meta': {'cfg': text}}, tmp_path / 'iter_1.pth')
        return tmp_path / 'iter_1.pth'

    def test_read_as_values(self, tmp_path):
        path = self.save(self.TEXT.pretty_text, tmp_path)
        found = find_model(path, cfg_options={'model.backbone.num_layers': 2})
        expected = self.TEXT.to_dict()
        expected['model']['backbone']['num_layers'] = 2
        assert found.config.to_dict() == expected
        assert (found.checkpoint, found.entry) == (str(path), None)

    @pytest.mark.parametrize(
        ('more', 'words'),
        [
            ("import os\nos.remove('{victim}')", 'cannot be read as plain values .*is no assignment'),
            ("gone = open('{victim}', 'w')", 'cannot be read as plain values .*calls a function'),
            ("model = dict(type='os.remove', path='{victim}')", r'names os\.remove, which is registered nowhere'),
            ("custom_imports = dict(imports=['this'])", 'its config imports this, which would be run'),
            ("default_scope = 'nothing'", "no library 'nothing' is installed"),
        ],
    )
    def test_nothing_of_it_is_run(self, tmp_path, more, words):
        victim = tmp_path / 'victim'
        victim.write_text('kept')
        path = self.save(f'{self.TEXT.pretty_text}\n{more.format(victim=victim)}', tmp_path)
        with pytest.raises((CheckpointError, InputError), match=words):
            find_model(path)
        assert victim.read_text() == 'kept'

    def test_none_in_it(self, tmp_path):
        with pytest.raises(
            CheckpointError, match=r'holds no config, as those of `mmvitdense train` do: give the config'
        ):
            find_model(self.save('', tmp_path))
