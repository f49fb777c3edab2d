"""Pickles among the data: refused before anybody reads them."""

import pickle

import mmengine
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


@pytest.mark.parametrize('key', ['ann_file', 'class_weight'])
def test_yaml_that_mmengine_would_execute_is_refused(coco, key, monkeypatch):
    monkeypatch.chdir(coco.root)
    path = coco.root / 'data.yaml'
    path.write_text("!!python/object/apply:eval [\"open('executed', 'w')\"]")
    cfg = coco.config(**({'ann_file': 'data.yaml'} if key == 'ann_file' else {}))
    if key == 'class_weight':
        cfg.model.loss = {'type': 'CrossEntropyLoss', 'class_weight': str(path)}
    with pytest.raises(DataError, match=r"'data\.yaml' is a YAML file, and reading one can run code"):
        check_data(cfg)
    assert not (coco.root / 'executed').exists()
    mmengine.load(path)
    assert (coco.root / 'executed').exists()
