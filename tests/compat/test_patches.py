"""What the import of the package changes in others: all of it is listed, and can be left out."""

import contextlib
import re
from functools import partial
from pathlib import Path

import pytest

from mmvitdense import compat
from mmvitdense.compat import import_hooks, switch

DOCUMENT = Path(__file__).parents[2] / 'docs' / 'compat.md'


def rows():
    """{section: {name: rest of its row}} of the tables in the document."""
    found = {}
    for section in re.split(r'^## ', DOCUMENT.read_text(), flags=re.M)[1:]:
        if '| name |' not in section:
            continue
        row = r'^\| `([a-z-]+)` \| (.+)$'
        found[section.splitlines()[0]] = dict(re.findall(row, section, flags=re.M))
    return found


def test_the_document_lists_the_patches():
    at_import = {name: patch for name, patch in compat.PATCHES.items() if patch.at_import is not None}
    in_tools = {name: patch for name, patch in compat.PATCHES.items() if patch.in_tools is not None}
    assert at_import.keys() | in_tools.keys() == compat.PATCHES.keys()
    listed = rows()
    assert list(listed) == ['In force from the import on', 'In force while a tool runs']
    for table, patches in zip(listed.values(), (at_import, in_tools)):
        assert list(table) == list(patches)
        for name, patch in patches.items():
            assert set(re.findall(r'`([a-z_]+(?:\.\w+)+)`', table[name].split('|')[0])) == set(patch.modules)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('', set()), ('on', set()), ('off', {'a', 'b-c'}), ('-b-c', {'b-c'}), (' -a, -b-c', {'a', 'b-c'})],
)
def test_the_switch(monkeypatch, text, expected):
    monkeypatch.setenv(switch.VARIABLE, text)
    assert switch.left_out(['a', 'b-c']) == expected


@pytest.mark.parametrize('text', ['a', '-a,c', '-c', 'OFF', '-a,', 'off,-a'])
def test_what_the_switch_does_not_know_is_one_error(monkeypatch, text):
    monkeypatch.setenv(switch.VARIABLE, text)
    with pytest.raises(ValueError, match=r"^MMVITDENSE_COMPAT is .+ in it; expected 'off' .*: a, b-c\.$"):
        switch.left_out(['a', 'b-c'])


def test_what_is_left_out_is_not_in_force(monkeypatch):
    """The tables as they are, with recorders in the place of the patches."""
    seen = []

    @contextlib.contextmanager
    def recorded(name):
        seen.append(name)
        yield
        seen.append(f'end of {name}')

    patches = {
        name: patch._replace(**{key: partial(seen.append if key == 'at_import' else recorded, name)})
        for name, patch in compat.PATCHES.items()
        for key in ('at_import', 'in_tools')
        if getattr(patch, key) is not None
    }
    monkeypatch.setattr(compat, 'PATCHES', patches)
    monkeypatch.setenv(switch.VARIABLE, '-lvis,-onedl')
    compat.install()
    assert set(seen) == {name for name, patch in patches.items() if patch.at_import} - {'lvis'}
    seen.clear()
    with compat.while_tools_run(), compat.while_tools_run():
        assert seen == ['weights-only', 'safe-yaml', 'no-detections']
    assert seen[3:] == ['end of no-detections', 'end of safe-yaml', 'end of weights-only']
    seen.clear()
    monkeypatch.setenv(switch.VARIABLE, 'off')
    compat.install()
    with compat.while_tools_run():
        assert seen == []


def test_replaced_attributes_come_back():
    """Of modules and classes, own and inherited, also after an error."""
    module = import_hooks

    class Parent:
        @staticmethod
        def method():
            return 'parent'

    class Child(Parent):
        pass

    def patch(found, replace):
        assert found is module
        replace(found, 'Action', None)
        replace(Parent, 'method', None)
        replace(Child, 'method', 'child')

    before = module.Action
    inside = []
    with contextlib.suppress(KeyError), import_hooks.replaced(module.__name__, patch):
        inside += [module.Action, Parent.method, Child.method]
        raise KeyError
    assert inside == [None, None, 'child']
    assert module.Action is before
    assert Child.method() == Parent().method() == 'parent'
    assert 'method' not in vars(Child)
