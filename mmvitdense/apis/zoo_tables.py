"""Tables of models, made from the metafiles, and of pre-trainings, made from theirs."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvitdense.checkpoints.zoo import ZooEntry
from mmvitdense.checkpoints.zoo.metafiles import INDEX, entries_of, read_metafile
from mmvitdense.project_files import project_folder

from .pretraining_rows import preset_rows, pretraining_rows

_BLOCK = re.compile(
    r'(<!-- (models|families|pretrainings|presets|choices): ?(.*?)-->\n)(.*?)(<!-- end of \2 -->)', re.DOTALL
)
_SPEED = 'Images A Second'


def write_tables(write: bool = True) -> list[str]:
    """Bring the READMEs and the index of a checkout up to date.

    Args:
        write: Write them, or only compare.

    Returns:
        The files that were not up to date.

    Raises:
        ValueError: A pattern in a README names no model.
    """
    root = (project_folder('configs') / 'configs').resolve().parent
    metafiles = sorted(path.relative_to(root).as_posix() for path in root.glob('configs/*/metafile.yml'))
    texts = {root / INDEX: 'Import:\n' + ''.join(f'  - {name}\n' for name in metafiles)}
    pages = [root / 'README.md', root / 'docs' / 'models.md', root / 'docs' / 'weights.md']
    for readme in [*pages, *sorted(root.glob('configs/*/README.md'))]:
        if not readme.is_file():  # an installed package has none of its own
            continue
        texts[readme] = _BLOCK.sub(
            lambda match, of=readme: _filled(match, of, root, metafiles), readme.read_text('utf-8')
        )
    changed = [path for path, text in texts.items() if path.read_text('utf-8') != text]
    for path in changed if write else ():
        path.write_text(texts[path], encoding='utf-8')
    return [path.relative_to(root).as_posix() for path in changed]


def _filled(match: re.Match, readme: Path, root: Path, metafiles: Sequence[str]) -> str:
    begin, kind, patterns, _, end = match.groups()
    if kind == 'pretrainings':
        table = pretrainings_table()
    elif kind == 'presets':
        table = presets_table()
    elif kind == 'families':
        table = families_table(read_metafile(root / name) for name in metafiles)
    elif kind == 'choices':
        task, _, dataset = patterns.strip().partition(' on ')
        table = choices_table((entry for name in metafiles for entry in entries_of(root / name)), task, dataset)
    else:
        entries = entries_of(readme.with_name('metafile.yml'))
        chosen = []
        for pattern in patterns.split():
            found = [entry for entry in entries if fnmatch.fnmatchcase(entry.name, pattern)]
            if not found:
                raise ValueError(f'{readme}: no model is called {pattern}')
            chosen += [entry for entry in found if entry not in chosen]
        table = models_table(chosen)
    return f'{begin}{table}{end}'


def models_table(entries: Sequence[ZooEntry]) -> str:
    """A line for each model: config, sizes, published results, weights."""
    metrics = list(dict.fromkeys(name for entry in entries for name in _metrics(entry)))
    fast = ['images a second'] if any(_SPEED in entry.metadata for entry in entries) else []
    head = ['config', 'parameters', 'multiply-adds', *(f'{name} published' for name in metrics), *fast, 'weights']
    rows = []
    for entry in entries:
        figures = _metrics(entry)
        results = [str(figures.get(name, '-')) for name in metrics]
        speed = [str(entry.metadata.get(_SPEED, '-'))] if fast else []
        config = f'[{entry.name}]({entry.name}.py)'
        rows.append([config, _millions(entry), _billions(entry), *results, *speed, _weights(entry)])
    return _table(head, rows)


def choices_table(entries: Iterable[ZooEntry], task: str, dataset: str) -> str:
    """A line for each model with a published result in a task on a data set, smallest first: size, speed, licence.

    Raises:
        ValueError: No model has such a result.
    """
    results = [(entry, _metrics(entry, task, dataset)) for entry in entries if entry.access]
    results = [result for result in results if result[1]]
    results.sort(key=lambda result: (result[0].metadata.get('Parameters', 0), result[0].name))
    if not results:
        raise ValueError(f'no model has a published result in {task} on {dataset}')
    metrics = list(dict.fromkeys(name for _, figures in results for name in figures))
    fast = ['images a second'] if any(_SPEED in entry.metadata for entry, _ in results) else []
    rows = []
    for entry, figures in results:
        number = entry.metadata.get('Parameters')
        memory = f'{number * 4 / 1e9:.2f} GB' if number else '-'
        speed = [str(entry.metadata.get(_SPEED, '-'))] if fast else []
        row = [f'[{entry.name}](../configs/{entry.config.removeprefix("configs/")})', _millions(entry), memory]
        row += [_billions(entry), *(str(figures.get(name, '-')) for name in metrics), *speed]
        rows.append([*row, entry.access, _one_line(entry.licence or '-')])
    head = ['model', 'parameters', 'in float32', 'multiply-adds', *metrics, *fast, 'weights', 'licence']
    return _table(head, rows)


def families_table(contents: Iterable[Mapping[str, Any]]) -> str:
    """A line for each family with what its collection says of itself, and how many weights are published."""
    rows = []
    for content in contents:
        for collection in content['Collections']:
            models = [model for model in content['Models'] if model['In Collection'] == collection['Name']]
            folder = models[0]['Config'].rpartition('/')[0]
            published = sum(bool(model.get('Weights') or model.get('Converted From')) for model in models)
            paper = collection.get('Paper')
            name = collection.get('Summary') or collection['Name']
            rows.append(
                [
                    f'{name} ([paper]({paper["URL"]}))' if paper else name,
                    f'[{folder}]({folder}), {len(models)}',
                    str(published or '-'),
                    collection.get('Parts', '-'),
                    collection.get('Checked Against', '-'),
                ]
            )
    return _table(['model', 'configs', 'published weights', 'parts', 'checked against'], rows)


def pretrainings_table() -> str:
    """A line for each family of pre-trainings."""
    return _table(*pretraining_rows())


def presets_table() -> str:
    """A line for each preset."""
    return _table(*preset_rows())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return ''.join(f'| {" | ".join(line)} |\n'.replace(' --- ', '---') for line in lines)


def _metrics(entry: ZooEntry, task: str | None = None, dataset: str | None = None) -> dict[str, float]:
    results = (result for result in entry.results if task is None or (result.task, result.dataset) == (task, dataset))
    return {name: value for result in results for name, value in result.metrics.items()}


def _one_line(text: str) -> str:
    return ' '.join(text.split()).replace('|', '/')


def _millions(entry: ZooEntry) -> str:
    number = entry.metadata.get('Parameters')
    return f'{number / 1e6:.1f} M' if number else '-'


def _billions(entry: ZooEntry) -> str:
    number = entry.metadata.get('FLOPs')
    return f'{number / 1e9:.0f} G' if number else '-'


def _weights(entry: ZooEntry) -> str:
    if entry.weights:
        return f'[file]({entry.weights})' + {'missing': ', without its ViT', 'added': ', differences'}.get(
            entry.trunk, ''
        )
    return 'by hand' if entry.page else '-'
