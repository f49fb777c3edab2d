"""What the demo writes, with a model that sees the blue channel."""

import errno
import functools
import http.server
import json
import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import PixelData
from PIL import Image

from mmvitdense.apis import demo
from mmvitdense.apis.coco_results import CocoResults
from mmvitdense.apis.errors import InputError

FAILING = 200
INTERRUPTING = 201


@MODELS.register_module()
class BlueChannel(BaseModel):
    """Labels each pixel by its blue value; cannot stand some colours."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, data_samples, mode):
        for image, sample in zip(inputs, data_samples):
            blue = image[:1].long()
            if blue.max() == FAILING:
                raise RuntimeError('too blue\nfor me')
            if blue.max() == INTERRUPTING:
                raise KeyboardInterrupt
            sample.pred_sem_seg = PixelData(data=blue)
        return data_samples


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Run the demo on a source; where to is the second argument."""
    pipeline = [{'type': 'LoadImageFromFile'}, {'type': 'PackSegInputs'}]
    dataset = {'type': 'BaseSegDataset', 'metainfo': {'classes': ('sky', 'sea')}, 'pipeline': pipeline}
    cfg = {'default_scope': 'mmseg', 'model': {'type': 'BlueChannel'}, 'test_dataloader': {'dataset': dataset}}
    checkpoint = tmp_path_factory.mktemp('weights') / 'w.pth'
    torch.save({'weight': torch.zeros(1)}, checkpoint)
    return lambda source, out_dir, **options: demo.run_demo(
        source, Config(cfg), checkpoint, out_dir, 'cpu', score_thr=0.4, **options
    )


def paint(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((4, 6, 3), value, np.uint8))
    return path


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / 'in'
    for value, name in enumerate(['a.bmp', 'a.png', 'b.PNG', 'sub/a.png']):
        paint(source / name, value)
    (source / 'notes.txt').write_text('BM looks like the beginning of a bitmap')
    return source


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())


def summary(out):
    return json.loads((out / 'predictions.json').read_text())


