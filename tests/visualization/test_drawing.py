"""Pictures of predictions."""

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmvitdense.visualization.drawing import Artist, as_picture
from mmvitdense.visualization.lettering import text_size, write_text
from mmvitdense.visualization.scenes import prediction_scene

CLASSES = ('sky', 'sea')
RED, BLUE = (255, 0, 0), (0, 0, 255)


def grey(size):
    return np.full((size, size, 3), 100, np.uint8)


def detections(size=1000, scores=(0.9, 0.2)):
    masks = torch.zeros(2, size, size, dtype=torch.bool)
    masks[0, 300:500, 200:600] = True
    masks[1, 700:800, 700:800] = True
    boxes = torch.tensor([[200.0, 300.0, 600.0, 500.0], [700.0, 700.0, 800.0, 800.0]])
    instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]), scores=torch.tensor(scores), masks=masks)
    return BaseDataElement(pred_instances=instances)


def test_masks_are_tinted_and_low_scores_left_out():
    picture = Artist(CLASSES, [RED, BLUE]).prediction(grey(1000), detections(), score_thr=0.5)
    assert picture.shape == (1000, 1000, 3)
    blue, green, red = picture[400, 400].astype(int)
    assert red > 150
    assert blue == green < 60
    assert tuple(picture[300, 400]) == RED[::-1]
    np.testing.assert_array_equal(picture[600:], grey(1000)[600:])


def test_images_stay_as_they_are():
    image = grey(600)
    Artist(CLASSES).prediction(image, BaseDataElement(pred_sem_seg=PixelData(data=torch.ones(1, 600, 600))), 0.0)
    np.testing.assert_array_equal(image, grey(600))


def test_small_images_are_enlarged_by_a_whole_factor_with_what_is_on_them():
    labels = torch.zeros(1, 100, 100, dtype=torch.long)
    labels[:, 50:] = 1
    picture = Artist(CLASSES, [RED, BLUE]).prediction(
        grey(100), BaseDataElement(pred_sem_seg=PixelData(data=labels)), 0.0
    )
    assert picture.shape == (500, 500, 3)
    assert picture[5, 5, 2] > picture[5, 5, 0]
    assert picture[260, 5, 0] > picture[260, 5, 2]


def test_ignored_pixels_stay_bare():
    labels = torch.full((1, 600, 600), 255)
    picture = Artist(CLASSES).truth(grey(600), BaseDataElement(gt_sem_seg=PixelData(data=labels)))
    np.testing.assert_array_equal(picture, grey(600))


def test_segments_of_a_panoptic_prediction():
    ids = torch.full((1, 600, 600), 2)
    ids[:, :300] = 0
    ids[:, 400:500, :200] = 1 + 1000
    ids[:, 400:500, 200:400] = 1 + 2000
    sample = detections(600)
    sample.pred_panoptic_seg = PixelData(sem_seg=ids)
    segments = list(prediction_scene(sample, 0.0).segments(2))
    assert [label for label, _ in segments] == [0, 1, 1]
    for (_, part), expected in zip(segments, (0, 1001, 2001)):
        mask = np.zeros((600, 600), bool)
        mask[part.top :, part.left :][: part.mask.shape[0], : part.mask.shape[1]] = part.mask
        np.testing.assert_array_equal(mask, (ids[0] == expected).numpy())
    picture = Artist(CLASSES, [RED, BLUE]).prediction(grey(600), sample, 0.0)
    assert tuple(picture[0, 300]) == RED[::-1], 'an outline'
    assert tuple(picture[450, 199]) == tuple(picture[450, 200]) == BLUE[::-1], 'the border of two things of a class'
    assert picture[420, 20, 0] > picture[420, 20, 2]
    np.testing.assert_array_equal(picture[550:], grey(600)[550:])


def test_labels_of_a_panoptic_sample():
    labels = torch.zeros(1, 600, 600, dtype=torch.long)
    sample = BaseDataElement(gt_sem_seg=PixelData(sem_seg=labels))
    same = BaseDataElement(gt_sem_seg=PixelData(data=labels))
    artist = Artist(CLASSES, [RED, BLUE])
    np.testing.assert_array_equal(artist.truth(grey(600), sample), artist.truth(grey(600), same))


def test_labels_stand_on_the_left():
    sample = detections(scores=(0.1, 0.1))
    sample.gt_instances = InstanceData(bboxes=sample.pred_instances.bboxes[:1], labels=torch.tensor([1]))
    picture = Artist(CLASSES, [RED, BLUE]).side_by_side(grey(1000), sample, 0.5)
    assert picture.shape == (1000, 2008, 3)
    assert tuple(picture[300, 500]) == BLUE[::-1]
    np.testing.assert_array_equal(picture[:, 1008:], grey(1000))
    alone = Artist(CLASSES).side_by_side(grey(1000), detections(), 0.5)
    assert alone.shape == (1000, 1000, 3)


