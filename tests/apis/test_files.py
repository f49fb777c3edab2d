"""Output files are whole or absent."""

import json

import cv2
import numpy as np
import pytest

from mmvitdense.apis.files import write_json
from mmvitdense.visualization.picture_files import write_image
from mmvitdense.whole_files import written_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'out' / 'a.txt'
    with written_whole(path) as temporary:
        temporary.write_text('old')
    with pytest.raises(RuntimeError, match='half way'):
        _write_half(path)
    assert path.read_text() == 'old'
    assert list(path.parent.iterdir()) == [path]


def test_json_holds_numpy_numbers_and_no_nan(tmp_path):
    write_json(tmp_path / 'a.json', {1: [np.float32(0.5), np.arange(2), float('nan')], 'b': (np.int64(3), None)})
    assert json.loads((tmp_path / 'a.json').read_text()) == {'1': [0.5, [0, 1], None], 'b': [3, None]}


def test_json_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / 'a.json', {'a': object()})
    assert list(tmp_path.iterdir()) == []


def test_label_maps_survive_as_they_are(tmp_path):
    labels = np.array([[0, 255], [7, 300]], np.uint16)
    write_image(tmp_path / 'labels' / 'a.jpg.png', labels)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'labels' / 'a.jpg.png'), cv2.IMREAD_UNCHANGED), labels)


def _write_half(path):
    with written_whole(path) as temporary:
        temporary.write_text('ne')
        raise RuntimeError('half way')
