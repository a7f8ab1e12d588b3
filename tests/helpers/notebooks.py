"""Runs a notebook's code cells, as Jupyter does but in this process, and keeps what the last line of each gives:
`python tests/helpers/notebooks.py NOTEBOOK` writes that into the notebook."""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path


def run(notebook: Path) -> list[list[dict[str, object]]]:
    """The outputs of each code cell. Relative paths are below the current folder."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    space: dict[str, object] = {"__name__": "__main__"}
    return [_outputs("".join(cell["source"]), space, number) for number, cell in enumerate(cells, 1)]


def _outputs(source: str, space: dict[str, object], number: int) -> list[dict[str, object]]:
    tree, value, said = ast.parse(source), None, io.StringIO()
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";") else None
    with contextlib.redirect_stdout(said):
        exec(compile(tree, "cell", "exec"), space)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), space)
    made: list[dict[str, object]] = []
    if said.getvalue():
        made.append({"output_type": "stream", "name": "stdout", "text": said.getvalue()})
    if value is not None:
        data = {"text/plain": f"<{type(value).__name__}>" if hasattr(value, "_repr_png_") else repr(value)}
        if hasattr(value, "_repr_png_"):
            data["image/png"] = base64.b64encode(value._repr_png_()).decode()
        result = {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}
        made.append(result)
    return made


def write(notebook: Path) -> None:
    """Keeps the outputs in the notebook."""
    values, outputs = json.loads(notebook.read_text()), run(notebook)
    code = [cell for cell in values["cells"] if cell["cell_type"] == "code"]
    for number, (cell, made) in enumerate(zip(code, outputs, strict=True), 1):
        cell["outputs"], cell["execution_count"] = made, number
    notebook.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]).resolve())
