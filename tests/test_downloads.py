"""Files fetched by address: whole, each address once, taken up after an interruption."""

import errno
import hashlib
import http.server
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn

from mmvitdense import downloads
from mmvitdense.apis.errors import run_tool
from mmvitdense.checkpoints import CheckpointError, read_checkpoint
from mmvitdense.compat import while_tools_run
from mmvitdense.downloads import REFETCH, DownloadError, fetched

BYTES = bytes(range(256)) * 40
"""10,240 bytes that are neither a page nor weights."""


class Server(http.server.ThreadingHTTPServer):
    """Serves what is in `files` and breaks off as it is asked to."""

    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.files = {}
        self.requests = []
        self.break_off = []  # numbers of bytes after which the next answers break off
        self.redirects = {}
        self.statuses = {}  # {beginning of a path: code of the answer}
        self.headers = {'ETag': '"1"', 'Content-Type': 'application/octet-stream'}
        self.length = True
        self.silent = 0.0
        self.stall = 0.0  # seconds between breaking off and the end of the connection
        self.looks_at_if_range = True
        self.shift = 0  # bytes by which the parts that are sent are others than were asked for

    def url(self, name):
        return f'http://127.0.0.1:{self.server_port}/{name}'


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        time.sleep(server.silent)
        if self.path in server.redirects:
            self.send_response(302)
            self.send_header('Location', server.redirects[self.path])
            self.end_headers()
            return
        for beginning, status in server.statuses.items():
            if self.path.startswith(beginning):
                self.send_error(status)
                return
        content = server.files.get(self.path.partition('?')[0].lstrip('/'))
        if content is None:
            self.send_error(416 if '416' in self.path else 404)
            return
        begin = 0
        same = not server.looks_at_if_range or self.headers['If-Range'] == server.headers.get('ETag')
        if 'Range' in self.headers and same:
            begin = int(self.headers['Range'].removeprefix('bytes=').rstrip('-')) + server.shift
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header('Content-Range', f'bytes {begin}-{len(content) - 1}/{len(content)}')
        for name, value in server.headers.items():
            self.send_header(name, value)
        if server.length:
            self.send_header('Content-Length', str(len(content) - begin))
        self.end_headers()
        end = begin + server.break_off.pop(0) if server.break_off else len(content)
        self.wfile.write(content[begin:end])
        if end < len(content):
            time.sleep(server.stall)


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.delenv(REFETCH, raising=False)
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()
        server.files['a.bin'] = BYTES
        yield server
        server.shutdown()


def cached(tmp_path):
    """What is in the cache beside the files for locking."""
    folder = tmp_path / 'hub' / 'checkpoints'
    return (
        sorted(path.name for path in folder.iterdir() if path.suffix not in ('.lock', '.length'))
        if folder.exists()
        else []
    )


def weights(value):
    torch.save({'state_dict': {'weight': torch.full((1, 1), value), 'bias': torch.zeros(1)}}, path := f'w{value}.pth')
    content = Path(path).read_bytes()
    Path(path).unlink()
    return content


def test_an_address_is_fetched_once_and_kept_under_a_readable_name(server, tmp_path):
    for _ in range(2):
        path = Path(fetched(server.url('a.bin?download=1')))
    assert path.read_bytes() == BYTES
    assert path.parent == tmp_path / 'hub' / 'checkpoints'
    assert path.name.endswith('-a.bin')
    assert len(server.requests) == 1
    assert cached(tmp_path) == [path.name]


def test_again_when_asked(server, monkeypatch):
    path = fetched(server.url('a.bin'))
    server.files['a.bin'] = BYTES[:100]
    monkeypatch.setattr(downloads, '_fetched_again', set())
    monkeypatch.setenv(REFETCH, '1')
    for _ in range(2):
        assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES[:100]
    assert path == fetched(server.url('a.bin'))
    assert len(server.requests) == 2, 'once in a process'


