#!/usr/bin/env bash
# Lint, rules of imports, types and tests, with all the set-up they need; tests/test_site.py builds the pages.
# Arguments go to pytest: scripts/test.sh tests/cam/test_methods.py
set -euo pipefail
extra=dev
source "$(dirname "$0")/setup.sh"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/lint-imports --no-cache
.venv/bin/bandit --quiet --configfile pyproject.toml --recursive vidcam
.venv/bin/hadolint Dockerfile
.venv/bin/python -m pytest "$@"
