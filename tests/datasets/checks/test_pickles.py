"""Pickles among the data: refused before anybody reads them."""

import pickle

import pytest

from mmvitdense.datasets.checks import DataError, check_data


class Payload:
    def __reduce__(self):
        return eval, ("open('executed', 'w')",)


@pytest.mark.parametrize('place', ['ann_file', 'proposal_file', 'metric'])
def test_a_pickle_is_refused_and_not_read(coco, place, monkeypatch):
    monkeypatch.chdir(coco.root)
    path = coco.root / 'data.pkl'
    path.write_bytes(pickle.dumps(Payload()))
    cfg = coco.config() if place == 'metric' else coco.config(**{place: 'data.pkl'})
    if place == 'metric':
        cfg.val_evaluator.ann_file = str(path)
    with pytest.raises(DataError, match=r"'data\.pkl' is a pickle file, and reading one can run code"):
        check_data(cfg)
    assert not (coco.root / 'executed').exists()
