"""`mmvitdense info`: what it says of this Python, and the problems that it knows, each with what mends it."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch

from mmvitdense import commands
from mmvitdense.apis.environment import environment_report, problems, report_as_text
from mmvitdense.apis.environment.distributions import OPTIONAL
from mmvitdense.ops import building
from mmvitdense.ops.availability import availability

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def report():
    return environment_report()


def test_json_and_text_say_the_same(report, capsys):
    assert commands.main(['info', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(report))
    assert report['packages']['torch'] == torch.__version__
    text = report_as_text(report)
    for words in (torch.__version__, report['python']['program'], report['packages']['mmengine'], 'kernels on cpu'):
        assert words in text


def test_each_optional_package_has_a_purpose():
    lines = (ROOT / 'requirements/optional.txt').read_text().splitlines()
    names = {re.split(r'[\[<>=;!~ #]', line)[0].replace('_', '-') for line in lines if line.split('#')[0].strip()}
    assert names
    assert names <= set(OPTIONAL)


def _both_lines(monkeypatch, report):
    found = {'onedl-mmcv': '2.3.6', 'mmcv-lite': '2.1.0'}
    monkeypatch.setattr(problems, 'installed', lambda names: {n: v for n, v in found.items() if n in names})
    report['openmmlab'] = 'both'


def _changed(*path_and_value):
    *path, name, value = path_and_value

    def change(monkeypatch, report):
        for part in path:
            report = report[part]
        report[name] = value

    return change


def _hidden_gpu(monkeypatch, report):
    report['devices'].update(nvidia_driver=True, torch_cuda='13.0', cuda=[])
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')


def _no_ninja(monkeypatch, report):
    report['kernels']['chosen'] = 'auto'
    report['kernels']['cpu'].update(state='plain PyTorch', reason='ninja is missing; run `pip install ninja`')


@pytest.mark.parametrize(
    ('spoil', 'what', 'mend'),
    [
        (_both_lines, 'two lines', r'pip uninstall -y onedl-mmcv mmcv-lite && pip install "mmvitdense\[onedl\]"'),
        (_changed('packages', 'torch', '2.5.1+cpu'), r'2\.5\.1\+cpu is older than 2\.6', 'torch>=2.6'),
        (_changed('packages', 'torchvision', 'broken: no nms'), r'does not fit torch .*no nms', 'force-reinstall'),
        (_changed('packages', 'torchvision', None), 'torchvision is not installed', 'force-reinstall'),
        (_changed('packages', 'mmcv', None), 'mmcv is not installed', 'pip install "mmvitdense'),
        (_changed('packages', 'opencv', None), 'OpenCV is not installed', 'pip install opencv-python'),
        (_hidden_gpu, 'CUDA_VISIBLE_DEVICES hides', 'unset'),
        (_no_ninja, 'on cpu cannot be built', '^pip install ninja$'),
        (_changed('kernels', 'cpu', 'stale', '/x/_cpu.so'), '/x/_cpu.so was built for another', 'rm /x/_cpu.so'),
    ],
)
def test_a_problem_is_named_with_what_mends_it(report, monkeypatch, spoil, what, mend):
    monkeypatch.setattr(problems, 'installed', lambda names: {})
    spoilt = copy.deepcopy(report)
    spoilt['devices'].update(nvidia_driver=False)
    assert not [problem for problem in problems.find_problems(spoilt) if re.search(what, problem['what'])]
    spoil(monkeypatch, spoilt)
    (found,) = [problem for problem in problems.find_problems(spoilt) if re.search(what, problem['what'])]
    assert re.search(mend, found['mend'])
    assert found['what'] in report_as_text({**spoilt, 'problems': [found]})


def test_an_off_switch_that_cannot_be_read_is_a_problem(report, monkeypatch):
    monkeypatch.setenv('MMVITDENSE_COMPAT', 'nonsense')
    assert any('nonsense' in problem['what'] for problem in problems.find_problems(report))


def test_kernels_are_looked_for_and_not_built(monkeypatch, tmp_path):
    monkeypatch.setenv(building.CACHE_VARIABLE, str(tmp_path / 'cache'))
    monkeypatch.setattr(building, 'INSTALLED', tmp_path)
    monkeypatch.setattr(building, '_require_tools', lambda device: None)
    assert availability('cpu').state == 'not built yet'
    folder = building.cache_folder('cpu')
    folder.mkdir(parents=True)
    mark = building._MARK + building.key('cpu').encode() + b';'
    (folder / 'mmvitdense_cpu.so').write_bytes(mark)
    assert availability('cpu') == ('built', folder / 'mmvitdense_cpu.so', None, None)
    (tmp_path / '_cpu.so').write_bytes(building._MARK + b'torch-1;')
    assert availability('cpu').stale == tmp_path / '_cpu.so'

    def refuse(device):
        raise building.UnavailableError('there is no C++ compiler (c++); install g++')

    monkeypatch.setattr(building, '_require_tools', refuse)
    (folder / 'mmvitdense_cpu.so').unlink()
    assert availability('cpu')[:3] == ('plain PyTorch', None, 'there is no C++ compiler (c++); install g++')