def test_files_of_one_name_at_two_addresses_do_not_meet(server, monkeypatch, tmp_path):
    """By our reader, and by mmengine's for `load_from` and `init_cfg`, which took the one for the other."""
    monkeypatch.chdir(tmp_path)
    server.files.update({'first/model.pth': weights(1.0), 'second/model.pth': weights(2.0)})
    for value, name in ((1.0, 'first'), (2.0, 'second'), (1.0, 'first')):
        url = server.url(f'{name}/model.pth')
        assert read_checkpoint(url)['weight'].item() == value
        with while_tools_run():
            load_checkpoint(layer := nn.Linear(1, 1), url, map_location='cpu')
        assert layer.weight.item() == value
    assert len(server.requests) == 2


def test_what_breaks_off_is_taken_up(server, tmp_path):
    server.break_off = [3000, 4000]
    assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES
    assert [headers.get('Range') for _, headers in server.requests] == [None, 'bytes=3000-', 'bytes=7000-']


def test_what_broke_off_is_taken_up_by_a_later_call(server, tmp_path):
    server.break_off = [1000, 1000, 1000]
    with pytest.raises(DownloadError, match=r'it ended after 3000 of 10240 bytes\): try again later'):
        fetched(server.url('a.bin'))
    assert [name for name in cached(tmp_path) if not name.startswith('.')] == []
    assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES
    assert server.requests[-1][1]['Range'] == 'bytes=3000-'
    assert len(cached(tmp_path)) == 1


def test_a_file_that_changed_in_between_is_fetched_from_its_beginning(server):
    server.break_off = [1000, 1000, 1000]
    with pytest.raises(DownloadError):
        fetched(server.url('a.bin'))
    server.headers['ETag'] = '"2"'
    server.files['a.bin'] = BYTES[::-1]
    assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES[::-1]


@pytest.mark.parametrize('tag', ['"2"', None])
def test_parts_of_two_files_are_not_put_together(server, tag):
    """Some servers send the part that is asked for of whatever file they have now."""
    server.looks_at_if_range = False
    server.break_off = [3000] * 3
    with pytest.raises(DownloadError):
        fetched(server.url('a.bin'))
    server.files['a.bin'] = BYTES[::-1]
    del server.headers['ETag']
    server.headers.update({'ETag': tag} if tag else {})
    assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES[::-1]


def test_a_part_that_was_not_asked_for(server):
    server.shift = 500
    server.break_off = [3000]
    assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES


def test_what_came_before_a_stall_is_kept(server, monkeypatch):
    monkeypatch.setattr(downloads, 'SECONDS', 0.1)
    server.stall = 0.3
    server.break_off = [3000, 4000]
    assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES
    assert [headers.get('Range') for _, headers in server.requests] == [None, 'bytes=3000-', 'bytes=7000-']


@pytest.mark.parametrize('noted', [b'\xff\xfe', b'"1"\r\nX: y', b''])
def test_a_part_whose_version_cannot_be_read_is_not_gone_on_from(server, tmp_path, noted):
    path = Path(fetched(server.url('a.bin')))
    part = path.rename(path.with_name(f'.{path.name}.part'))
    part.write_bytes(b'other')
    downloads._version_file(part).write_bytes(noted)
    assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES
    assert len(cached(tmp_path)) == 1


def test_a_server_that_tells_no_versions(server, tmp_path):
    del server.headers['ETag']
    server.break_off = [1000]
    assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES
    assert all('Range' not in headers for _, headers in server.requests)
    server.break_off = [1000] * 3
    with pytest.raises(DownloadError):
        fetched(server.url('a.bin?2'))
    assert len(cached(tmp_path)) == 1, 'a part that nothing can go on from is removed'


def test_a_server_that_tells_no_length(server):
    server.length = False
    assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES
    server.headers['Content-Length'] = '\xb2'
    assert Path(fetched(server.url('a.bin?2'))).read_bytes() == BYTES


