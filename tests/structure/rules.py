"""The rules of the house that no linter knows. Each gives its offences as lines; today's are in lists/RULE.txt, which
may only shrink: `python tests/structure/shrink.py` takes out what is mended."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator

from structure.code import (
    BENCH,
    BY_NAME,
    PACKAGE,
    ROOT,
    TESTS,
    Module,
    body_lines,
    functions,
    imported_modules,
    imports,
)
from structure.code import parameters as count_parameters

FLOOR = {
    "content": 0, "decimals": 0, "errors": 0,
    "files": 1, "records": 1, "config": 1, "machine": 1, "options": 1, "progress": 1,
    "folders": 2, "scans": 2, "kernels": 2, "models": 2,
    "method": 3,
    "datasets": 4, "engines": 4,
    "results": 5, "evaluate": 5, "export": 5,
    "scoring": 6,
    "network": 7, "train": 7, "benchmark": 7,
    "cli": 8, "__main__": 9, "maescan": 9,
}  # fmt: skip
"""A room imports lower floors only. maescan is the public face: `maescan/__init__.py`, which loads when asked."""

TORCH = (
    "models",
    "train",
    "export",
    "engines/eager",
    "engines/torchscript",
    "engines/torch_place",
    "engines/torch_judge",
    "kernels/arrays",
)
TEMPORARY, RECORDS = (
    ("files", "scans/scratch"),
    ("records", "config/types"),
)  # types: its own values, as JSON has them
PLAIN = ("read_bytes", "read_text")
OWN = (
    *("machine", "benchmark/machine", "scans/budget", "scoring/inbox"),
    *("files", "cli/overview", "cli/training", "results/report", "results/view", "results/cards", "scoring/names"),
    *("engines/plans", "engines/tensorrt", "engines/network"),
)
"""What reads the system's files, the package's own, or what it has just written."""
RAW = ("json.load", "json.loads", "csv.reader", "csv.DictReader", "ast.literal_eval", "eval")
FILE, BODY, PARAMETERS, TESTED = 300, 40, 6, 40


def temporary() -> Iterator[str]:
    """Temporary files made past `scans.scratch`: nobody would take away what a kill leaves of them."""
    for module in PACKAGE:
        if not _is_one_of(module, TEMPORARY):
            yield from (f"{module.path} imports {name}" for name, _ in imports(module) if name == "tempfile")


def raw() -> Iterator[str]:
    """JSON and tables read past `records`, which gives them types and says in one line what is wrong with them."""
    for module in PACKAGE:
        calls = [node for node in module.nodes if isinstance(node, ast.Call)]
        for name in [ast.unparse(call.func) for call in calls] if not _is_one_of(module, RECORDS) else []:
            if name in RAW:
                yield f"{module.path} calls {name}"


def plain() -> Iterator[str]:
    """Files read past `content`, which waits for no pipe and reads no device."""
    for module in PACKAGE:
        if module.path.startswith("python/") and not _is_one_of(module, OWN):
            calls = [node.func for node in module.nodes if isinstance(node, ast.Call)]
            names = [call.attr for call in calls if isinstance(call, ast.Attribute)]
            yield from (f"{module.path} calls {name}" for name in names if name in PLAIN)


def resolved() -> Iterator[str]:
    """Paths resolved by `Path.resolve`, which before Python 3.13 fails at links in circles; `os.path.realpath` does
    not."""
    for module in PACKAGE:
        calls = [node.func for node in module.nodes if isinstance(node, ast.Call) and not node.args]
        yield from (
            f"{module.path} calls {ast.unparse(call)}"
            for call in calls
            if isinstance(call, ast.Attribute) and call.attr == "resolve"
        )


def numbered() -> Iterator[str]:
    """Places of an SQL query that are numbered, which Python 3.14 gives no values of a sequence."""
    for module in PACKAGE:
        texts = [node.value for node in module.nodes if isinstance(node, ast.Constant)]
        yield from (f"{module.path}: {text}" for text in texts if re.search(r"= \?\d", str(text)))


def _is_one_of(module: Module, names: tuple[str, ...]) -> bool:
    return module.path in [f"python/maescan/{name}.py" for name in names]


def floors() -> Iterator[str]:
    for module in PACKAGE:
        for name in sorted(imported_modules(module)):
            above, below = module.room, BY_NAME[name].room
            if name == "maescan" or above == below or FLOOR[below] < FLOOR[above]:
                continue
            yield f"{module.path} imports {name}"


def circles() -> Iterator[str]:
    """Modules that import each other, by whatever way: the sets, in one line each."""
    reach = {module.name: imported_modules(module) - {"maescan"} for module in PACKAGE}
    changed = True
    while changed:
        changed = False
        for name, targets in reach.items():
            further = targets.union(*(reach[target] for target in targets))
            changed = changed or further != targets
            reach[name] = further
    rings = {tuple(sorted(o for o in reach[name] if name in reach[o])) for name in reach if name in reach[name]}
    return (" ".join(ring) for ring in sorted(rings))


def private() -> Iterator[str]:
    """_names of another module, taken by import or as its attribute."""
    for module in PACKAGE + BENCH:
        for name, taken in imports(module):
            if taken and name in BY_NAME and _is_private(taken):
                yield f"{module.path} takes {name}.{taken}"
        aliases = _modules_at_hand(module)
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and _is_private(node.attr):
                owner = aliases.get(node.value.id)
                if owner:
                    yield f"{module.path} takes {owner}.{node.attr}"


def _modules_at_hand(module: Module) -> dict[str, str]:
    """Names in a module that are modules of the package."""
    names = {}
    for node in module.nodes:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if f"{node.module}.{alias.name}" in BY_NAME:
                    names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_kernels"


def torch() -> Iterator[str]:
    for module in PACKAGE:
        place = "/".join(module.name.split(".")[1:])
        if any(place == allowed or place.startswith(f"{allowed}/") for allowed in TORCH):
            continue
        heavy = {name.partition(".")[0] for name, _ in imports(module)} & {"torch", "torchvision", "timm"}
        for name in sorted(heavy):
            yield f"{module.path} imports {name}"


def files() -> Iterator[str]:
    for module in PACKAGE + BENCH + TESTS:
        if len(module.text.splitlines()) > FILE:
            yield module.path


def bodies() -> Iterator[str]:
    for module in PACKAGE + BENCH + TESTS:
        for name, node in functions(module):
            if body_lines(node) > BODY:
                yield f"{module.path} {name}"


def parameters() -> Iterator[str]:
    for module in PACKAGE + BENCH:
        if module.room in ("cli", "kernels"):
            continue
        for name, node in functions(module):
            if count_parameters(node) > PARAMETERS:
                yield f"{module.path} {name}"


def untested() -> Iterator[str]:
    """Modules over 40 lines without a test file of their name in their room's tests."""
    for module in PACKAGE:
        parts = module.name.split(".")[1:] or ["maescan"]
        if module.path.endswith("__init__.py") and len(parts) > 1:
            room, name = parts, parts[-1]
        elif module.path.endswith("__init__.py"):
            room, name = parts if parts != ["maescan"] else [], parts[0]
        else:
            room, name = parts[:-1], parts[-1]
        test = "/".join(["tests", *room, f"test_{name}.py"])
        if len(module.text.splitlines()) > TESTED and not (ROOT / test).exists():
            yield f"{module.path} has no {test}"


def anys() -> Iterator[str]:
    """Files that say Any, and how often."""
    counts = Counter({module.path: len(re.findall(r"\bAny\b", module.text)) for module in PACKAGE})
    return (f"{path} {count}" for path, count in sorted(counts.items()) if count)


RULES: dict[str, Callable[[], Iterator[str]]] = {
    rule.__name__: rule
    for rule in (floors, circles, private, torch, temporary, plain, raw, resolved, numbered,
                 files, bodies, parameters, untested)
}  # fmt: skip
