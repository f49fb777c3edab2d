# Sourced by quickstart.sh and run_tests.sh: goes to the root of the repository and makes sure that `python` is that of an
# environment of its own, .venv unless one is active, with mmvitdense and the extras in $1 installed, by uv where
# install_with_uv is set and uv can do it.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${VIRTUAL_ENV:-}" ] && [ -z "${CONDA_PREFIX:-}" ]; then
  [ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
  . .venv/bin/activate
fi
python -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
  echo "mmvitdense needs Python 3.10 or newer; $(command -v python) is $(python --version). Set PYTHON to a newer one." >&2
  exit 1
}
echo "Installing mmvitdense with [$1] into $(python -c 'import sys; print(sys.prefix)') ..."
if [ -z "${install_with_uv:-}" ] || ! python tools/install_with_uv.py -e ".[$1]"; then
  python -m pip install --quiet --disable-pip-version-check -e ".[$1]"
fi
