"""Data that cannot be trained on is stopped with the sentence that mends it, and does what the sentence says."""

import json

import cv2
import numpy as np
import pytest

from mmvitdense.datasets.checks import DataError
from mmvitdense.datasets.doctor import Options, look, totals

from . import makers


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr('mmvitdense.datasets.checks.image_cache.cache_root', lambda: tmp_path / 'cache')


def complaints(root, **options):
    found = look([str(root)], options=Options(**options))
    return [problem.text for problem in found.problems if problem.serious], found


def only(texts):
    assert len(texts) == 1, texts
    return texts[0]


def colours(values):
    return np.array([(0, 0, 0), (0, 0, 255), (0, 255, 0), (255, 0, 0)], np.uint8)[values]


class TestNumbersOfClasses:
    def test_yolo_from_one(self, tmp_path):
        text = only(complaints(makers.write_yolo(tmp_path, shift=1))[0])
        assert 'the classes 3, and 3 names' in text
        assert 'subtract 1 from the first number' in text

    def test_yolo_beyond_the_names(self, tmp_path):
        makers.write_yolo(tmp_path)
        makers.write_text(tmp_path / 'labels/train/000.txt', '7 0.5 0.5 0.2 0.2\n')
        text = only(complaints(tmp_path)[0])
        assert 'the classes 7, and 3 names leave only 0 to 2' in text

    def test_yolo_with_names_in_two_orders(self, tmp_path):
        makers.write_yolo(tmp_path)
        makers.write_text(tmp_path / 'classes.txt', '\n'.join(reversed(makers.NAMES)))
        assert 'so that a number means two classes: remove the list' in only(complaints(tmp_path)[0])
        makers.write_text(tmp_path / 'classes.txt', 'dog\nperson\n')  # what a program of labelling left there
        texts, found = complaints(tmp_path)
        assert not texts
        assert "'dog', 'person': the first is taken" in ''.join(problem.text for problem in found.problems)

    def test_yolo_with_empty_files(self, tmp_path):
        for path in makers.write_yolo(tmp_path).glob('labels/*/*.txt'):
            path.write_text('')
        assert 'no object: its annotations are empty' in only(complaints(tmp_path)[0])

    @pytest.mark.parametrize(('shift', 'said'), [(-1, '1 too low'), (1, '1 too high')])
    def test_coco(self, tmp_path, shift, said):
        def change(content):
            for item in content['annotations']:
                item['category_id'] += shift

        texts, _ = complaints(makers.write_coco(tmp_path, change=change))
        assert len(texts) == 2  # one a split
        assert all(f'all of them are {said}' in text for text in texts)

    def test_maps(self, tmp_path):
        makers.write_masks(tmp_path, names=makers.NAMES[:2])
        text = only(complaints(tmp_path)[0])
        assert 'the values 2, 3, and the 2 names leave only up to 1' in text

    def test_maps_whose_names_lack_the_background_are_understood(self, tmp_path):
        texts, found = complaints(makers.write_masks(tmp_path, names=makers.NAMES))
        assert not texts
        assert found.classes == ('background', *makers.NAMES)
        assert found.table.values[255] == 255
        _, found = complaints(tmp_path, background='ignore')
        assert (found.classes, found.table.values[0], found.table.values[1]) == (makers.NAMES, 255, 0)

    def test_classes_in_another_order(self, tmp_path):
        makers.write_coco(tmp_path)
        path = tmp_path / 'annotations/instances_val.json'
        content = json.loads(path.read_text())
        content['categories'].reverse()
        path.write_text(json.dumps(content))
        assert "sort their 'categories' alike" in only(complaints(tmp_path)[0])


class TestNamesThatAreGiven:
    def test_those_of_the_data_choose_and_order(self, tmp_path):
        makers.write_yolo(tmp_path)
        texts, found = complaints(tmp_path, classes=('dog', 'cat'))
        assert (texts, found.classes) == ([], ('dog', 'cat'))
        assert "Objects of 'bird' are left out" in ' '.join(found.notes)
        split = found.splits[0]
        first = [item['category_id'] for item in split.content(None) if item['image_id'] == 1]
        names = [makers.NAMES[number] for number, *_ in makers.objects(0)]
        assert first == [('dog', 'cat').index(name) + 1 for name in names if name != 'bird']

    def test_others_rename(self, tmp_path):
        makers.write_yolo(tmp_path)
        texts, found = complaints(tmp_path, classes=('a', 'b', 'c'))
        assert (texts, found.classes) == ([], ('a', 'b', 'c'))
        assert "--classes names 'a', and the data 'cat'" in only(complaints(tmp_path, classes=('cat', 'a'))[0])

    def test_maps_in_another_order(self, tmp_path):
        makers.write_masks(tmp_path, names=makers.NAMES)
        assert 'leave --classes out' in only(complaints(tmp_path, classes=makers.NAMES[::-1])[0])
        assert complaints(tmp_path, classes=makers.NAMES)[0] == []


