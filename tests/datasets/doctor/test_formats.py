"""Every usual arrangement of every format is recognised, and read as what it means."""

import base64
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from mmvitdense.datasets.doctor import Options, convert, look, parts_of, totals
from mmvitdense.datasets.doctor.label_table import read_table

from . import makers


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr('mmvitdense.datasets.checks.image_cache.cache_root', lambda: tmp_path / 'cache')


def boxes(root):
    """{name of an image without suffix: {(class, x, y, width, height)}} of a converted data set."""
    found = {}
    for path in sorted((root / 'annotations').glob('instances_*.json')):
        content = json.loads(path.read_text())
        names = {item['id']: item['file_name'] for item in content['images']}
        for item in content['images']:
            split = path.stem.partition('_')[2]
            assert (root / split / item['file_name']).is_file()
            assert Image.open(root / split / item['file_name']).size == (item['width'], item['height'])
            found[item['file_name'].rpartition('.')[0].rpartition('/')[2]] = set()
        classes = {item['id']: item['name'] for item in content['categories']}
        for item in content['annotations']:
            name = names[item['image_id']].rpartition('.')[0].rpartition('/')[2]
            found[name].add((classes[item['category_id']], *(round(value, 2) for value in item['bbox'])))
    return found


EXPECTED = {f'{n:03d}': {(makers.NAMES[label], *box) for label, *box in makers.objects(n)} for n in range(6)}


def converted(root, target, share=0.2, **options):
    found = look([str(root)], options=Options(**options))
    assert not [problem.text for problem in found.problems if problem.serious]
    parts, _ = parts_of(found, share)
    return found, convert(found, parts, str(target), found.tasks[0])


def write_roboflow_voc(root):
    for split, folder in (('train', 'train'), ('val', 'valid')):
        for number in makers.SPLITS[split]:
            makers.write_image(root / folder / f'{number:03d}.jpg', makers.photograph(number))
            makers.write_text(root / folder / f'{number:03d}.xml', makers.voc_text(number))


def write_nested_voc(root):
    for number in range(6):
        makers.write_image(root / f'pictures/part {number % 2}/{number:03d}.JPG', makers.photograph(number))
        text = '<?xml version="1.0" encoding="UTF-16"?>' + makers.voc_text(number, name=f'C:\\photos\\{number:03d}.JPG')
        makers.write_text(root / f'xml/{number:03d}.xml', text, encoding='utf-16')


def write_flat_yolo(root):
    """As LabelImg and darknet leave it: text files beside the images."""
    for number in range(6):
        makers.write_image(root / f'obj_train_data/{number:03d}.PNG', makers.photograph(number))
        makers.write_text(root / f'obj_train_data/{number:03d}.txt', makers.yolo_text(number))
    makers.write_text(root / 'obj.names', '\ufeff' + '\r\n'.join(makers.NAMES))


def write_ultralytics(root):
    """With absolute paths of another machine, lists of images, and names as a dict."""
    makers.write_yolo(root, yaml=False)
    lists = {
        split: ''.join(f'./images/{split}/{n:03d}.jpg\n' for n in numbers) for split, numbers in makers.SPLITS.items()
    }
    for split, text in lists.items():
        makers.write_text(root / f'{split}.txt', text)
    names = ''.join(f'  {number}: {name}\n' for number, name in enumerate(makers.NAMES))
    makers.write_text(
        root / 'coco.yaml', f'path: /home/me/datasets/mine\ntrain: train.txt\nval: [val.txt]\nnames:\n{names}'
    )


def write_roboflow_yolo(root):
    """Whose paths are wrong by one folder, and name a test set that is not there."""
    makers.write_yolo(root, yaml=False, order='{}/images')
    (root / 'val').rename(root / 'valid')
    text = f'train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 3\nnames: {list(makers.NAMES)}\n'
    makers.write_text(root / 'data.yaml', text)


def write_yolo_below(root):
    makers.write_yolo(root / 'datasets/mine', yaml=False)
    text = 'path: ../datasets/mine\ntrain: images/train\nval: images/val\nnames: [cat, dog, bird]\n'
    makers.write_text(root / 'mine.yaml', text)


