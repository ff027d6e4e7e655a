from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from vidcam.app import results as module
from vidcam.app.limits import Limits
from vidcam.app.results import Result, Results


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path, Limits(results=4))


@pytest.fixture
def result(results: Results) -> Result:
    found = results.new("session", "here", "my clip.mp4")
    for name in (
        "report.html",
        "overlay.mp4",
        "vidcam.zip",
        "summary.json",
        "secret.txt",
        "report.mp4",
        "clip/my clip.mp4",
    ):
        (found.folder / name).write_text(name)
    return found


@pytest.fixture
def client(results: Results) -> TestClient:
    return TestClient(Starlette(routes=[Route("/results/{key}/{name:path}", results.answer)]))


def test_a_fixed_set_of_files_is_served(client: TestClient, result: Result) -> None:
    for name in ("report.html", "overlay.mp4", "vidcam.zip", "summary.json", "report.mp4", "clip/my clip.mp4"):
        answer = client.get(f"/results/{result.key}/{name}")
        assert (answer.status_code, answer.text) == (200, name)
    for path in (
        f"{result.key}/secret.txt",
        f"{result.key}/curve.png",
        f"{result.key}/clip/../secret.txt",
        "x/report.html",
    ):
        assert client.get(f"/results/{path}").status_code == 404


def test_the_report_is_in_a_sandbox_of_its_own(client: TestClient, result: Result) -> None:
    policy = client.get(f"/results/{result.key}/report.html").headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts allow-downloads; default-src 'none'")
    assert "allow-same-origin" not in policy


def test_a_session_has_one_result_and_forgetting_deletes_it(results: Results, result: Result) -> None:
    again = results.new("session", "here", "clip.mp4")
    assert not result.folder.exists() and (again.folder / "clip").is_dir() and again.key != result.key
    results.forget("session")
    assert not again.folder.exists()


def test_what_nobody_fetches_is_deleted_and_fetching_keeps_it(
    results: Results, result: Result, client: TestClient
) -> None:
    result.used -= module.UNUSED - 5
    results.sweep()
    assert result.folder.exists()
    result.used -= 10
    client.get(f"/results/{result.key}/report.html")
    results.sweep()
    assert result.folder.exists()
    result.used -= module.UNUSED + 1
    results.sweep()
    assert not result.folder.exists() and client.get(f"/results/{result.key}/report.html").status_code == 404
