#!/usr/bin/env bash
# Lint, types and tests, with all the set-up they need. Arguments go to pytest: scripts/test.sh tests/test_cli.py
set -euo pipefail
extra=dev
source "$(dirname "$0")/setup.sh"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/bandit --quiet --configfile pyproject.toml --recursive vidcam
.venv/bin/python -m pytest "$@"