class TestSplits:
    def test_an_image_in_two_of_them(self, tmp_path):
        makers.write_yolo(tmp_path)
        copy = (tmp_path / 'images/train/000.jpg').read_bytes()
        (tmp_path / 'images/val/copy.jpg').write_bytes(copy)
        makers.write_text(tmp_path / 'labels/val/copy.txt', makers.yolo_text(0))
        texts, found = complaints(tmp_path)
        assert '1 image is in two splits' in only(texts)
        assert '--resplit' in texts[0]
        assert not found.problems.serious(leave_out=True)
        assert [part.images for part in totals(found)] == [3, 3]

        assert not found.problems.serious(leave_out=False, resplit=True)

    def test_twice_in_one_is_suspicious_alone(self, tmp_path):
        makers.write_masks(tmp_path)
        for folder, suffix in (('images', '.jpg'), ('masks', '.png')):
            content = (tmp_path / f'{folder}/train/000{suffix}').read_bytes()
            (tmp_path / f'{folder}/train/copy{suffix}').write_bytes(content)
        texts, found = complaints(tmp_path)
        assert not texts
        assert 'are there more than once' in ' '.join(problem.text for problem in found.problems)


class TestColours:
    def test_without_a_table(self, tmp_path):
        text = only(complaints(makers.write_masks(tmp_path, colours, names=None))[0])
        assert '(255, 0, 0)' in text
        assert '--table FILE' in text

    def test_with_one(self, tmp_path):
        makers.write_masks(tmp_path, colours, names=None)
        table = tmp_path / 'colours.txt'
        # OpenCV writes blue first
        table.write_text('0 0 0 void\n255 0 0 cat\n0 255 0 dog\n0 0 255 bird\n')
        texts, found = complaints(tmp_path, table=str(table))
        assert not texts
        assert found.classes == makers.NAMES
        read = found.table.read(found.splits[0].maps[0])
        np.testing.assert_array_equal(read, np.where(makers.labels(0) == 0, 255, makers.labels(0) - 1))

    @pytest.mark.parametrize('grey', ['one map', 'all maps'])
    def test_greys_are_colours_where_the_table_has_them(self, grey, tmp_path):
        lut = np.array(
            [(0, 0, 0), (90, 90, 90), (255, 255, 255), (200,) * 3 if grey == 'all maps' else (1, 2, 3)], np.uint8
        )
        root = makers.write_masks(tmp_path, lambda values: lut[values], names=None)
        if grey == 'one map':
            cv2.imwrite(str(tmp_path / 'masks/train/000.png'), lut[np.minimum(makers.labels(0), 2)])
        last = '200 200 200' if grey == 'all maps' else '3 2 1'
        (tmp_path / 'labelmap.txt').write_text(f'{last} bird\n255 255 255 dog\n90 90 90 cat\n0 0 0 nothing\n')
        texts, found = complaints(root)
        assert not texts
        assert found.classes == ('bird', 'dog', 'cat', 'nothing')
        wanted = makers.labels(0) if grey == 'all maps' else np.minimum(makers.labels(0), 2)
        np.testing.assert_array_equal(found.table.read(found.splits[0].maps[0]), 3 - wanted)

    def test_smoothed(self, tmp_path):
        def change(values):
            return cv2.GaussianBlur(cv2.resize(colours(values), (640, 480)), (31, 31), 9)[:48, :64] + np.arange(
                64, dtype=np.uint8
            )[None, :, None] * np.arange(1, 4, dtype=np.uint8)

        text = only(complaints(makers.write_masks(tmp_path, change, names=None))[0])
        assert 'smoothed or saved as JPEG' in text

    def test_jpeg(self, tmp_path):
        assert 'JPEG' in only(complaints(makers.write_masks(tmp_path, suffix='.jpg'))[0])