def test_redirects_are_followed_with_the_token_for_one_host_alone(server, monkeypatch):
    monkeypatch.setenv('HF_TOKEN', 'secret')
    server.redirects['/old.bin'] = server.url('a.bin')
    assert Path(fetched(server.url('old.bin'))).read_bytes() == BYTES
    assert not [headers for _, headers in server.requests if 'Authorization' in headers]
    for url, sent in (('https://huggingface.co/a', True), ('http://huggingface.co/a', False), ('https://x.org', False)):
        request = downloads.urllib.request.Request(url)
        downloads._authorize(request)
        assert (request.get_header('Authorization') == 'Bearer secret') == sent
        assert 'Authorization' not in request.headers, 'those are sent on to where an address leads'
    server.redirects['/file.bin'] = 'ftp://127.0.0.1/a.bin'
    with pytest.raises(DownloadError, match=r'leads to ftp://127\.0\.0\.1/a\.bin'):
        fetched(server.url('file.bin'))


def test_published_hashes(server, tmp_path):
    digest = hashlib.sha256(BYTES).hexdigest()
    for name in (f'vit-{digest[:8]}.pth', 'vit-20240131.pth', 'vit-abc.pth', f'a.bin#sha256={digest}'):
        server.files[name] = BYTES
        assert Path(fetched(server.url(name))).read_bytes() == BYTES
    count = len(cached(tmp_path))
    server.files['vit-0123abcd.pth'] = BYTES
    for name, expected in (('vit-0123abcd.pth', '0123abcd'), (f'a.bin#sha256={"0" * 64}', '0' * 64)):
        with pytest.raises(DownloadError, match=f'is not the file that was published.* expected {expected}'):
            fetched(server.url(name))
    for wrong in ('xyz', ''):
        with pytest.raises(DownloadError, match='hexadecimal digits after #sha256='):
            fetched(server.url(f'a.bin#sha256={wrong}'))
    assert len(cached(tmp_path)) == count


@pytest.mark.parametrize(
    ('content', 'kind', 'message'),
    [
        (b'\n<!DOCTYPE html><html>sign in</html>', 'application/octet-stream', 'is a web page, not a file'),
        (b'{}', 'text/html; charset=utf-8', 'is a web page, not a file'),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- error -->\n<html>', 'text/plain', 'is a web page, not a file'),
        (b'', 'application/octet-stream', 'is an empty file'),
    ],
)
def test_pages_and_nothing(server, tmp_path, content, kind, message):
    server.files['w.pth'] = content
    server.headers['Content-Type'] = kind
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(server.url('w.pth'))
    assert cached(tmp_path) == []


def test_a_file_that_cannot_be_read_says_where_it_is_from(server):
    server.files['w.pth'] = b'{"error": "too many requests"}'
    url = server.url('w.pth')
    with pytest.raises(
        CheckpointError, match=rf'is a text and no checkpoint.* fetched from {url}; --refetch fetches it again'
    ):
        read_checkpoint(url)


def test_one_line_whatever_is_in_the_way(server, monkeypatch, tmp_path, capsys):
    closed = http.server.HTTPServer(('127.0.0.1', 0), Handler)
    closed.server_close()
    for url, words in (
        (server.url('none.pth'), '404 Not Found'),
        (server.url('416.pth'), '416 Requested Range Not Satisfiable'),
        (f'http://127.0.0.1:{closed.server_port}/a', 'Connection refused'),
        (server.url('a.bin').replace('http:', 'https:'), 'SSL'),
        ('file:///etc/passwd', 'give the path itself'),
        ('ftp://127.0.0.1/a.pth', 'expected an address with http or https'),
        ('http:///a.pth', 'expected an address with http or https'),
        ('http://[::1/a.pth', 'is not an address'),
        ('http://127.0.0.1:x/a.pth', 'cannot be fetched'),
    ):
        assert run_tool(lambda url=url: read_checkpoint(url)) == 2
        line = capsys.readouterr().err
        assert line.startswith(f'error: {url} ')
        assert words in line
        assert line.count('\n') == 1
    assert cached(tmp_path) == []


