from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in cells), "notebooks are kept without their outputs"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [o.data for cell in cells for o in cell.outputs if o.output_type == "execute_result"]
    assert any("iframe" in data.get("text/html", "") for data in shown)
    assert "torch.Size([2, 16, 112, 112])" in shown[-1]["text/plain"]
    printed = "".join(
        o.text for cell in cells for o in cell.outputs if o.output_type == "stream" and o.name == "stdout"
    )
    alike = {m: float(r) for m, r in re.findall(r"(gradcam\S*): jumping jack and windmill, correlation (\S+)", printed)}
    assert alike["gradcam++"] > 0.8 and alike["gradcam"] < 0.6, "which the notebook says"