class TestFiles:
    def test_a_split_in_a_folder_that_was_not_given(self, tmp_path):
        makers.write_yolo(tmp_path / 'a')
        for folder in ('images', 'labels'):
            (tmp_path / f'b/{folder}').mkdir(parents=True)
            (tmp_path / f'a/{folder}/val').rename(tmp_path / f'b/{folder}/val')
        yaml = tmp_path / 'a/data.yaml'
        makers.write_text(yaml, 'train: images/train\nval: ../b/images/val\nnames: [cat, dog, bird]\n')
        assert f'give both (mmvitdense data {tmp_path}/a {tmp_path}/b ...)' in only(complaints(tmp_path / 'a')[0])
        found = look([str(tmp_path / 'a'), str(tmp_path / 'b')])
        assert [split.name for split in found.splits] == ['train', 'val']
        assert not found.problems.serious(leave_out=False)

    def test_what_may_be_right_is_said(self, tmp_path):
        root = makers.write_voc(tmp_path / 'voc', sets=False)
        (root / 'Annotations/001.xml').unlink()
        text = makers.voc_text(0).replace(
            '<annotation>', '<annotation><size><width>48</width><height>64</height></size>'
        )
        makers.write_text(root / 'Annotations/000.xml', text)
        texts, found = complaints(tmp_path / 'voc')
        assert not texts
        assert '1 images have no annotations' in ' '.join(found.notes)
        assert '(64x48, stated 48x64)' in ' '.join(problem.text for problem in found.problems)
        makers.write_yolo(tmp_path / 'yolo', polygons=True)
        makers.write_text(tmp_path / 'yolo/labels/train/000.txt', '0 0.1 0.1 0.5 0.5\n')
        texts, found = complaints(tmp_path / 'yolo')
        assert not texts
        assert '1 of ' in (said := ' '.join(problem.text for problem in found.problems))
        assert 'boxes without an outline' in said

    def test_boxes_off_the_image(self, tmp_path):
        root = makers.write_voc(tmp_path)
        far = [(0, 500, 400, 20, 20), *makers.objects(0)]
        makers.write_text(root / 'Annotations/000.xml', makers.voc_text(0, found=far))
        texts, found = complaints(tmp_path)
        assert '1 box lies off the image' in only(texts)
        assert '--leave-out' in texts[0]
        assert sum(part.objects for part in totals(found)) == 12

    def test_missing_images(self, tmp_path):
        makers.write_voc(tmp_path)
        (tmp_path / 'VOCdevkit/VOC2012/JPEGImages/001.jpg').unlink()
        assert '1 image that annotations name is not there (001.jpg of ' in only(complaints(tmp_path)[0])

    def test_a_byte_order_mark(self, tmp_path):
        path = makers.write_coco(tmp_path) / 'annotations/instances_val.json'
        path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
        assert 'save it as UTF-8 without one' in only(complaints(tmp_path)[0])

    def test_most_images_are_elsewhere(self, tmp_path):
        makers.write_coco(tmp_path)
        for path in (tmp_path / 'train').iterdir():
            path.unlink()
        texts, _ = complaints(tmp_path)
        assert any('give the folder that holds them too' in text for text in texts)

    def test_empty_files(self, tmp_path):
        makers.write_voc(tmp_path)
        (tmp_path / 'VOCdevkit/VOC2012/JPEGImages/001.jpg').write_bytes(b'')
        (tmp_path / 'VOCdevkit/VOC2012/Annotations/002.xml').write_bytes(b'')
        texts, found = complaints(tmp_path)
        assert len(texts) == 2
        assert any('001.jpg: it is empty (0 bytes)' in text for text in texts)
        assert any('1 file cannot be read' in text and '002.xml' in text for text in texts)
        assert not found.problems.serious(leave_out=True)

    def test_an_image_cut_short(self, tmp_path):
        makers.write_yolo(tmp_path)
        path = tmp_path / 'images/train/000.jpg'
        path.write_bytes(path.read_bytes()[:900])
        assert 'cannot be read' in only(complaints(tmp_path)[0])

    def test_maps_of_another_size_and_missing_ones(self, tmp_path):
        makers.write_masks(tmp_path)
        makers.write_image(tmp_path / 'masks/train/000.png', np.zeros((10, 10), np.uint8))
        (tmp_path / 'masks/train/001.png').unlink()
        texts, _ = complaints(tmp_path)
        assert len(texts) == 2
        assert any('another size than their label map' in text for text in texts)
        assert any('has no label map' in text for text in texts)

    @pytest.mark.parametrize('length', [0, 500])
    def test_a_cut_json_file(self, tmp_path, length):
        path = makers.write_coco(tmp_path) / 'annotations/instances_train.json'
        path.write_text(path.read_text()[:length])
        assert 'instances_train.json is not a whole JSON file' in only(complaints(tmp_path)[0])

    def test_numbers_in_pixels(self, tmp_path):
        makers.write_yolo(tmp_path)
        makers.write_text(tmp_path / 'labels/train/000.txt', '0 32 24 10 10\n')
        assert 'not parts of the image from 0 to 1' in only(complaints(tmp_path)[0])

    def test_entities_are_not_expanded(self, tmp_path):
        root = makers.write_voc(tmp_path)
        bomb = '<!DOCTYPE annotation [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'
        makers.write_text(root / 'Annotations/000.xml', bomb)
        assert "declares the entity 'a'" in only(complaints(tmp_path)[0])

    def test_yaml_makes_no_objects(self, tmp_path):
        makers.write_yolo(tmp_path)
        text = 'train: images/train\nval: images/val\nnames: !!python/object/apply:os.getcwd []\n'
        makers.write_text(tmp_path / 'data.yaml', text)
        texts, _ = complaints(tmp_path)
        assert any('cannot be read as YAML of plain values' in text for text in texts)

    def test_nothing_that_is_known(self, tmp_path):
        makers.write_text(tmp_path / 'notes.txt', 'to do')
        with pytest.raises(DataError, match=r"holds nothing that is recognised as COCO.*1 with '\.txt'"):
            look([str(tmp_path)])
        with pytest.raises(DataError, match='There is no file or folder'):
            look([str(tmp_path / 'nowhere')])
