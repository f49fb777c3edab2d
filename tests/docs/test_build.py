"""sphinx builds docs/ without a warning, and what its extensions make is there."""

import sys
from io import StringIO
from pathlib import Path

import pytest
from sphinx.application import Sphinx

DOCS = Path(__file__).parents[2] / 'docs'
sys.path.insert(0, str(DOCS / 'extensions'))
import links_out  # noqa: E402
import reference  # noqa: E402

sys.path.remove(str(DOCS / 'extensions'))


def test_it_is_built_without_warnings(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'path', [*sys.path])
    warnings = StringIO()
    app = Sphinx(DOCS, DOCS, tmp_path / 'html', tmp_path / 'trees', 'html', status=None, warning=warnings)
    app.build()
    assert warnings.getvalue() == ''
    assert app.statuscode == 0
    pages = {path.stem: path.read_text() for path in (tmp_path / 'html').glob('*.html')}
    assert pages.keys() >= {path.stem for path in DOCS.glob('*.md')}
    assert 'configs/finetuning' in pages['finetuning']
    assert 'href="../configs' not in ''.join(pages.values())
    assert 'scale_factors: Sequence[Positive]=(4, 2, 1, 0.5),\n' in pages['api']
    assert 'soft_nms(' in pages['api']
    assert 'href="https://github.com/open-mmlab/mmcv/issues/2059"' in pages['troubleshooting']


def test_links_out_of_the_pages():
    shown = links_out.without_links_out(
        'See [configs/vit](../configs/vit#large-images), [it](../LICENSE).', DOCS.parent
    )
    assert shown == 'See configs/vit, it (`LICENSE`).'


def test_what_is_registered_and_exported():
    from mmvitdense import apis
    from mmvitdense import ops as operators
    from mmvitdense.registry import MODELS

    names = {entry.name for entry in reference.registered('models')}
    assert {'PlainViT', 'ViTAdapter', 'LoRA', 'EoMT', 'Mask2FormerSegHead'} <= names
    assert all(MODELS.get(f'mmvitdense.{name}') for name in ('PlainViT', 'LoRA'))
    assert [entry.name for entry in reference.exported('mmvitdense.apis')] == apis.__all__
    assert [entry.name for entry in reference.exported('mmvitdense.ops')] == operators.__all__
    assert [entry.name for entry in reference.defined('mmvitdense.pretrainings')] == [
        'Bands',
        'Pretraining',
        'family_of',
    ]


def test_a_name_that_nothing_defines(monkeypatch):
    monkeypatch.setattr(reference, '_public', lambda file: iter(()))
    with pytest.raises(LookupError, match='Linear'):
        reference.exported('mmvitdense.ops')
