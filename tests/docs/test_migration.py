"""The examples of docs/migration.md are the configs that they name."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
SECTIONS = re.split(r'^## ', (ROOT / 'docs' / 'migration.md').read_text(), flags=re.MULTILINE)[1:]


def without_weights(node):
    if not isinstance(node, dict):
        return node
    return {name: without_weights(value) for name, value in node.items() if name != 'init_cfg'}


@pytest.mark.parametrize('section', SECTIONS, ids=lambda section: section.splitlines()[0])
def test_the_example_is_the_config(section):
    (path,) = set(re.findall(r'\((\.\./configs/\w+/[\w-]+\.py)\)', section))
    model = without_weights(Config.fromfile(ROOT / 'docs' / path).model.to_dict())
    example = {}
    exec(re.search(r'```python\n(.*?)```', section, re.DOTALL)[1], example)
    expected = example.get('model') or {'backbone': example['backbone']}
    for name, value in expected.items():
        if name == 'data_preprocessor':
            assert value.items() <= model[name].items()
        else:
            assert value == model[name], name