def write_roboflow_coco(root):
    for split, folder in (('train', 'train'), ('val', 'valid')):
        for number in makers.SPLITS[split]:
            makers.write_image(root / folder / f'{number:03d}.jpg', makers.photograph(number))
        content = makers.coco_content(makers.SPLITS[split])
        makers.write_text(root / folder / '_annotations.coco.json', json.dumps(content))


def write_one_coco(root):
    for number in range(6):
        makers.write_image(root / f'images/{number:03d}.jpg', makers.photograph(number))
    makers.write_text(root / 'result.json', json.dumps(makers.coco_content(range(6), first=0)))


def write_labelme(root):
    for number in range(6):
        makers.write_image(root / f'{number:03d}.jpg', makers.photograph(number))
        shapes = [
            {'label': makers.NAMES[label], 'points': [[x + w, y + h], [x, y]], 'shape_type': 'rectangle'}
            for label, x, y, w, h in makers.objects(number)
        ]
        shapes[0].update(
            shape_type='polygon',
            points=[[x + dx * w, y + dy * h] for _, x, y, w, h in makers.objects(number)[:1] for dx, dy in CORNERS],
        )
        if number == 1:  # of an object as a mask, in the file that LabelMe writes
            _, x, y, w, h = makers.objects(number)[0]
            mask = base64.b64encode(cv2.imencode('.png', np.ones((h, w), np.uint8))[1]).decode()
            shapes[0].update(shape_type='mask', points=[[x, y], [x + w - 1, y + h - 1]], mask=mask)
        text = json.dumps({'shapes': shapes, 'imagePath': f'..\\photos\\{number:03d}.jpg', 'imageData': None})
        makers.write_text(root / f'{number:03d}.json', text)


CORNERS = [(0, 0), (1, 0), (1, 1), (0, 1)]


def write_cvat(root):
    """Boxes, polygons and a mask."""
    images = []
    for number in range(6):
        makers.write_image(root / f'images/{number:03d}.jpg', makers.photograph(number))
        (a, x, y, w, h), (b, left, top, width, height) = makers.objects(number)
        points = ';'.join(f'{x + dx * w},{y + dy * h}' for dx, dy in CORNERS)
        second = f'<box label="{makers.NAMES[b]}" xtl="{left}" ytl="{top}" xbr="{left + width}" ybr="{top + height}"/>'
        if number == 1:
            place = f'left="{left}" top="{top}" width="{width}" height="{height}"'
            second = f'<mask label="{makers.NAMES[b]}" rle="0, {width * height}" {place}/>'
        first = f'<polygon label="{makers.NAMES[a]}" points="{points}"/>'
        images.append(f'<image id="{number}" name="{number:03d}.jpg">{first}{second}</image>')
    labels = ''.join(f'<label><name>{name}</name></label>' for name in makers.NAMES)
    text = f'<annotations><meta><task><labels>{labels}</labels></task></meta>{"".join(images)}</annotations>'
    makers.write_text(root / 'annotations.xml', text)


@pytest.mark.parametrize(
    ('write', 'name'),
    [
        (write_labelme, 'LabelMe'),
        (write_cvat, 'CVAT'),
        (makers.write_voc, 'Pascal VOC'),
        (write_roboflow_voc, 'Pascal VOC'),
        (write_nested_voc, 'Pascal VOC'),
        (makers.write_yolo, 'YOLO'),
        (lambda root: makers.write_yolo(root, polygons=True), 'YOLO'),
        (lambda root: makers.write_yolo(root, order='{}/images'), 'YOLO'),
        (write_flat_yolo, 'YOLO'),
        (write_ultralytics, 'YOLO'),
        (write_roboflow_yolo, 'YOLO'),
        (write_yolo_below, 'YOLO'),
        (makers.write_coco, 'COCO'),
        (write_roboflow_coco, 'COCO'),
        (write_one_coco, 'COCO'),
    ],
)
def test_objects(write, name, tmp_path):
    write(tmp_path / 'Träger mit Leerzeichen')
    found, layout = converted(tmp_path / 'Träger mit Leerzeichen', tmp_path / 'out')
    assert found.format == name
    assert sorted(found.classes) == sorted(makers.NAMES)
    assert boxes(tmp_path / 'out') == EXPECTED
    if len([split for split in found.splits if split.name]) == 2:
        assert layout.images == {'train': 4, 'val': 2}


