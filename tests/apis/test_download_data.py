"""Published data sets from a server of this machine: taken up, checked, unpacked, never over what is there."""

import hashlib
import io
import urllib.parse
import zipfile

import cv2
import numpy as np
import pytest

from mmvitdense import commands
from mmvitdense.apis import download_data as module
from mmvitdense.apis import logins
from mmvitdense.apis.download_data import download_data
from mmvitdense.apis.errors import InputError
from mmvitdense.datasets import published
from mmvitdense.datasets.published import DATA_SETS, Archive
from mmvitdense.downloads import DownloadError
from tests.test_downloads import Handler, server  # noqa: F401


def zipped(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as file:
        for name, data in files.items():
            file.writestr(name, data)
    return content.getvalue()


@pytest.fixture
def served(server, monkeypatch, tmp_path):  # noqa: F811
    """COCO's two sets of images and its annotations, small; gives the server and where data goes."""
    monkeypatch.delenv('MMVITDENSE_MIRRORS', raising=False)
    files = {
        'train': zipped(**{'train2017/1.jpg': b'a' * 3000, 'train2017/2.jpg': b'b'}),
        'val': zipped(**{'val2017/3.jpg': b'c'}),
        'annotations': zipped(
            **{f'annotations/instances_{split}2017.json': '{}' for split in ('train', 'val')},
            **{'annotations/captions_val2017.json': '{}'},
        ),
    }
    archives = {}
    for name, content in files.items():
        server.files[f'{name}.zip'] = content
        md5 = hashlib.md5(content).hexdigest()
        archives[name] = (
            DATA_SETS['coco'].archives[name]._replace(url=server.url(f'{name}.zip'), md5=md5, gigabytes=1e-6)
        )
    monkeypatch.setitem(published.DATA_SETS, 'coco', DATA_SETS['coco']._replace(archives=archives))
    return server, tmp_path / 'data'


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())


COCO = [
    *('annotations/instances_train2017.json', 'annotations/instances_val2017.json'),
    *('train2017/1.jpg', 'train2017/2.jpg', 'val2017/3.jpg'),
]


def test_it_lies_where_the_configs_expect_it_and_is_fetched_once(served, capsys):
    server, data = served  # noqa: F811
    for _ in range(2):
        assert commands.main(['download', 'coco', '--dir', str(data)]) == 0
    assert tree(data / 'coco') == COCO
    assert len(server.requests) == 3
    assert 'train: is there' in capsys.readouterr().out


def test_what_broke_off_goes_on_where_it_ended(served):
    server, data = served  # noqa: F811
    server.break_off = [1000, 500, 200]
    with pytest.raises(DownloadError, match='try again later'):
        download_data('coco', data, ['train'])
    download_data('coco', data, ['train'], keep=True)
    assert [headers.get('Range') for _, headers in server.requests] == [
        *(None, 'bytes=1000-', 'bytes=1500-', 'bytes=1700-')
    ]
    assert tree(data / 'coco') == ['.archives/train.zip', *COCO[2:4]]


def test_another_file_than_was_published_is_not_unpacked(served):
    server, data = served  # noqa: F811
    server.files['val.zip'] = zipped(**{'val2017/3.jpg': b'other'})
    with pytest.raises(DownloadError, match='not the file that was published: its MD5 sum'):
        download_data('coco', data, ['val'])
    assert tree(data) == []


def test_nothing_is_written_over(served):
    server, data = served  # noqa: F811
    (data / 'coco' / 'annotations').mkdir(parents=True)
    (mine := data / 'coco' / 'annotations' / 'instances_val2017.json').write_text('mine')
    with pytest.raises(InputError, match='instances_val2017.json is there, and other files'):
        download_data('coco', data)
    assert mine.read_text() == 'mine'
    assert not server.requests


