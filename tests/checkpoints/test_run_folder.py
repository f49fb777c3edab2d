"""A folder in place of a checkpoint: the message names what is in it."""

import pytest

from mmvitdense.checkpoints import CheckpointError
from mmvitdense.checkpoints.files.reading import read_file


def test_the_checkpoints_of_a_run(tmp_path):
    with pytest.raises(CheckpointError, match='is a folder without checkpoints in it; expected a file such as'):
        read_file(tmp_path)
    for number in range(1, 13):
        (tmp_path / f'epoch_{number}.pth').touch()
    listed = 'epoch_12.pth, epoch_11.pth, epoch_10.pth, epoch_9.pth, epoch_8.pth and 7 more.'
    with pytest.raises(CheckpointError, match=f'such as {tmp_path}/epoch_12.pth: it has {listed}'):
        read_file(tmp_path)
    # The folder was moved since.
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_9.pth')
    with pytest.raises(CheckpointError, match=r'epoch_9.pth: it has epoch_9.pth, .* \(epoch_9.pth is its last_checkp'):
        read_file(tmp_path)
