"""Many kills of real runs, each followed by a comparison of what it went on to with an uninterrupted run."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from mmvitdense.datasets.shapes import write_shapes

from .kill_at import MOMENTS
from .real_runs import LENGTH, RECIPES, Recipe, Training
from .same_runs import assert_same, files, last_checkpoint

_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_ANY_TIME = 'any time'
_TURNS = {'iteration': LENGTH, 'half': 3, 'named': 4, 'noted': 3, 'best': 1, 'validation': 12}
"""How often a moment comes in a run, at least."""


@dataclass
class Kill:
    """A kill: which run, when, by what.

    Attributes:
        recipe: Name of a recipe.
        moment: One of `MOMENTS`, or 'any time' for a signal from outside.
        count: Which time the moment comes, or milliseconds after the first iteration.
        number: The signal.
        whole: For one from outside, whether all processes of the group get it, as from a terminal.
        rank: For a moment, the process that gets it.
    """

    recipe: str
    moment: str
    count: int
    number: signal.Signals
    whole: bool = False
    rank: int = 0

    def __str__(self) -> str:
        who = 'all processes' if self.whole else f'process {self.rank}'
        when = f'{self.count} ms' if self.moment == _ANY_TIME else f'{self.moment} {self.count}'
        return f'{self.recipe:44} {self.number.name:8} {when:14} {who:14}'


def planned_kills(seed: int) -> Iterator[Kill]:
    """Kills without end: recipes, moments and signals in turn, their times drawn."""
    generator = random.Random(seed)
    # Numbers without common factors, so that all combinations come.
    turns = zip(cycle(RECIPES), cycle([*MOMENTS, _ANY_TIME]), cycle([*_SIGNALS, signal.SIGKILL]))
    for name, moment, number in turns:
        processes = RECIPES[name].processes
        if moment == _ANY_TIME:
            yield Kill(name, moment, generator.randrange(1500), number, whole=generator.random() < 0.7)
            continue
        # Each of several processes validates on its share of the images.
        count = generator.randint(1, _TURNS[moment] // (processes if moment == 'validation' else 1))
        yield Kill(name, moment, count, number, rank=generator.randrange(processes) if moment == 'iteration' else 0)


def run_kills(folder: Path, count: int, seed: int = 0) -> int:
    """Kill and compare, print a line for each; return how many did not go on identically."""
    write_shapes(folder / 'data' / 'shapes', 24, 6, image_size=64, seed=0)
    expected: dict[str, dict[str, Any]] = {}
    failures = 0
    for place, kill in enumerate(islice(planned_kills(seed), count), 1):
        start = time.monotonic()
        recipe = RECIPES[kill.recipe]
        if kill.recipe not in expected:
            expected[kill.recipe] = _uninterrupted(recipe, folder)
        try:
            said = _kill_and_go_on(kill, recipe, folder, expected[kill.recipe])
        except AssertionError as error:
            failures += 1
            said = f'OTHER: {" ".join(str(error).split())[:300]}'
            shutil.copytree(folder / 'killed', folder / f'failure_{place}', dirs_exist_ok=True)
            for log in folder.glob('killed*.log'):
                shutil.copy(log, folder / f'failure_{place}')
        print(f'{place:3} {kill} {said}, {time.monotonic() - start:.0f} s', flush=True)
    print(f'{count - failures} of {count} went on identically')
    return failures


def _uninterrupted(recipe: Recipe, folder: Path) -> dict[str, Any]:
    shutil.rmtree(folder / 'whole', ignore_errors=True)
    training = Training(recipe, folder, 'whole')
    assert training.wait() == [0] * recipe.processes, training.printed()[-2000:]
    return {'last': last_checkpoint(folder / 'whole'), 'files': files(folder / 'whole')}


def _kill_and_go_on(kill: Kill, recipe: Recipe, folder: Path, expected: dict[str, Any]) -> str:
    shutil.rmtree(folder / 'killed', ignore_errors=True)
    for log in folder.glob('killed*.log'):
        log.unlink()
    codes = _killed(kill, recipe, folder)
    resumed = Training(recipe, folder, 'killed', resume=True)
    again = resumed.wait()
    assert again == [0] * recipe.processes, f'{again} {resumed.printed()[-300:]}'
    assert not resumed.left(), 'processes are left'
    assert_same(last_checkpoint(folder / 'killed'), expected['last'])
    assert files(folder / 'killed') == expected['files'], files(folder / 'killed')
    return f'exit codes {codes}, identical'


def _killed(kill: Kill, recipe: Recipe, folder: Path) -> list[int | None]:
    """Run until the kill; return the exit codes."""
    inside = kill.moment != _ANY_TIME
    hook = {'type': 'mmengine.KillAt', 'moment': kill.moment, 'count': kill.count, 'rank': kill.rank}
    hooks = [{**hook, 'number': int(kill.number)}] if inside else []
    training = Training(recipe, folder, 'killed', hooks=hooks)
    if not inside:
        assert training.wait_for('(train)'), training.printed()[-300:]
        time.sleep(kill.count / 1000)
        training.send(kill.number, kill.whole)
    codes = training.wait()
    assert None not in codes, f'does not end: {codes}'
    assert not training.left(), f'processes are left: {training.left(0)}'
    if codes == [0] * recipe.processes:
        # A signal within the last validation, or one that came too late.
        assert not inside or kill.number != signal.SIGKILL, 'the moment did not come'
    elif kill.number == signal.SIGKILL:
        assert codes[kill.rank] == -signal.SIGKILL, codes
        assert 0 not in codes, codes
    else:
        assert codes == [128 + kill.number] * recipe.processes, f'{codes} {training.printed()[-500:]}'
        assert '--work-dir killed' in training.printed().rpartition('To go on: python tools/train.py')[2]
    return codes
