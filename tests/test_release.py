"""What a release is made of: one version everywhere, workflows, the notebook's first cell, the Space, the issue form."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from starlette.testclient import TestClient

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def _first(pattern: str, file: str) -> str:
    match = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.M)
    assert match is not None, f"{file}: no {pattern}"
    return match[1]


def test_the_version_is_the_same_everywhere() -> None:
    version = _first(r'^version = "([\d.]+)"$', "pyproject.toml")
    assert _first(r"^version: ([\d.]+)$", "CITATION.cff") == version
    assert _first(r"^## (\d[\d.]*)$", "CHANGELOG.md") == version
    assert _first(r"^vidcam\[app\]==([\d.]+)$", "space/requirements.txt") == version


def test_pins_that_the_oldest_python_cannot_have_are_not_asked_of_it() -> None:
    oldest = _first(r'^requires-python = ">=([\d.]+)"$', "pyproject.toml")
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    asked = [p.name for p in pins if p.marker is None or p.marker.evaluate({"python_version": oldest})]
    needs = {canonicalize_name(d.metadata["Name"]): d.metadata["Requires-Python"] or "" for d in distributions()}
    looked_at = [name for name in asked if canonicalize_name(name) in needs]
    assert len(looked_at) > 50
    assert [
        name for name in looked_at if not SpecifierSet(needs[canonicalize_name(name)]).contains(f"{oldest}.99")
    ] == []


def test_the_changelog_has_a_place_for_what_comes() -> None:
    assert _first(r"^## (.+)$", "CHANGELOG.md") == "Unreleased"


@pytest.mark.parametrize("package", ["torch", "torchvision"])
def test_the_space_has_the_tested_versions(package: str) -> None:
    assert _first(rf"^{package}==([\d.]+)", "space/requirements.txt") == _first(
        rf"^{package}==([\d.]+)", "constraints.txt"
    )


def test_the_space_names_the_tested_gradio() -> None:
    head = yaml.safe_load((ROOT / "space" / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert head["sdk_version"] == _first(r"^gradio==([\d.]+)", "constraints.txt")
    assert (ROOT / "space" / head["app_file"]).exists()


@pytest.mark.slow
def test_the_page_of_the_space_asks_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    from vidcam.app import server
    from vidcam.app.limits import Limits

    calls: list[tuple[str, int, Limits]] = []
    monkeypatch.setattr(server, "serve", lambda *given: calls.append(given))
    runpy.run_path(str(ROOT / "space" / "app.py"), run_name="__main__")
    ((host, port, limits),) = calls
    assert port == 7860, "the port that a Space is asked at"
    assert limits.megabytes < Limits().megabytes and limits.work_seconds < Limits().work_seconds
    with server.application(host, limits, token="secret") as app, TestClient(app) as visitor:
        assert visitor.get("/").status_code == 401
        assert visitor.get("/?token=another").status_code == 401
        assert visitor.get("/?token=secret").status_code == 200


@pytest.mark.parametrize("installed", [True, False])
def test_the_notebook_installs_vidcam_only_where_it_is_missing(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = nbformat.read(ROOT / "examples" / "explain.ipynb", as_version=4)
    cell = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    run: list[tuple[str, str]] = []

    class Shell:
        def run_line_magic(self, *line: str) -> None:
            run.append(line)

    if not installed:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(TransformerManager().transform_cell(cell), {"get_ipython": Shell})
    assert run == ([] if installed else [("pip", "install --quiet vidcam")])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_their_actions_and_have_few_rights(path: Path) -> None:
    workflow: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", step["uses"]), step["uses"]
        rights = {right for right, kind in job.get("permissions", {}).items() if kind == "write"}
        allowed = {"deploy": {"pages", "id-token"}, "publish": {"id-token"}, "notes": {"contents"}}
        assert rights == allowed.get(name, set()), f"{path.stem}: {name}"
        if rights:
            runs = [step["run"] for step in job["steps"] if "run" in step]
            assert not any("scripts/" in run or "pip" in run for run in runs), "no other code runs with these rights"


def test_actionlint_finds_nothing() -> None:
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("actionlint is not installed; it is no Python package, and runs in .github/workflows/tests.yml")
    found = subprocess.run([actionlint, *WORKFLOWS], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_the_workflows_run_what_is_here() -> None:
    for path in WORKFLOWS:
        for named in re.findall(r"(?:scripts|\.ci)/[\w.]+", path.read_text(encoding="utf-8")):
            assert (ROOT / named).exists(), f"{path.name}: {named}"


def test_a_report_of_a_fault_has_the_output_of_doctor() -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text(encoding="utf-8"))
    (doctor,) = [part for part in form["body"] if part.get("id") == "doctor"]
    assert "vidcam doctor" in doctor["attributes"]["label"] and doctor["validations"]["required"] is True
    assert all({"label", "value"} & set(part["attributes"]) for part in form["body"] if part["type"] != "checkboxes")


def test_the_image_is_run_by_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    user = max(index for index, line in enumerate(lines) if line.startswith("USER "))
    assert lines[user].split()[1] not in ("0", "root")
    assert not any(line.startswith("RUN ") for line in lines[user:])
    assert all("--no-cache-dir" in line for line in lines if line.strip().removeprefix("RUN ").startswith("pip "))


def test_the_paper_cites_what_it_lists_and_no_more() -> None:
    cited = set(re.findall(r"@(\w+)", (ROOT / "paper" / "paper.md").read_text(encoding="utf-8").split("---", 2)[2]))
    listed = re.findall(r"^@\w+\{(\w+),$", (ROOT / "paper" / "paper.bib").read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted(cited) and len(cited) > 5
