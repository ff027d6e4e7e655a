#!/usr/bin/env bash
# Build wheel and sdist, check both, install the wheel in an empty environment away from the checkout, and run the demo from it.
# out/dist holds what a release uploads, out/sbom.json the bill of materials of that environment (CycloneDX).
# PYTHON says which Python; RESOLUTION=lowest takes the oldest version of every dependency that is allowed (needs uv).
set -euo pipefail
extra=dev
source "$(dirname "$0")/setup.sh"
here="$PWD"
mkdir -p out
rm -rf out/dist
.venv/bin/python -m build --outdir out/dist . > out/build.log 2>&1 || { cat out/build.log; exit 1; }
.venv/bin/twine check --strict out/dist/*
.venv/bin/check-wheel-contents out/dist/*.whl
# The sdist holds every file of the repository, so that the tests run from it.
diff <(git ls-files | sort) <(tar -tzf out/dist/*.tar.gz | cut -d/ -f2- | grep -vx PKG-INFO | sort)
du -h out/dist/*
away="$(mktemp -d)"
trap 'rm -rf "$away"' EXIT
cd "$away"
"${PYTHON:-python3}" -m venv env
if [ "${RESOLUTION:-}" = lowest ]; then
    uv pip install --quiet --python env/bin/python --resolution lowest-direct --requirements "$here/pyproject.toml"
    uv pip install --quiet --python env/bin/python --no-deps "$(ls "$here"/out/dist/*.whl)"
else
    env/bin/python -m pip install --quiet --no-compile --constraint "$here/constraints.txt" "$(ls "$here"/out/dist/*.whl)"
fi
"$here/.venv/bin/cyclonedx-py" environment --pyproject "$here/pyproject.toml" --output-reproducible \
    --output-file "$here/out/sbom.json" env/bin/python
env/bin/vidcam doctor
env/bin/vidcam demo --out demo
test -s demo/overlay.mp4