def map_of(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def write_palette(root):
    """VOC's own: maps with a palette, lists of the splits, and 255 on the borders."""
    for number in range(6):
        makers.write_image(root / f'JPEGImages/{number:03d}.jpg', makers.photograph(number))
        values = makers.labels(number)
        values[0] = 255
        (root / 'SegmentationClass').mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(values, 'P')
        image.putpalette([value * 7 % 256 for value in range(768)])
        image.save(root / f'SegmentationClass/{number:03d}.png')
    makers.write_text(root / 'labels.txt', '\n'.join(('background', *makers.NAMES)))


def write_sixteen_bits(root):
    makers.write_masks(root, lambda values: values.astype(np.uint16) * 100, end='_mask')
    rows = {'background': 0} | {name: 100 * number for number, name in enumerate(makers.NAMES, start=1)}
    (root / 'classes.txt').unlink()
    makers.write_text(root / 'classes.json', json.dumps(rows))


def write_beside(root):
    """Images and maps in one folder, as KITTI's and DeepGlobe's copies have them."""
    for number in range(6):
        makers.write_image(root / f'{number:03d}_sat.jpg', makers.photograph(number))
        makers.write_image(root / f'{number:03d}_mask.png', makers.labels(number))
    makers.write_text(root / 'class_names.txt', '\n'.join(('background', *makers.NAMES)))


def write_camvid(root):
    table = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (0, 0, 128)]
    for split, numbers in makers.SPLITS.items():
        for number in numbers:
            makers.write_image(root / f'{split}/{number:03d}.png', makers.photograph(number))
            pixels = np.array(table, np.uint8)[makers.labels(number)][..., ::-1]
            makers.write_image(root / f'{split}_labels/{number:03d}_L.png', pixels)
    rows = ''.join(f'{name},{r},{g},{b}\n' for name, (r, g, b) in zip(('background', *makers.NAMES), table))
    makers.write_text(root / 'class_dict.csv', 'name,r,g,b\n' + rows)


@pytest.mark.parametrize(
    'write',
    [makers.write_masks, write_palette, write_sixteen_bits, write_beside, write_camvid],
    ids=lambda f: f.__name__,
)
def test_label_maps(write, tmp_path):
    write(tmp_path / 'source')
    found, layout = converted(tmp_path / 'source', tmp_path / 'out')
    assert found.classes == ('background', *makers.NAMES)
    maps = {path.stem[:3]: map_of(path) for path in (tmp_path / 'out/annotations').rglob('*.png')}
    assert len(maps) == 6
    for number in range(6):
        expected = makers.labels(number)
        if write is write_palette:
            expected[0] = 255
        np.testing.assert_array_equal(maps[f'{number:03d}'], expected)
    for split in ('training', 'validation'):
        images = {path.stem for path in (tmp_path / 'out/images' / split).iterdir()}
        assert images == {path.stem for path in (tmp_path / 'out/annotations' / split).iterdir()}
    assert layout.images['train'] >= 3


def test_binary_masks(tmp_path):
    makers.write_masks(tmp_path / 'source', lambda values: (values > 0).astype(np.uint8) * 255, names=None)
    found, _ = converted(tmp_path / 'source', tmp_path / 'out')
    assert found.classes == ('background', 'foreground')
    np.testing.assert_array_equal(map_of(tmp_path / 'out/annotations/training/000.png'), makers.labels(0) > 0)


