from __future__ import annotations

import json
import re

import pytest
from jinja2 import UndefinedError

from vidcam.export.template import render_template

HOSTILE = "</script><!-- \u202e<b>"
ERRORS = {"confusions": [], "films": {}, "pages": {}, "wrong": 0, "clips": "no clips", "how": "m at l"}


def test_text_is_escaped_and_has_no_controls() -> None:
    page = render_template("errors.html.j2", model=HOSTILE, **ERRORS)
    assert "&lt;b&gt;" in page and "<b>" not in page and "\u202e" not in page


def test_data_is_json_that_ends_no_script() -> None:
    page = render_template("errors.html.j2", scripts=("heat.js",), data={"a": HOSTILE}, model="m", **ERRORS)
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found is None or json.loads(found[1]) == {"a": HOSTILE}
    assert "</script><!--" not in page


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render_template("errors.html.j2", model="m")
