"""Every block of the README and of docs/ is run, or stands here with what runs it or why nothing does.

A block of Python runs here by what it is: a config is opened, options of a backbone build it without memory, all else
is executed. A line of a shell is parsed by the program that it calls, and the list says which test runs that program.
"""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmvitdense import commands, ops
from tests.docs.snippets import (
    PAGES,
    ROOT,
    check_line,
    command_lines,
    known_options,
    options_in_prose,
    snippets,
)

# (page, a phrase of the block): the test that runs it.
RUN_BY = {
    ('docs/command.md', 'from_pretrained'): 'tests/apis/test_pretrained.py::test_the_snippet_of_the_page_runs',
    ('README.md', 'Inferencer'): 'tests/apis/test_inference.py::test_the_lines_of_the_readme_and_the_docs',
    ('docs/inference.md', 'Inferencer'): 'tests/apis/test_inference.py::test_the_lines_of_the_readme_and_the_docs',
    ('docs/inference.md', 'result.draw'): 'tests/apis/test_inference.py::test_the_lines_of_the_readme_and_the_docs',
    (
        'docs/config_by_hand.md',
        'maps/train',
    ): 'tests/integration/test_own_segmentation_data.py::test_it_trains_and_is_evaluated',
    ('docs/export.md', 'onnxruntime'): 'tests/export/test_files.py',
    ('docs/extending.md', ''): 'tests/docs/test_extending.py',
    ('docs/finetuning.md', 'build_model'): 'tests/integration/test_trained_weights.py',
    ('docs/finetuning.md', ''): 'tests/docs/test_finetuning.py',
}
# The same: why nothing runs it.
NOT_RUN: dict[tuple[str, str], str] = {}
# Lines of a shell that are run here, as they need nothing.
RUN_HERE = ('mmvitdense info', 'mmvitdense zoo vit-comer', 'python tools/convert.py --list')
# The other programs: a test that runs one with data and weights of its own, or why nothing does.
PROGRAMS = {
    'mmvitdense data': 'tests/integration/test_own_data.py',
    'mmvitdense train': 'tests/integration/test_own_data.py',
    'mmvitdense test': 'tests/integration/test_own_data.py',
    'mmvitdense publish': 'tests/apis/test_pretrained.py',
    'mmvitdense report': 'tests/apis/test_run_report.py',
    'mmvitdense predict': 'tests/apis/test_demo.py',
    'mmvitdense export': 'tests/export/test_files.py',
    'mmvitdense convert': 'tests/apis/test_convert.py',
    'mmvitdense flops': 'tests/apis/test_flops.py',
    'mmvitdense throughput': 'tests/apis/test_throughput.py',
    'mmvitdense download': 'tests/apis/test_download_data.py',
    'mmvitdense doctor': 'tests/apis/test_doctor.py',
    'mmvitdense shapes': 'tests/datasets/test_shapes.py',
    'python tools/train.py': 'tests/integration/test_detection.py',
    'python tools/test.py': 'tests/integration/test_detection.py',
    'python tools/print_config.py': 'tests/apis/test_standalone.py',
    'python tools/convert.py': 'tests/apis/test_convert.py',
    'python tools/benchmark_models.py': 'tests/tools/test_benchmark_models.py',
    'python tools/benchmark_ops.py': 'not run: minutes of timing',
    'python tools/benchmark_runs.py': 'not run: minutes of timing on photographs',
    'python tools/benchmark_growth.py': 'tests/tools/test_benchmark_models.py',
    'python tools/check_gpu.py': 'tests/tools/test_check_gpu.py',
    'python tests/ops/cuda_on_cpu': 'tests/ops/test_cuda_on_cpu.py',
    'python -m pytest': 'not run: it is this suite',
    'torchrun --nproc_per_node': 'tests/integration/test_segmentation.py',
    'bash tools/quickstart.sh': 'not run: minutes; tests/integration takes its steps',
    'bash tools/dist_train.sh': 'not run: it is the line of torchrun',
    'bash tools/slurm_train.sh': 'tests/tools/test_slurm.py',
    'bash tools/run_tests.sh': 'not run: it is this suite',
    'pip install': 'not run: needs a registry',
}
CODE = re.compile(r'^(mmvitdense|python|pip|bash|torchrun|import|from \S+ import) ', re.MULTILINE)
# Options of programs that are not ours.
OTHERS = {'--shm-size', '--logdir', '--no-build-isolation', '--nproc_per_node', '--dist', '--numprocesses'}


def given():
    """What a block takes for granted, by the page."""
    return {
        'docs/ops.md': {
            'value': torch.rand(1, 64 * 64 + 32 * 32, 2, 4),
            'sampling_locations': torch.rand(1, 3, 2, 2, 4, 2),
            'attention_weights': torch.rand(1, 3, 2, 2, 4),
            'reference_points': torch.rand(1, 3, 2, 2),
            'offsets': torch.rand(1, 3, 2, 2, 4, 2),
            'logits': torch.rand(1, 3, 2, 2, 4),
        }
    }


