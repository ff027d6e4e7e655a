#!/usr/bin/env bash
# Lint, rules of imports, types, pages and tests, with all the set-up they need. Arguments go to pytest: scripts/test.sh tests/test_cli.py
set -euo pipefail
extra=dev
source "$(dirname "$0")/setup.sh"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/lint-imports --no-cache
.venv/bin/bandit --quiet --configfile pyproject.toml --recursive vidcam
.venv/bin/hadolint Dockerfile
NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet
.venv/bin/python -m pytest "$@"