def test_without_room_nothing_is_fetched(served, monkeypatch):
    server, data = served  # noqa: F811
    archives = {'train': DATA_SETS['coco'].archives['train']._replace(gigabytes=1e9)}
    monkeypatch.setitem(published.DATA_SETS, 'coco', DATA_SETS['coco']._replace(archives=archives))
    with pytest.raises(InputError, match='GB left and about 2100000000.0 GB are needed'):
        download_data('coco', data)
    assert not server.requests


def test_a_disk_that_fills_keeps_the_archive(served, monkeypatch):
    _, data = served

    def full(*_):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(module, '_write', full)
        with pytest.raises(InputError, match='No space left on device'):
            download_data('coco', data, ['val'])
    assert tree(data / 'coco') == ['.archives/val.zip']
    download_data('coco', data, ['val'])
    assert tree(data / 'coco') == ['val2017/3.jpg']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (zipped(**{'../val2017/3.jpg': b'x'}), 'leads out of its folder'),
        (zipped(**{'other/3.jpg': b'x'}), 'has no val2017'),
        (zipped(**{'val2017/3.jpg': b'x'})[:40], 'is a broken zip'),
    ],
    ids=lambda part: part if isinstance(part, str) else '',
)
def test_zips_that_are_none(served, monkeypatch, content, message):
    server, data = served  # noqa: F811
    server.files['val.zip'] = content
    archives = {'val': DATA_SETS['coco'].archives['val']._replace(md5='')}
    monkeypatch.setitem(published.DATA_SETS, 'coco', DATA_SETS['coco']._replace(archives=archives))
    with pytest.raises(InputError, match=message):
        download_data('coco', data)
    assert not [path for path in tree(data.parent) if path.endswith('.jpg')]


def test_a_part_that_is_none(served):
    with pytest.raises(InputError, match="coco has no part 'test'; expected some of train, val, annotations"):
        download_data('coco', served[1], ['test'])


@pytest.mark.parametrize('password', ['right & secret', 'wrong'])
def test_cityscapes_by_the_login_of_the_user(server, monkeypatch, tmp_path, password):  # noqa: F811
    def log_in(handler):
        form = urllib.parse.parse_qs(handler.rfile.read(int(handler.headers['Content-Length'])).decode())
        known = form == {'username': ['me'], 'password': ['right & secret'], 'submit': ['Login']}
        handler.send_response(200)
        handler.send_header('Set-Cookie', 'session=1')
        handler.end_headers()
        handler.wfile.write(b'welcome' if known else b'<input name="password">')

    monkeypatch.setattr(Handler, 'do_POST', log_in, raising=False)
    monkeypatch.setattr(logins, 'CITYSCAPES_LOGIN', server.url('login/'))
    labels = np.array([[7, 33, 0, 30]], np.uint8)
    server.files['labels.zip'] = zipped(
        **{'gtFine/val/x/a_gtFine_labelIds.png': cv2.imencode('.png', labels)[1].tobytes(), 'README': b''}
    )
    archives = {'labels': Archive(server.url('labels.zip'), 1e-6, '', ('gtFine',))}
    monkeypatch.setitem(published.DATA_SETS, 'cityscapes', DATA_SETS['cityscapes']._replace(archives=archives))
    monkeypatch.setenv(logins.USERNAME, 'me')
    monkeypatch.setenv(logins.PASSWORD, password)
    if password == 'wrong':
        with pytest.raises(InputError, match='does not take this user and password'):
            download_data('cityscapes', tmp_path)
        return
    download_data('cityscapes', tmp_path)
    assert server.requests[-1][1]['Cookie'] == 'session=1'
    maps = tmp_path / 'cityscapes' / 'gtFine' / 'val' / 'x'
    assert cv2.imread(str(maps / 'a_gtFine_labelTrainIds.png'), -1).tolist() == [[0, 18, 255, 255]]
    stored = b''.join(path.read_bytes() for path in tmp_path.rglob('*') if path.is_file())
    assert b'secret' not in stored


def test_cityscapes_without_a_user_says_where_to_get_one(monkeypatch, tmp_path):
    for name in (logins.USERNAME, logins.PASSWORD):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match='CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD'):
        download_data('cityscapes', tmp_path)
