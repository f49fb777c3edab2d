"""Programs run by a Python that has imported what they import: a fork takes milliseconds, an import of mmdet seconds.

What a program does is its own: each runs in a process forked from one that has imported and done nothing else. What is
seen only where a program imports for itself needs a fresh interpreter instead.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    """Variables of a process of one thread that finds this repository and no GPU."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get('PYTHONPATH')]))
    return {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}


def formatting_once(format_code: Callable) -> Callable:
    """A run has yapf format its config three times, a quarter of the time of a small one: here each text once."""
    formatted = {}

    def format_once(text: str, **options: object) -> tuple[str, bool]:
        if text not in formatted:
            formatted[text] = format_code(text, **options)
        return formatted[text]

    return format_once


def run_fresh(
    arguments: Sequence, folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run a program to its end in an interpreter that has imported nothing, as where transformers is not installed."""
    variables = {**environment(), **(variables or {})}
    variables['PYTHONPATH'] = os.pathsep.join(
        [str(REPOSITORY / 'tests' / 'without_transformers'), variables['PYTHONPATH']]
    )
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=600,
    )


class WarmPython:
    """A process that has imported modules and waits to be forked; starts at the first program.

    Args:
        modules: What it imports.
    """

    def __init__(self, *modules: str):
        self._modules = modules
        self._server: subprocess.Popen | None = None

    def start(
        self, arguments: Sequence, folder: Path, output: Path, errors: Path, variables: Mapping[str, str] | None = None
    ) -> int:
        """Start a program as `python arguments` would: a file with its arguments, or '-c' and code.

        Args:
            arguments: What follows `python`.
            folder: Where it runs.
            output: File of what it prints.
            errors: File of what it prints on stderr.
            variables: Of the environment, beside those of `environment`.

        Returns:
            The id of the process, for `wait`.
        """
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, __file__, *self._modules],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        request = {'arguments': [*map(str, arguments)], 'folder': str(folder), 'variables': dict(variables or {})}
        return self._ask({**request, 'output': str(output), 'errors': str(errors)})

    def wait(self, process: int) -> int:
        """The exit code of a program, when it has ended; minus the signal that ended it."""
        return self._ask({'wait': process})

    def run(
        self, arguments: Sequence, folder: Path | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess:
        """Run a program to its end."""
        with tempfile.TemporaryDirectory() as own:
            files = Path(own, 'output'), Path(own, 'errors')
            code = self.wait(self.start(arguments, folder or Path(own), *files, variables))
            return subprocess.CompletedProcess(arguments, code, *(file.read_text() for file in files))

    def close(self) -> None:
        """End the process that waits; closing its input alone would not, where another child of ours holds it too."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def _ask(self, request: dict) -> int:
        print(json.dumps(request), file=self._server.stdin, flush=True)
        answer = self._server.stdout.readline()
        assert answer, 'the Python that waits has died'
        return int(answer)


def _serve() -> dict:
    """Answer requests; return that of a program in the process that is forked for it, and never in the other."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    gc.disable()
    # mmengine imports it, a quarter of all, to register one optimizer that no test takes.
    sys.modules['transformers'] = None
    for module in sys.argv[1:]:
        importlib.import_module(module)
    del sys.modules['transformers']
    yapf_api = importlib.import_module('yapf.yapflib.yapf_api')
    yapf_api.FormatCode = formatting_once(yapf_api.FormatCode)
    gc.collect()
    gc.freeze()
    gc.enable()
    while line := requests.readline():
        request = json.loads(line)
        if 'wait' in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request['wait'], 0)[1])
        elif (answer := os.fork()) == 0:
            requests.close()
            answers.close()
            return request
        print(answer, file=answers, flush=True)
    os._exit(0)


def _become(request: dict) -> None:
    for number, (name, flags) in enumerate(
        [(os.devnull, os.O_RDONLY)] + [(request[key], os.O_WRONLY | os.O_CREAT) for key in ('output', 'errors')]
    ):
        file = os.open(name, flags)
        os.dup2(file, number)
        os.close(file)
    os.chdir(request['folder'])
    os.environ.update(request['variables'])


def _run(arguments: list[str]) -> None:
    program, *sys.argv[1:] = arguments
    if program == '-c':
        code, *sys.argv[1:] = sys.argv[1:]
        sys.argv[0], sys.path[0] = '-c', ''
        exec(compile(code, '<string>', 'exec'), {'__name__': '__main__'})
    else:
        sys.argv[0], sys.path[0] = program, str(Path(program).parent)
        runpy.run_path(program, run_name='__main__')


def _run_to_its_end(arguments: list[str]) -> None:
    """End as Python does, but for taking its modules apart, which writes to all pages that the processes share."""
    code = None
    try:
        _run(arguments)
    except SystemExit as end:
        code = end.code
    except Exception:
        code = 1
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 0xFF)


if __name__ == '__main__':
    _asked = _serve()
    _become(_asked)
    _run_to_its_end(_asked['arguments'])
