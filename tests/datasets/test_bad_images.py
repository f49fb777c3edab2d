"""Images that cannot be read: which are, which are not, and what training and testing do about them."""

import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image, ImageFile
from torch.utils.data import DataLoader

from mmvitdense.apis.build import build_runner
from mmvitdense.apis.config import load_config
from mmvitdense.apis.errors import run_tool
from mmvitdense.datasets.bad_images import guard_images
from mmvitdense.datasets.checks import DataError
from mmvitdense.datasets.checks.image_cache import ImageCache
from mmvitdense.datasets.checks.image_files import decode_images
from mmvitdense.datasets.checks.source import find_sources
from mmvitdense.datasets.image_decoding import UnreadableImageError, decode_image

pytest.importorskip('mmdet')
SIDE = 96
SEGMENTOR = Path(__file__).resolve().parents[2] / 'configs/quickstart/vit-tiny_upernet_shapes.py'


def picture(seed=0):
    noise = np.random.default_rng(seed).integers(0, 255, (SIDE // 4, SIDE // 4, 3), dtype=np.uint8)
    return cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def encoded(suffix='.jpg', **options):
    content = io.BytesIO()
    Image.fromarray(picture()).save(content, {'.jpg': 'JPEG', '.png': 'PNG'}[suffix], **options)
    return content.getvalue()


class TestDecoding:
    @pytest.mark.parametrize('progressive', [False, True])
    @pytest.mark.parametrize('cut', [1, 2, 5, 40])
    def test_a_jpeg_that_lacks_its_last_bytes_as_pillow_reads_it(self, cut, progressive, monkeypatch):
        whole = encoded(quality=90, progressive=progressive)
        image, missing = decode_image(whole[:-cut])
        monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
        expected = np.asarray(Image.open(io.BytesIO(whole[:-cut])).convert('RGB'))[..., ::-1]
        np.testing.assert_array_equal(image, expected)
        reference, none = decode_image(whole)
        assert none == 0
        np.testing.assert_array_equal(reference, cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR))
        differs = (image != reference).any((1, 2))
        assert missing == (SIDE - differs.argmax() if differs.any() else 0)
        if cut == 2:
            assert missing == 0, 'the mark of the end alone'

    @pytest.mark.parametrize(
        'content',
        [
            encoded(quality=90)[:-1500],
            encoded(quality=90)[:300],
            encoded('.png')[:-30],
            encoded('.png')[:-1],
            b'<html>not found</html>',
            b'',
        ],
    )
    def test_what_lacks_more_is_refused(self, content):
        with pytest.raises(UnreadableImageError):
            decode_image(content)


@pytest.fixture
def folder(tmp_path):
    """Eight images with an object each, the third of which is cut in the middle and the last at its end."""
    (tmp_path / 'photos').mkdir()
    content = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'cat'}]}
    for number in range(1, 9):
        data = encoded(quality=90)
        (tmp_path / f'photos/{number}.jpg').write_bytes(data[: {3: len(data) // 2, 8: -4}.get(number)])
        content['images'].append({'id': number, 'file_name': f'{number}.jpg', 'height': SIDE, 'width': SIDE})
        content['annotations'].append(
            {'id': number, 'image_id': number, 'category_id': 1, 'bbox': [5, 6, 30, 40], 'area': 1200, 'iscrowd': 0}
        )
    (tmp_path / 'train.json').write_text(json.dumps(content))
    return tmp_path


def settings(folder, **changes):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs'),
    ]
    return {
        **dict(type='CocoDataset', data_root=str(folder), ann_file='train.json', data_prefix=dict(img='photos/')),
        **dict(metainfo=dict(classes=('cat',)), pipeline=pipeline),
        **changes,
    }


@pytest.fixture
def lines(monkeypatch):
    found = []
    monkeypatch.setattr(
        'mmvitdense.datasets.checks.messages.print_log', lambda message, logger, level: found.append(message)
    )
    return found


def build(config, limit=None):
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(config)
    guard_images(dataset, limit)
    return dataset


def ids(dataset):
    return [dataset[index]['data_samples'].img_id for index in range(len(dataset))]


class TestTraining:
    def test_a_bad_image_is_named_and_replaced(self, folder, lines):
        dataset = build(dict(type='RepeatDataset', times=2, dataset=settings(folder)))
        np.random.seed(3)
        first = ids(dataset)
        assert [image for place, image in enumerate(first) if place % 8 != 2] == 2 * [1, 2, 4, 5, 6, 7, 8]
        assert 3 not in first
        assert sum('3.jpg (id 3) cannot be read' in line for line in lines) == 1, 'named once'
        assert sum('8.jpg (id 8) lacks its last bytes' in line for line in lines) == 1
        np.random.seed(3)
        assert ids(dataset) == first

    def test_the_limit_counts_different_images(self, folder):
        dataset = build(settings(folder))
        assert len(2 * ids(dataset)) == 16
        (folder / 'photos/5.jpg').unlink()
        with pytest.raises(DataError, match=r'5\.jpg \(id 5\).*the 2th such image of 8, and at most 1'):
            ids(dataset)
        assert 5 not in ids(build(settings(folder), limit=2))
        with pytest.raises(DataError, match='3.jpg'):
            ids(build(settings(folder), limit=0))

    def test_processes_count_together_and_end_with_one_sentence(self, folder, capsys):
        (folder / 'photos/4.jpg').write_bytes(b'')
        loader = DataLoader(build(settings(folder)), num_workers=2, collate_fn=list)
        assert run_tool(lambda: len(list(loader)) and 0) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f'error: {folder}/photos/')
        assert 'the 2th such image' in error

    def test_annotations_that_cannot_be_loaded(self, folder):
        config = settings(folder)
        config['pipeline'][1]['with_mask'] = True
        with pytest.raises(DataError, match=r"annotations of .*1\.jpg \(id 1\) cannot be loaded: KeyError\('mask'\)"):
            build(config)[0]

    def test_a_label_map_that_cannot_be_read(self, tmp_path):
        pytest.importorskip('mmseg')
        for name in ('photos', 'maps'):
            (tmp_path / name).mkdir()
            for number in range(3):
                (tmp_path / name / f'{number}.png').write_bytes(encoded('.png'))
        (tmp_path / 'maps/1.png').write_bytes(encoded('.png')[:-40])
        config = dict(
            type='mmseg.BaseSegDataset',
            data_root=str(tmp_path),
            data_prefix=dict(img_path='photos', seg_map_path='maps'),
            img_suffix='.png',
            metainfo=dict(classes=('a', 'b')),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')],
        )
        with DefaultScope.overwrite_default_scope('mmseg'):
            dataset = DATASETS.build(config)
        guard_images(dataset)
        assert '1.png' not in dataset[1]['seg_map_path']


def test_a_test_stops_at_a_bad_image(folder):
    dataset = build(settings(folder, test_mode=True))
    assert dataset[7]['data_samples'].img_id == 8
    with pytest.raises(DataError, match=r'3\.jpg \(id 3\) cannot be read .*[5-7][0-9]% of its pixels are missing'):
        dataset[2]


def test_data_to_score_is_not_told_by_its_test_mode(shapes_root, tmp_path):
    """The data sets that mmseg scores have test_mode=False."""
    pytest.importorskip('mmseg')
    shutil.copytree(shapes_root, tmp_path / 'shapes')
    for split in ('training', 'validation'):
        path = tmp_path / f'shapes/images/{split}/000001.jpg'
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    options = {f'{split}_dataloader.dataset.data_root': str(tmp_path / 'shapes') for split in ('train', 'val', 'test')}
    runner = build_runner(load_config(SEGMENTOR, {**options, 'work_dir': str(tmp_path / 'run')}))
    for loop in (runner.build_val_loop(runner._val_loop), runner.build_test_loop(runner._test_loop)):
        with pytest.raises(DataError, match=r'000001\.jpg cannot be read'):
            loop.dataloader.dataset[1]
    training = runner.build_train_loop(runner._train_loop).dataloader.dataset
    assert not training[1]['data_samples'].img_path.endswith('000001.jpg')


class TestCheck:
    @pytest.fixture
    def look(self, folder, tmp_path, monkeypatch):
        monkeypatch.setattr('mmvitdense.datasets.checks.image_cache.cache_root', lambda: tmp_path / 'cache')
        monkeypatch.setattr('mmvitdense.datasets.checks.image_files._WORTH_REMEMBERING', 0)

        def _look(split='train', **options):
            cfg = dict(default_scope='mmdet')
            cfg[f'{split}_dataloader'] = dict(dataset=settings(folder))
            (source,) = find_sources(cfg, split)
            paths = [str(folder / f'photos/{number}.jpg') for number in range(1, 9)]
            return decode_images(source, paths, list(range(1, 9)), **options)

        return _look

    @pytest.mark.parametrize('every', [False, True])
    def test_files_and_ids_are_named(self, look, lines, every):
        with pytest.raises(DataError, match=r'1 of 8 images cannot be read as an image: .*3\.jpg \(id 3\)') as caught:
            look(every=every)
        assert '--max-bad-images' in str(caught.value)
        assert ['8.jpg (id 8) for one' in line for line in lines] == [True]
        with pytest.raises(DataError, match=r'3\.jpg \(id 3\)'):
            look('val', allowed=1)

    def test_some_may_be_allowed(self, look, lines):
        assert look(allowed=1) == dict.fromkeys([0, 1, 3, 4, 5, 6, 7], (SIDE, SIDE))
        assert len(lines) == 2

    def test_what_was_whole_is_not_decoded_again(self, look, folder, monkeypatch):
        look(allowed=1)
        decoded = []
        monkeypatch.setattr(
            'mmvitdense.datasets.checks.image_files._decode', lambda path, _: decoded.append(path) or (SIDE, SIDE, 0)
        )
        (folder / 'photos/5.jpg').write_bytes(encoded(quality=80))
        look(allowed=1)
        assert sorted(path[-5:] for path in decoded) == ['3.jpg', '5.jpg']

    @pytest.mark.parametrize('content', ['', '[1]', '{"a": 1'])
    def test_a_broken_cache_is_no_matter(self, tmp_path, monkeypatch, content):
        monkeypatch.setattr('mmvitdense.datasets.checks.image_cache.cache_root', lambda: tmp_path)
        cache = ImageCache('x')
        cache.put(__file__, (1, 2, 0))
        cache.save()
        assert ImageCache('x').get(__file__) == (1, 2, 0)
        next((tmp_path / 'images').iterdir()).write_text(content)
        assert ImageCache('x').get(__file__) is None