@pytest.mark.parametrize('count', [0, 1])
def test_nothing_found(count):
    none = BaseDataElement(pred_instances=detections().pred_instances[:count])
    np.testing.assert_array_equal(Artist(CLASSES).prediction(grey(1000), none, 0.95), grey(1000))


def test_colours_without_a_palette_differ():
    artist = Artist(CLASSES, 'random')
    colours = np.array([artist.colour(label) for label in range(30)], dtype=int)
    distance = np.abs(colours[:, None] - colours[None]).sum(-1) + 1000 * np.eye(30)
    assert distance.min() > 10


@pytest.mark.parametrize('kind', ['map', 'segments'])
def test_a_legend_names_what_is_seen_the_largest_first(kind):
    labels = torch.full((1, 600, 600), 255 if kind == 'map' else 3)
    labels[:, :100], labels[:, 300:] = 0, 2
    field = {'data': labels} if kind == 'map' else {'sem_seg': labels}
    sample = BaseDataElement(**{'pred_sem_seg' if kind == 'map' else 'pred_panoptic_seg': PixelData(**field)})
    artist = Artist((*CLASSES, 'sand'), [RED, BLUE, (0, 128, 0)])
    plain, picture = artist.prediction(grey(600), sample, 0.0), artist.prediction(grey(600), sample, 0.0, legend=True)
    assert plain.shape == (600, 600, 3)
    legend = picture[:, 600:].reshape(-1, 3)
    assert legend.shape[0] > 0
    rows = [np.flatnonzero((picture[:, 600:] == colour).all(-1).any(1)) for colour in ((0, 128, 0), RED[::-1])]
    assert rows[0].max() < rows[1].min(), 'sand, then sky'
    assert not (legend == BLUE[::-1]).all(-1).any(), 'there is no sea'
    assert (picture[200, :600] == 100).all(), 'what is ignored stays bare'
    inner = slice(20, 80), slice(20, 580)
    assert (picture[inner] == picture[50, 50]).all(), 'no name is written over the map'
    assert not (plain[inner] == plain[50, 50]).all()


def test_a_legend_takes_as_many_columns_as_it_needs():
    names = [f'class {number}' for number in range(150)]
    artist = Artist(names)
    labels = torch.arange(600 * 600).reshape(1, 600, 600) % 150
    picture = artist.prediction(grey(600), BaseDataElement(pred_sem_seg=PixelData(data=labels)), 0.0, legend=True)
    seen = {tuple(colour) for colour in np.unique(picture[:, 600:].reshape(-1, 3), axis=0)}
    assert all(artist.colour(number) in seen for number in range(150))


def test_pictures_of_bands():
    """Red, green and blue of Sentinel-2, or those that are asked for, each stretched by its own range."""
    image = np.zeros((10, 10, 13), np.float32)
    image[..., 3] = np.arange(100).reshape(10, 10) * 50
    image[0, 0, 3] = 1e6  # a glint
    picture = as_picture(image)
    assert picture.dtype == np.uint8
    assert not picture[..., :2].any()
    assert picture[..., 2].max() == 255
    assert 120 < np.median(picture[..., 2]) < 135
    assert np.array_equal(as_picture(image, [0, 0, 3])[..., 0], picture[..., 2])
    stretched = np.full((2, 2, 13), 100.4, np.float32)
    assert (as_picture(stretched) == 100).all()
    assert as_picture(np.ones((2, 2, 2), np.uint8)).shape == (2, 2, 3)
    with pytest.raises(ValueError, match=r'The bands \[2, 1, 0\] are to be shown, and the image has 2'):
        as_picture(np.ones((2, 2, 2)), [2, 1, 0])


def test_letters_beyond_ascii_are_written_and_not_as_question_marks():
    pictures = {}
    for text in ('Äpfel', 'Apfel', '??pfel'):
        (width, _), base = text_size(text, 0.5)
        pictures[text] = np.full((40, 100, 3), 255, np.uint8)
        write_text(pictures[text], text, (5, 25), 0.5, (0, 0, 0))
        rows, columns = np.nonzero((pictures[text] < 128).any(-1))
        assert 5 <= columns.min() <= 8
        assert columns.max() <= 5 + width + 1
        assert rows.max() <= 25 + base
    assert not np.array_equal(pictures['Äpfel'], pictures['??pfel'])
    dots = {text: (picture[:25, 5:14] < 128).any(-1).any(1).argmax() for text, picture in pictures.items()}
    assert dots['Äpfel'] < dots['Apfel'], 'the dots are above the letter'
