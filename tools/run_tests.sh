#!/usr/bin/env bash
# Installs what the tests need and runs them all: style, import rules, the original OpenMMLab line, and pytest, whose last
# line says how many tests ran.
# Arguments go to pytest: tools/run_tests.sh tests/layers -k window
# With --times first, the CPU seconds of folders, files and tests are shown too.
set -euo pipefail
install_with_uv=1
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh" onedl,tests

# What processes import is compiled by one of them for all, and only that: where Python is to write no bytecode beside
# sources, it lies in the environment.
if [ -n "${PYTHONDONTWRITEBYTECODE:-}" ]; then
  unset PYTHONDONTWRITEBYTECODE
  PYTHONPYCACHEPREFIX=$(python -c 'import sys; print(sys.prefix)')/bytecode
  export PYTHONPYCACHEPREFIX
fi
# Many small tensors: a process for each core is faster than threads.
export OMP_NUM_THREADS=1
times=
if [ "${1:-}" = --times ]; then
  times="-p tests.cpu_times"
  shift
fi
if [ $# -gt 0 ]; then
  exec python -m pytest $times "$@"
fi
# The original line beside the tests, half of whose time is spent in waiting for packages.
log=$(mktemp)
bash tools/test_openmmlab.sh > "$log" 2>&1 &
job=$!
trap 'kill $job 2> /dev/null || true; rm -f "$log"' EXIT
# All that tests import is imported once on one core; the other compiles the kernels.
python -m pytest --collect-only > /dev/null 2>&1 &
imports=$!
ruff check .
ruff format --check .
lint-imports --no-logo
python -c 'from mmvitdense.ops import building; building.library("cpu")' || echo "Tests of compiled kernels are skipped."
wait $imports || true
python -m pytest $times --numprocesses 2 --dist loadfile
wait $job || { cat "$log" >&2; echo "the original OpenMMLab line failed" >&2; exit 1; }
