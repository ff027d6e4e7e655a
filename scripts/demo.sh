#!/usr/bin/env bash
# Explain a bundled clip with a bundled network; prints where the overlay and the curve are, and the action.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
.venv/bin/vidcam demo --out out/demo --overwrite "$@"