def test_a_server_that_is_silent(server, monkeypatch):
    monkeypatch.setattr(downloads, 'SECONDS', 0.1)
    server.silent = 0.5
    with pytest.raises(DownloadError, match=r'no answer within 0\.1 s'):
        fetched(server.url('a.bin'))


def test_a_cache_that_cannot_be_written(server, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(downloads, '_copy', full)
        with pytest.raises(DownloadError, match='cannot be kept in .*No space left on device.*TORCH_HOME'):
            fetched(server.url('a.bin'))
    assert cached(tmp_path) == [], 'what was written so far is removed'
    (tmp_path / 'file').touch()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'file'))
    with pytest.raises(DownloadError, match='cannot be kept in'):
        fetched(server.url('a.bin'))


def test_several_at_once_fetch_it_once(server):
    server.silent = 0.1
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(fetched, [server.url('a.bin')] * 4))
    assert len(paths) == len(server.requests) == 1


def test_md5_sums_are_those_of_detectron2s_names_or_given(server, tmp_path):
    digits = hashlib.md5(BYTES).hexdigest()
    server.files |= {f'model_final_{digits[:6]}.pkl': BYTES, 'model_final_61ccd1.pkl': BYTES}
    for url in (server.url(f'model_final_{digits[:6]}.pkl'), server.url(f'a.bin#md5={digits[:6]}')):
        assert Path(fetched(url)).read_bytes() == BYTES
    here = cached(tmp_path)
    with pytest.raises(DownloadError, match=rf'its MD5 sum begins with {digits[:6]}, expected 61ccd1\.'):
        fetched(server.url('model_final_61ccd1.pkl'))
    with pytest.raises(DownloadError, match='expected 6 to 32 hexadecimal digits after #md5='):
        fetched(server.url('a.bin#md5=61cc'))
    assert cached(tmp_path) == here, 'nothing of the wrong file is left'


def test_a_torn_file_of_the_cache_is_fetched_again(server):
    path = Path(fetched(server.url('a.bin')))
    path.write_bytes(BYTES[:100])
    assert Path(fetched(server.url('a.bin'))).read_bytes() == BYTES
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ('url', 'words'),
    [
        ('https://pan.baidu.com/s/1x?pwd=tkc5', 'by a program: open it in a browser, give the code after pwd= there'),
        ('https://drive.google.com/file/d/1x/view', 'open it in a browser and fetch the file; then give its path'),
        ('https://dl.fbaipublicfiles.com/dinov3/a/b.pth', r'403 Forbidden\): DINOv3.s weights are given to those who'),
        (
            'https://conversationhub.blob.core.windows.net/beit/a.pth',
            'its host has refused everyone since',
        ),
    ],
)
def test_addresses_of_pages_and_of_gates(server, monkeypatch, url, words):
    server.statuses = {'/gate/': 403}
    monkeypatch.setenv('MMVITDENSE_MIRRORS', f'https://a.b/={server.url("a/")} https://={server.url("gate/")}')
    with pytest.raises(DownloadError, match=words) as error:
        fetched(url)
    assert str(error.value).startswith(f'{url} cannot be fetched')


def test_mirrors_and_no_network(server, monkeypatch, tmp_path):
    url = 'https://huggingface.co/owner/model/resolve/main/a.bin'
    server.files['hub/owner/model/resolve/main/a.bin'] = BYTES
    monkeypatch.setenv('HF_ENDPOINT', server.url('hub'))
    for name in ('HF_HUB_OFFLINE', 'MMVITDENSE_OFFLINE'):
        monkeypatch.setenv(name, '1')
        with pytest.raises(DownloadError, match=f'is not fetched, because the environment variable {name} is set'):
            fetched(url)
        monkeypatch.delenv(name)
    path = fetched(url)
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    assert fetched(url) == path, 'what is here needs no network'
    monkeypatch.setenv('MMVITDENSE_MIRRORS', 'https://a.b')
    with pytest.raises(DownloadError, match='expected BEGINNING=REPLACEMENT'):
        fetched('https://a.b/c.bin')
