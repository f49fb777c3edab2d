"""Where published data sets are, what their archives are checked by, and where the configs expect what is in them."""

from __future__ import annotations

from typing import NamedTuple


class Archive(NamedTuple):
    """A zip of a data set.

    Attributes:
        url: Its address.
        gigabytes: Its size, about.
        md5: Its MD5 sum; '' where its publisher gives none, and the checks within the zip are all there is.
        creates: What it unpacks to, below the folder of the data set.
        into: The folder, below that of the data set, that the zip is unpacked in.
    """

    url: str
    gigabytes: float
    md5: str
    creates: tuple[str, ...]
    into: str = ''


class PublishedData(NamedTuple):
    """A data set.

    Attributes:
        folder: Where the configs expect it, below `data`.
        archives: Its archives, by what they are called on the command line.
        licence: Where its terms are.
        login: Whether its publisher asks who fetches it.
    """

    folder: str
    archives: dict[str, Archive]
    licence: str
    login: bool = False


_COCO = 'http://images.cocodataset.org'
_IMAGES = {
    'train': Archive(f'{_COCO}/zips/train2017.zip', 19.3, 'cced6f7f71b7629ddf16f17bbcfab6b2', ('train2017',)),
    'val': Archive(f'{_COCO}/zips/val2017.zip', 0.8, '442b8da7639aecaf257c1dceb8ba8c80', ('val2017',)),
}
_LVIS = 'https://dl.fbaipublicfiles.com/LVIS'
_CITYSCAPES = 'https://www.cityscapes-dataset.com/file-handling/?packageID='
DATA_SETS = {
    'coco': PublishedData(
        'coco',
        {
            **_IMAGES,
            'annotations': Archive(
                f'{_COCO}/annotations/annotations_trainval2017.zip',
                0.25,
                'f4bbac642086de4f52a3fdda2de5fa2c',
                ('annotations/instances_train2017.json', 'annotations/instances_val2017.json'),
            ),
        },
        'https://cocodataset.org/#termsofuse',
    ),
    'lvis': PublishedData(
        'lvis_v1',
        {
            **_IMAGES,
            'train-annotations': Archive(
                f'{_LVIS}/lvis_v1_train.json.zip',
                0.35,
                '4410d837f71203af226950447ef9d422',
                ('annotations/lvis_v1_train.json',),
                'annotations',
            ),
            'val-annotations': Archive(
                f'{_LVIS}/lvis_v1_val.json.zip',
                0.07,
                '87734a7f895990b9552075d7ce723e27',
                ('annotations/lvis_v1_val.json',),
                'annotations',
            ),
        },
        'https://www.lvisdataset.org',
    ),
    'ade20k': PublishedData(
        'ade',
        {
            'all': Archive(
                'http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip',
                0.97,
                '7328b3957e407ddae1d3cbf487f149ef',
                ('ADEChallengeData2016',),
            )
        },
        'https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/',
    ),
    'cityscapes': PublishedData(
        'cityscapes',
        {
            # The maps of the 19 classes that are trained, `*_labelTrainIds.png`, are made from those of all labels.
            'labels': Archive(f'{_CITYSCAPES}1', 0.25, '', ('gtFine',)),
            'images': Archive(f'{_CITYSCAPES}3', 11.6, '', ('leftImg8bit',)),
        },
        'https://www.cityscapes-dataset.com/license/',
        login=True,
    ),
}