def test_cityscapes_and_ade20k(tmp_path):
    for split, numbers in makers.SPLITS.items():
        for number in numbers:
            name = f'{split}/aachen/aachen_{number:06d}_000019'
            makers.write_image(tmp_path / f'c/leftImg8bit/{name}_leftImg8bit.png', makers.photograph(number))
            ids = np.array([0, 7, 8, 33], np.uint8)[makers.labels(number)]
            makers.write_image(tmp_path / f'c/gtFine/{name}_gtFine_labelIds.png', ids)
            makers.write_image(tmp_path / f'c/gtFine/{name}_gtFine_instanceIds.png', ids)
            makers.write_image(tmp_path / f'c/gtFine/{name}_gtFine_color.png', makers.photograph(number))
        folder = {'train': 'training', 'val': 'validation'}[split]
        for number in numbers:
            makers.write_image(tmp_path / f'a/images/{folder}/ADE_{number}.jpg', makers.photograph(number))
            makers.write_image(tmp_path / f'a/annotations/{folder}/ADE_{number}.png', makers.labels(number))
    makers.write_text(tmp_path / 'a/sceneCategories.txt', 'ADE_0 street\n')
    for place, name, number, last in (('c', 'Cityscapes', 19, 18), ('a', 'ADE20K', 150, 2)):
        found, _ = converted(tmp_path / place, tmp_path / f'{place}_out')
        assert (found.format, len(found.classes)) == (name, number)
        read = {int(found.table.read(found.splits[0].maps[0]).max(where=makers.labels(0) == 3, initial=0))}
        values = set(np.unique(found.table.read(found.splits[0].maps[1])).tolist())
        assert values <= {0, 1, last, 255}
        assert 255 in values
        assert read


@pytest.mark.parametrize(
    ('text', 'name', 'expected'),
    [
        (
            '64 128 64\tAnimal\n192 0 128 Arch way\n',
            'label_colors.txt',
            [('Animal', (64, 128, 64)), ('Arch way', (192, 0, 128))],
        ),
        (
            '# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n',
            'labelmap.txt',
            [('background', (0, 0, 0)), ('cat', (250, 50, 83))],
        ),
        ('Pixel Value, Class\n0, road\n1, sky\n', '_classes.csv', [('road', None), ('sky', None)]),
        ('{"road": [1, 2, 3]}', 'classes.json', [('road', (1, 2, 3))]),
    ],
)
def test_tables(text, name, expected, tmp_path):
    makers.write_text(tmp_path / name, text)
    names, _, colours = read_table(str(tmp_path / name))
    assert list(zip(names, colours or [None] * len(names))) == expected


def test_the_split_by_bytes_is_stable(tmp_path):
    def validation(share=0.4):
        found = look([str(tmp_path)])
        parts, note = parts_of(found, share)
        assert 'chosen by their bytes' in note
        return {split.names[index] for split, index in parts['val']}

    def write(numbers):
        for number in numbers:
            makers.write_image(tmp_path / f'{number:03d}.jpg', makers.photograph(number))
            makers.write_text(tmp_path / f'{number:03d}.txt', makers.yolo_text(number % 6))

    write(range(20))
    before = validation()
    assert 3 <= len(before) <= 13
    write(range(20, 40))
    assert before == {name for name in validation() if int(name[:3]) < 20}


def test_difficult_objects_are_ignored_and_counted(tmp_path):
    root = makers.write_voc(tmp_path / 'voc')
    text = makers.voc_text(0).replace('<difficult>0', '<difficult>1', 1)
    makers.write_text(root / 'Annotations/000.xml', text)
    found, _ = converted(tmp_path / 'voc', tmp_path / 'out')
    content = json.loads((tmp_path / 'out/annotations/instances_train.json').read_text())
    assert [item['iscrowd'] for item in content['annotations']].count(1) == 1
    assert totals(found)[0].crowds == 1


def test_a_folder_is_never_written_into(tmp_path):
    makers.write_voc(tmp_path / 'voc')
    found = look([str(tmp_path / 'voc')])
    parts, _ = parts_of(found, 0.2)
    for target, text in ((tmp_path / 'voc/out', 'inside of the data itself'), (tmp_path, 'is there already')):
        with pytest.raises(ValueError, match=text):
            convert(found, parts, str(target), 'detection')