def test_every_image_keeps_its_own_outputs(folder, tmp_path, run, capsys):
    out = tmp_path / 'out'
    assert run(folder, out) == 0
    names = ['a.bmp', 'a.png', 'b.PNG', 'sub/a.png']
    assert files(out) == sorted(
        ['predictions.json', *(f'{kind}/{name}.png' for kind in ('vis', 'labels') for name in names)]
    )
    content = summary(out)
    assert sorted(content['images']) == names
    assert content['images']['sub/a.png'] == {
        'picture': 'vis/sub/a.png.png',
        'height': 4,
        'width': 6,
        'classes': {'class 3': 1.0},
        'label_map': 'labels/sub/a.png.png',
    }
    assert content['classes'] == ['sky', 'sea']
    assert (content['skipped'], content['not_images'], content['complete']) == ({}, ['notes.txt'], True)
    assert '1 file(s) not looked at, as they are no images: notes.txt' in capsys.readouterr().err
    for name in names:
        values = cv2.imread(str(out / f'labels/{name}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(values, cv2.imread(str(folder / name))[..., 0])


def test_images_are_told_by_their_content(tmp_path, run):
    source = tmp_path / 'in'
    source.mkdir()
    image = Image.new('RGB', (6, 4))
    for name, form in (
        *(
            ('a.gif', 'GIF'),
            ('b.jfif', 'JPEG'),
            ('c', 'PNG'),
            ('d.part', 'JPEG'),
            ('e.webp', 'WEBP'),
            ('f.tif', 'TIFF'),
        ),
        *(('.hidden.png', 'PNG'), ('.cache/a.png', 'PNG')),
    ):
        (source / name).parent.mkdir(exist_ok=True)
        image.save(source / name, form)
    # Old builds of OpenCV do not read all formats, so that the demo may have to skip some; none is forgotten.
    run(source, tmp_path / 'out')
    content = summary(tmp_path / 'out')
    assert sorted(content['images'] | content['skipped']) == ['a.gif', 'b.jfif', 'c', 'd.part', 'e.webp', 'f.tif']
    assert {'b.jfif', 'c', 'd.part', 'f.tif'} <= content['images'].keys()
    assert content['not_images'] == []


def test_what_cannot_be_done_is_skipped_named_and_counted(folder, tmp_path, run, capsys):
    (folder / 'broken.jpg').write_text('no image')
    (folder / 'loop.png').symlink_to('loop.png')
    paint(folder / 'blue.png', FAILING)
    assert run(folder, tmp_path / 'out') == 1
    content = summary(tmp_path / 'out')
    assert len(content['images']) == 4
    assert content['skipped']['blue.png'] == 'the prediction failed (RuntimeError: too blue)'
    assert 'is not an image' in content['skipped']['broken.jpg']
    assert 'does not exist' in content['skipped']['loop.png']
    errors = capsys.readouterr().err
    assert 'skipped broken.jpg' in errors
    assert '3 of 7 image(s) skipped' in errors
    assert not [path for path in files(tmp_path / 'out') if 'broken' in path or 'blue' in path]


def test_names_that_cannot_be_written_are_skipped_too(folder, tmp_path, run, monkeypatch):
    paint(folder / f'{"x" * 250}.png')
    assert run(folder, tmp_path / 'out') == 1
    ((name, reason),) = summary(tmp_path / 'out')['skipped'].items()
    assert (len(name), reason) == (254, f'its picture cannot be written ({os.strerror(errno.ENAMETOOLONG)})')

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(demo, 'write_image', full)
    with pytest.raises(InputError, match='cannot be written to: .*No space left'):
        run(folder, tmp_path / 'out')


def test_images_of_all_kinds_under_any_name(tmp_path, run):
    source = tmp_path / 'in'
    (source / 'same/same').mkdir(parents=True)
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    colour = Image.fromarray(np.stack([grey] * 3, -1))
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, image, options in (
        ('16 bits.png', Image.fromarray(grey.astype(np.uint16) * 2000), {}),
        ('grey.png', Image.fromarray(grey), {}),
        ('grey and opacity.png', colour.convert('LA'), {}),
        ('bits.png', colour.convert('1'), {}),
        ('opacity.png', colour.convert('RGBA'), {}),
        ('cmyk.jpg', colour.convert('CMYK'), {}),
        ('palette.png', colour.convert('P'), {}),
        ('floats.tiff', Image.fromarray(grey.astype(np.float32)), {}),
        ('moving.gif', colour, {'save_all': True, 'append_images': [colour, colour.rotate(90)]}),
        ('turned.jpg', colour, {'exif': turned}),
        ('one.png', Image.new('RGB', (1, 1)), {}),
        ('wide.png', Image.new('RGB', (3000, 1)), {}),
        ('high.png', Image.new('RGB', (1, 3000)), {}),
        ('same/a.png', colour, {}),
        ('same/a.jpg', colour, {}),
        ('same/same/a.png', colour, {}),
        ('Bildäöü 画像 \U0001f408.png', colour, {}),
        ('-o.png', colour, {}),
        ('%s{name}$HOME.png', colour, {}),
        ('upper.PNG.JPG', colour, {}),
        (f'{"n" * 240}.png', colour, {}),
    ):
        image.save(source / name, **options)
    (source / 'two\nlines\x1b[31m.png').write_bytes((source / 'grey.png').read_bytes())
    out = tmp_path / 'out'
    code = run(source, out)
    content = summary(out)
    # Old builds of OpenCV lack a few formats; what they cannot read is skipped and named.
    assert content['skipped'].keys() <= {'moving.gif', 'floats.tiff', 'bits.png'}
    assert code == bool(content['skipped'])
    assert len(content['images']) + len(content['skipped']) == 22
    assert (content['images']['turned.jpg']['height'], content['images']['wide.png']['width']) == (6, 3000)
    assert len({image['picture'] for image in content['images'].values()}) == len(content['images'])


def test_a_skipped_file_is_one_line_whatever_its_name(folder, tmp_path, run, capsys):
    (folder / 'two\nlines\x1b[31m.png').touch()
    assert run(folder, tmp_path / 'out') == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if 'skipped ' in line]
    assert len(lines) == 1
    assert lines[0].startswith('skipped two\\nlines\\x1b[31m.png: ')


def test_links_are_followed_once(folder, tmp_path, run):
    paint(tmp_path / 'elsewhere/c.png')
    (folder / 'linked').symlink_to(tmp_path / 'elsewhere')
    (folder / 'sub/up').symlink_to(folder)
    assert run(folder, tmp_path / 'out') == 0
    assert sorted(summary(tmp_path / 'out')['images']) == ['a.bmp', 'a.png', 'b.PNG', 'linked/c.png', 'sub/a.png']


def test_a_folder_that_cannot_be_looked_into_is_named(folder, tmp_path, run, monkeypatch):
    look = Path.iterdir

    def forbidden(path):
        if path.name == 'sub':
            raise PermissionError(errno.EACCES, 'Permission denied')
        return look(path)

    monkeypatch.setattr(Path, 'iterdir', forbidden)
    assert run(folder, tmp_path / 'out') == 1
    assert summary(tmp_path / 'out')['skipped'] == {'sub/': f'{folder}/sub cannot be read: Permission denied'}


def test_later_runs_do_not_take_pictures_of_earlier_ones_for_input(folder, run):
    for out in (folder, folder, folder / 'second', folder / 'third'):
        assert run(folder, out) == 0
        assert len(summary(out)['images']) == 4


def test_a_run_that_is_interrupted_says_so(folder, tmp_path, run, capsys):
    out = tmp_path / 'out'
    assert run(folder, out) == 0
    paint(folder / 'a2.png', INTERRUPTING)
    assert run(folder, out) == 130
    content = summary(out)
    assert (list(content['images']), content['complete']) == (['a.bmp', 'a.png'], False)
    assert 'interrupted: 3 image(s) not done' in capsys.readouterr().err


def test_a_single_image(folder, tmp_path, run):
    assert run(folder / 'b.PNG', tmp_path / 'out') == 0
    assert files(tmp_path / 'out') == ['labels/b.PNG.png', 'predictions.json', 'vis/b.PNG.png']


def test_a_single_image_that_the_model_cannot_stand_shows_where_it_failed(tmp_path, run):
    with pytest.raises(RuntimeError, match='too blue'):
        run(paint(tmp_path / 'blue.png', FAILING), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_an_address(folder, tmp_path, run, monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}'
        assert run(f'{address}/sub/a.png?size=1', tmp_path / 'out') == 0
        assert list(summary(tmp_path / 'out')['images']) == ['a.png']
        with pytest.raises(InputError, match='is a web page'):
            run(f'{address}/', tmp_path / 'none')
        with pytest.raises(InputError, match=r'cannot be fetched \(the server says 404'):
            run(f'{address}/c.png', tmp_path / 'none')
        server.shutdown()
    with pytest.raises(InputError, match='an address with http or https'):
        run('ftp://127.0.0.1/a.png', tmp_path / 'none')
    assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('absent', 'does not exist'),
        ('empty', 'has no images in it'),
        ('other', r'the 2 files in it are none \(a.txt, b.mp4\)\. Give a video by its own path'),
        ('other/b.mp4', 'is not a video that can be read'),
        ('o*/*.txt', r'None of the 1 files with names like .* is an image \(a.txt\)'),
        ('no*.jpg', 'No file has a name like'),
        ('bad.jpg', 'is not an image'),
        ('bad', 'None of the 2'),
    ],
)
def test_nothing_to_predict_for_writes_nothing(tmp_path, run, name, message):
    for path in ('empty', 'other', 'bad'):
        (tmp_path / path).mkdir()
    for path in ('bad.jpg', 'bad/1.jpg', 'bad/2.jpg', 'other/a.txt', 'other/b.mp4'):
        Path(tmp_path, path).write_text('no image')
    with pytest.raises(InputError, match=message):
        run(tmp_path / name, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_an_output_folder_that_cannot_be(folder, run):
    for out in (folder / 'a.png', folder / 'a.png' / 'deeper'):
        with pytest.raises(InputError, match=rf'--out-dir {out}: {folder}/a.png is a file'):
            run(folder, out)


def test_a_single_image_of_a_model_with_windows_counts_those():
    for mode, shown in (('even_slide', True), ('whole', None)):
        cfg = Config({'model': {'test_cfg': {'mode': mode}}})
        demo._count_windows(cfg)
        assert cfg.model.test_cfg.get('progress') is shown


def test_a_pattern_in_batches_without_pictures(folder, tmp_path, run):
    out = tmp_path / 'out'
    assert run(str(folder / '**' / 'a.*'), out, batch_size=2, pictures=False) == 0
    assert files(out) == ['labels/a.bmp.png', 'labels/a.png.png', 'labels/sub/a.png.png', 'predictions.json']
    assert summary(out)['images']['sub/a.png']['classes'] == {'class 3': 1.0}


def test_a_video_and_its_first_frames(tmp_path, run, capsys):
    writer = cv2.VideoWriter(str(tmp_path / 'my film.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for value in (0, 0, 1, 1):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    assert run(tmp_path / 'my film.avi', tmp_path / 'out', max_frames=3) == 0
    assert files(tmp_path / 'out') == ['my_film.avi.jsonl', 'my_film.avi.mp4']
    lines = [json.loads(line) for line in (tmp_path / 'out/my_film.avi.jsonl').read_text().splitlines()]
    assert [line['frame'] for line in lines] == [0, 1, 2]
    assert lines[0]['classes'] == {'sky': 1.0}
    assert lines[0]['class_masks'][0]['mask']['size'] == [48, 64]
    film = cv2.VideoCapture(str(tmp_path / 'out/my_film.avi.mp4'))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert '3 frame(s) done' in capsys.readouterr().out
    with pytest.raises(InputError, match='OpenCV cannot open camera 93'):
        run('93', tmp_path / 'none')
    assert not (tmp_path / 'none').exists()


def test_coco_results_take_their_ids_from_a_file(folder, tmp_path):
    class Found:
        classes, height, width, name = ('cat', 'dog'), 4, 6, 'b.jpg'

        def to_coco(self, image_id, category_ids):
            return [{'image_id': image_id, 'category_id': (category_ids or {'dog': 2})['dog']}]

    content = {
        'images': [{'id': 31, 'file_name': 'val/a.jpg'}, {'id': 42, 'file_name': 'val/b.jpg'}],
        'categories': [{'id': 18, 'name': 'dog'}],
    }
    (tmp_path / 'ids.json').write_text(json.dumps(content))
    results = CocoResults(tmp_path / 'ids.json')
    results.check(['a.jpg', 'val/b.jpg'])
    with pytest.raises(InputError, match=r'1 image\(s\) are not in .*ids.json.*\(c.jpg\)'):
        results.check(['a.jpg', 'c.jpg'])
    results.add(Found())
    results.write(tmp_path / 'found.json')
    assert json.loads((tmp_path / 'found.json').read_text()) == [{'image_id': 42, 'category_id': 18}]
    numbered = CocoResults()
    numbered.add(Found())
    numbered.write(tmp_path / 'numbered.json')
    assert json.loads((tmp_path / 'numbered.json').read_text()) == [{'image_id': 1, 'category_id': 2}]
    beside = json.loads((tmp_path / 'numbered.images.json').read_text())
    assert beside['images'] == [{'id': 1, 'file_name': 'b.jpg', 'height': 4, 'width': 6}]
    assert beside['categories'] == [{'id': 1, 'name': 'cat'}, {'id': 2, 'name': 'dog'}]
    with pytest.raises(InputError, match='no annotation file of COCO'):
        CocoResults(tmp_path / 'found.json')
