#!/usr/bin/env bash
# Train, save and resume a tiny detector and a tiny segmentor with the original OpenMMLab distributions
# (requirements/openmmlab.txt).
#
#   bash tools/test_openmmlab.sh            with the `python` on the PATH
#   PYTHON=env/bin/python bash tools/test_openmmlab.sh
#
# The packages go into an environment of their own that is removed at the end. Everything else, torch above all, comes
# from the calling Python: its site-packages stand behind those of the new environment.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
caller=${PYTHON:-python}
work=$(mktemp -d)
trap 'rm -rf "$work" "${PYTHONPYCACHEPREFIX:-}$work"' EXIT

# It is the caller's pip that installs.
"$caller" -m venv --without-pip "$work/env"
python=$work/env/bin/python
site_packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$caller" -c '
import os, sys
print(*(p for p in sys.path if os.path.basename(p) in ("site-packages", "dist-packages")), sep="\n")
' > "$site_packages/calling_python.pth"

"$caller" -m pip --python "$python" install --quiet --no-compile --disable-pip-version-check \
  -r "$root/requirements/openmmlab.txt"

cd "$work"
PYTHONPATH=$root "$python" "$root/tests/integration/openmmlab_line.py"
