#!/usr/bin/env bash
# Build wheel and sdist, install the wheel in an empty environment away from the checkout, and run the demo from it.
# PYTHON says which Python; RESOLUTION=lowest takes the oldest version of every dependency that is allowed (needs uv).
set -euo pipefail
extra=dev
source "$(dirname "$0")/setup.sh"
here="$PWD"
mkdir -p out
.venv/bin/python -m build --outdir out/dist . > out/build.log 2>&1 || { cat out/build.log; exit 1; }
ls -l out/dist
away="$(mktemp -d)"
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv env
if [ "${RESOLUTION:-}" = lowest ]; then
    uv pip install --quiet --python env/bin/python --resolution lowest-direct --requirements "$here/pyproject.toml"
    uv pip install --quiet --python env/bin/python --no-deps "$(ls "$here"/out/dist/*.whl)"
else
    env/bin/python -m pip install --quiet --constraint "$here/constraints.txt" "$(ls "$here"/out/dist/*.whl)"
fi
env/bin/vidcam doctor
env/bin/vidcam demo --out demo
test -s demo/overlay.mp4
