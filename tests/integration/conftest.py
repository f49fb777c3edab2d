"""One data set and one small trained model of each kind for all integration tests."""

import pytest

from .workshop import DETECTOR, SEGMENTOR, TINY_DETECTOR, TINY_SEGMENTOR, Workshop, schedule

SGD = {'optim_wrapper.optimizer.type': 'SGD', 'optim_wrapper.optimizer.lr': 0.05, 'param_scheduler': None}


@pytest.fixture(scope='session')
def workshop(tmp_path_factory, tools_python):
    from mmvitdense.datasets.shapes import write_shapes

    folder = tmp_path_factory.mktemp('workshop')
    write_shapes(folder / 'data' / 'shapes', 24, 5, image_size=64, seed=0)
    return Workshop(folder, tools_python)


@pytest.fixture(scope='session')
def detector(workshop):
    """The work dir of a detector after 8 iterations, with a checkpoint of every second one."""
    workshop.run('train.py', DETECTOR, '--work-dir', 'detector', options={**TINY_DETECTOR, **schedule(8, 2)})
    return workshop / 'detector'


@pytest.fixture(scope='session')
def segmentor(workshop):
    """The work dir of a segmentor after 4 iterations on batches of 4, with a checkpoint of each."""
    options = {**TINY_SEGMENTOR, **SGD, **schedule(4, 1)}
    workshop.run('train.py', SEGMENTOR, '--work-dir', 'segmentor', options=options, fresh=True)
    return workshop / 'segmentor'


def pytest_collection_modifyitems(items):
    for item in items:
        if 'integration' in item.path.parts:
            item.add_marker(pytest.mark.integration)
