"""Tests that run in forks are reported as pytest reports those of one process."""

import re
import subprocess
import sys

import pytest

from tests.warm_python import environment

FILES = {
    'test_a.py': """
        import os, warnings
        from pathlib import Path
        import pytest

        @pytest.fixture(scope='module')
        def of_module():
            Path('made').write_text(str(os.getpid()))
            yield os.getpid()
            Path('made').unlink()

        @pytest.mark.parametrize('number', range(3))
        def test_one_process(of_module, number):
            assert of_module == os.getpid() == int(Path('made').read_text())

        def test_what_is_printed_is_shown_where_a_test_fails():
            warnings.warn('a warning for all to read')
            print('printed before')
            assert 1 == 2

        def test_skipped():
            pytest.skip('for a reason')
    """,
    'test_b.py': """
        import os, signal
        import pytest

        def test_good(tmp_path):
            assert tmp_path.exists()

        def test_that_dies():
            os.kill(os.getpid(), signal.SIGKILL)

        def test_after_it():
            pass
    """,
    'test_c.py': """
        import os
        from pathlib import Path
        import pytest

        @pytest.fixture(scope='session')
        def of_session():
            yield
            os.system('echo ended >> sessions')

        def test_of_session(of_session, tmp_path_factory):
            assert tmp_path_factory.mktemp('folder').is_dir()
            made = Path('made')
            assert not made.exists() or made.read_text() != str(os.getpid()), 'fixtures of a module end with it'
    """,
}


@pytest.fixture
def run(tmp_path):
    def run(*options):
        command = [sys.executable, '-m', 'pytest', '-p', 'tests.forks', '-c', 'pytest.ini', '-v', *options]
        return subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)

    (tmp_path / 'pytest.ini').write_text('[pytest]\n')
    for name, text in FILES.items():
        (tmp_path / name).write_text('\n'.join(line[8:] for line in text.split('\n')))
    return run


def test_all_that_happens_is_reported(run, tmp_path):
    done = run('--forks', '2')
    assert re.search(r'= 2 failed, 6 passed, 1 skipped, 1 warning in ', done.stdout), done.stdout + done.stderr
    assert done.returncode == 1
    assert 'FAILED test_a.py::test_what_is_printed_is_shown_where_a_test_fails' in done.stdout
    assert 'FAILED test_b.py::test_that_dies' in done.stdout
    assert 'The process that ran this test has ended by signal 9' in done.stdout
    assert 'printed before' in done.stdout
    assert 'UserWarning: a warning for all to read' in done.stdout
    assert not (tmp_path / 'made').exists()
    assert (tmp_path / 'sessions').read_text() == 'ended\n'


def test_no_more_is_handed_out_after_the_last_failure_that_is_allowed(run):
    done = run('--forks', '1', '-x')
    assert re.search(r'= 1 failed, 3 passed, 1 warning in ', done.stdout), done.stdout + done.stderr
    assert 'stopping after 1 failures' in done.stdout
    assert done.returncode == 1
