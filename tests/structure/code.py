"""What the rules look at: the package's modules, who imports whom, how long things are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Module:
    """One file. name: as it is imported, maescan.scans.read. path: from the repository's top."""

    name: str
    path: str

    @cached_property
    def text(self) -> str:
        return (ROOT / self.path).read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree: most rules look at them all."""
        return list(ast.walk(self.tree))

    @property
    def room(self) -> str:
        """The part below maescan, scans or files; of maescan/__init__.py: maescan."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else parts[0]


def _read(folder: str, package: str) -> Iterator[Module]:
    for file in sorted((ROOT / folder).rglob("*.py")):
        parts = file.relative_to(ROOT / folder).with_suffix("").parts
        if parts[:1] == ("export",) and folder.startswith("python"):
            continue  # a link to the top's export/ in some checkouts
        names = [package, *parts[: -1 if parts[-1] == "__init__" else None]]
        yield Module(".".join(names), file.relative_to(ROOT).as_posix())


PACKAGE = [*_read("python/maescan", "maescan"), *_read("export", "maescan.export")]
BENCH = list(_read("bench", "bench"))
TESTS = list(_read("tests", "tests"))
BY_NAME = {module.name: module for module in PACKAGE}


def imports(module: Module) -> Iterator[tuple[str, str | None]]:
    """(module, name taken from it or None) of every import, those inside functions too."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, None) if inner in BY_NAME else (str(node.module), alias.name)


def imported_modules(module: Module) -> set[str]:
    """The package's modules that one imports."""
    return {name for name, _ in imports(module) if name in BY_NAME} - {module.name}


def functions(module: Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """(Class.name, node), nested ones too."""

    def walk(node: ast.AST, above: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{above}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield name, child
                yield from walk(child, f"{name}.")
            elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):  # in an expression there is none
                yield from walk(child, above)

    yield from walk(module.tree, "")


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a body, without signature and docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return int(body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many, self and cls apart."""
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([arg for arg in given if arg.arg not in ("self", "cls")])
