"""Run the notebooks of docs/notebooks from the first cell to the last: `make docs-notebooks`.

    python tests/notebooks.py          # run them, and keep what they print

What a notebook prints is kept in it, so that it can be read without running it; the tests run it
again and hold what it prints against that, but for numbers.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import doc_pages

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def run(path: Path, folder: Path) -> Any:
    """Execute a notebook in a folder; gives it with its outputs."""
    import nbclient
    import nbformat

    # The commands of this environment, whether or not it is activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["COLUMNS"] = "100"
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = _kept(cell.outputs)
    notebook.metadata.pop("language_info", None)
    return notebook


def _kept(outputs: list[Any]) -> list[Any]:
    """Outputs without progress and without what is of one run only."""
    import nbformat

    found = []
    printed = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")
    if printed:
        # A command in a cell has a terminal; what it draws anew is of the moment.
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed.replace("\r\n", "\n"))
        lines = [line.rpartition("\r")[2].rstrip() for line in text.splitlines()]
        found.append(nbformat.v4.new_output("stream", name="stdout", text="\n".join(lines) + "\n"))
    for output in outputs:
        if output.output_type == "execute_result":
            data = {"text/plain": output.data["text/plain"]}
            found.append(nbformat.v4.new_output("display_data", data=data))
    return found


def shapes(notebook: Any) -> list[str]:
    """What each cell prints, without numbers and without the width of columns."""
    texts = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", ())
        whole = "\n".join(o.get("text") or o["data"]["text/plain"] for o in outputs)
        lines = [doc_pages.shape(line) for line in whole.splitlines()]
        texts.append("\n".join(line for line in lines if line))
    return texts


def main() -> None:
    """Run all and keep what they print."""
    import nbformat

    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(run(path, Path(folder)), path)
        print(path)


if __name__ == "__main__":
    main()
