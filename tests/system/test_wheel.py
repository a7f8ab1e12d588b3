"""The wheel that a user gets: built from the sdist, repaired for other Linux systems, put in without a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from helpers.bundles import a_run
from helpers.scoring_stub import write_scan

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*command: object, **options: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, made as `pip` and `build` make it, beside the leftovers of a build."""
    out = tmp_path_factory.mktemp("sdist")
    code = f"import scikit_build_core.build as b; print(b.build_sdist({str(out)!r}))"
    run(sys.executable, "-c", code, cwd=ROOT)
    return next(out.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, then repaired by auditwheel."""
    out = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sources) as archive:
        archive.extractall(out / "unpacked", filter="data")
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    code = f"import scikit_build_core.build as b; b.build_wheel({str(out / 'built')!r})"
    run(sys.executable, "-c", code, cwd=next((out / "unpacked").iterdir()), env={**tools, "MAESCAN_CUDA": "OFF"})
    run("auditwheel", "repair", next((out / "built").glob("*.whl")), "--wheel-dir", out / "repaired", env=tools)
    return next((out / "repaired").glob("*.whl"))


def test_an_image_is_built_without_what_was_made_here():
    """Else 8 GB of an environment go along, and a build folder that CMake takes nowhere else."""
    left_out = [line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().splitlines()]
    for made in (ROOT / ".gitignore").read_text().splitlines():
        assert any(fnmatch(made.strip("/"), pattern) for pattern in left_out), made


def test_the_sdist_holds_sources_alone(sources):
    with tarfile.open(sources) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {name.partition("/")[0] for name in names} <= {
        *("python", "csrc", "export", "CMakeLists.txt", "pyproject.toml", "PKG-INFO"),
        *("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff"),
    }
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc"))]
    assert sources.stat().st_size < 4_500_000


def test_the_wheel_holds_the_package_alone_and_runs_on_other_linux_systems(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "manylinux" in wheel.name
    assert {name.split("/")[0].split("-")[0] for name in names} <= {"maescan", "maescan.libs"}
    assert "maescan/py.typed" in names and "maescan/export/__init__.py" in names
    assert len([name for name in names if name.endswith(".so")]) == 1
    licences = {name.rpartition("/")[2] for name in names if ".dist-info/licenses/" in name} - {""}  # of folders
    assert licences == {"LICENSE", "LICENSE.niivue"}


def test_it_scores_in_a_new_environment_without_a_compiler(wheel, tmp_path):
    from maescan import export

    bundle = export.export(a_run(tmp_path), tmp_path / "bundle", to=("openvino",), precision=("fp32",))
    write_scan(tmp_path / "scans" / "scan.nii.gz", 0)
    run(sys.executable, "-m", "venv", tmp_path / "env")
    python, empty = tmp_path / "env" / "bin" / "python", tmp_path / "nothing"
    empty.mkdir()
    bare = {"PATH": str(empty), "HOME": str(tmp_path)}
    bare |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
    bare["PIP_CONSTRAINT"] = (ROOT / "constraints.txt").as_uri()  # a path would end at its first space
    run(python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", wheel, env={**os.environ, **bare})
    command = [python.parent / "maescan", "score", tmp_path / "scans", "--bundle", bundle, "--out", tmp_path / "out"]
    assert "1 scan" in run(*command, env=bare)
    assert (tmp_path / "out" / "scans.csv").read_text().count("\n") == 2
    lacks = (
        "import importlib.util as u, sys; sys.exit(any(u.find_spec(n) for n in ('torch', 'SimpleITK', 'pydicom')))"
    )
    run(python, "-c", lacks, env=bare)
    shutil.rmtree(tmp_path / "env")