def listed(snippet, table):
    found = [text for (page, phrase), text in table.items() if snippet.page == page and phrase in snippet.text]
    return found[0] if found else None


def runner_of(words):
    if ' '.join(words) in RUN_HERE:
        return __name__
    found = [runner for program, runner in PROGRAMS.items() if ' '.join(words).startswith(program)]
    return found[0]


def how_it_is_run(snippet):
    if snippet.language == 'bash':
        return '; '.join(dict.fromkeys(runner_of(words) for words in command_lines(snippet)))
    return listed(snippet, RUN_BY) or listed(snippet, NOT_RUN) or __name__


def run_python(snippet, folder):
    if '_base_' in snippet.text:
        path = folder / 'config.py'
        path.write_text(snippet.text)
        found = Config.fromfile(path)
        assert found.model.backbone.type.startswith('mmvitdense.')
        return
    found = dict(given().get(snippet.page, {}))
    exec(compile(snippet.text, str(snippet), 'exec'), found)
    options = found.get('backbone') or found.get('model', {}).get('backbone')
    if options:
        for part in (options, options.get('vit', {})):
            part.pop('init_cfg', None)
        with DefaultScope.overwrite_default_scope('mmengine'), torch.device('meta'):
            assert sum(1 for _ in MODELS.build(options).parameters())


@pytest.mark.parametrize('snippet', snippets('python'), ids=str)
def test_python(snippet, tmp_path):
    if test := listed(snippet, RUN_BY):
        file, _, name = test.partition('::')
        source = (ROOT / file).read_text()
        assert f'def {name}' in source if name else source
    elif not listed(snippet, NOT_RUN):
        backend = ops.backends._choice
        ops.set_backend('reference')
        try:
            run_python(snippet, tmp_path)
        finally:
            ops.set_backend(backend)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_no_block_hides(page):
    """Code stands in blocks of a known language; blocks without one show what is printed."""
    for language, text in re.findall(r'^```(\S*).*?\n(.*?)^```', page.read_text(), re.DOTALL | re.MULTILINE):
        assert language in ('python', 'bash', '', '{toctree}')
        assert language or not CODE.search(text)


def test_the_list_names_blocks_that_are_there():
    blocks = snippets('python')
    for page, phrase in (*RUN_BY, *NOT_RUN):
        assert any(block.page == page and phrase in block.text for block in blocks), (page, phrase)


@pytest.mark.parametrize('snippet', snippets('bash'), ids=str)
def test_shell(snippet):
    for words in command_lines(snippet):
        check_line(words)
        runner = runner_of(words)
        assert runner == __name__ or runner.startswith('not run: ') or (ROOT / runner).is_file()


@pytest.mark.parametrize('line', RUN_HERE)
def test_lines_that_need_nothing(line, capsys):
    assert any(line.split() in command_lines(snippet) for snippet in snippets('bash'))
    command = line.removeprefix('mmvitdense ').replace('python tools/convert.py', 'convert')
    assert commands.main(command.split()) == 0
    assert len(capsys.readouterr().out.splitlines()) > 5


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('mmvitdense train CONFIG --epochs 3', 'unrecognized arguments: --epochs 3'),
        ('mmvitdense tran CONFIG', "no command 'tran'"),
        ('python tools/test.py', 'required: config'),
        ('python tools/benchmark_ops.py --size A', 'has no'),
        ('mmvitdense train mmvitdense::vitdet/none.py', 'no config'),
        ('mmvitdense test vitdet-b-mae_mask-rcnn_lsj-101e_coco', 'no model'),
        ('pip install -e .[oneld]', 'no extras'),
        ('curl x', 'nobody checks'),
    ],
)
def test_wrong_lines_are_found(line, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_line(line.split())


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_options_in_prose_exist(page):
    assert options_in_prose(page) <= known_options() | OTHERS


def anchors(page):
    headings = re.findall(r'^#+ (.*)$', page.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def test_links_of_the_readme():
    """Those of docs/ are sphinx's to check."""
    links = re.findall(r'\]\(((?!https?:)[^)]+)\)', (ROOT / 'README.md').read_text())
    assert links
    for link in links:
        path, _, anchor = link.partition('#')
        assert (ROOT / path).exists(), link
        assert not anchor or anchor in anchors(ROOT / path), link


def test_the_readme_is_short():
    lines = (ROOT / 'README.md').read_text().splitlines()
    assert len(lines) < 150
    named = set(re.findall(r'\(docs/(\w+)\.md', '\n'.join(lines)))
    assert {page.stem for page in (ROOT / 'docs').glob('*.md')} - named <= {'api', 'attention'}


def test_the_command_of_ci_is_that_of_the_readme():
    ran = (ROOT / '.ci' / 'run').read_text().splitlines()[-1].removeprefix('exec ')
    lines = [line.partition('#')[0].strip() for line in (ROOT / 'README.md').read_text().splitlines()]
    assert ran in lines
