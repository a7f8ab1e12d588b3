"""Fixtures of every test: `device` runs a test on the CPU and, where there is one, on a GPU.

With MAESCAN_TEST_KERNELS (see test_kernels_shim.py) the named build of the extension is tested in place of the
installed one, and `device` has a third value: "shim", CUDA's launches on host memory.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib.util
import os
import re
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads spin while they wait: on busy cores 5 times the work
BUILD = os.environ.get("MAESCAN_TEST_KERNELS")
SCORING = ("scoring", "results", "system", "cli")
"""Tests of these folders must leave their inputs as they were; one that damages a scan itself says so: `given`."""
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda), *(["shim"] if BUILD else [])]


def pytest_configure() -> None:
    if BUILD:
        from maescan import kernels

        spec = importlib.util.spec_from_file_location("tested._kernels", BUILD)
        assert spec and spec.loader
        kernels._kernels = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def _cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param != "shim":
        yield request.param
        return
    from maescan import kernels

    kernels._kernels.run_cuda_on_host(True)
    yield request.param
    kernels._kernels.run_cuda_on_host(False)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter: a pytest that a test starts closes those of pytest's own again."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture(autouse=True)
def umask_stays() -> Iterator[None]:
    """What `listen` takes from others for good, it takes from the test alone that runs it in this process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def inputs_stay(request: pytest.FixtureRequest) -> Iterator[None]:
    """Scoring never changes what it was given: every scan that a test wrote is as it was, when the test ends."""
    from helpers import inputs

    if request.path.parent.name in SCORING:
        request.getfixturevalue("tmp_path")  # set up before, it is still there at the end
    yield
    harmed = inputs.harmed() if request.path.parent.name in SCORING else []
    if request.path.parent.name not in SCORING:
        inputs.forget()
    assert not harmed, f"inputs were changed or removed: {harmed}"


SLOW, MADE = ("system",), {"exported_bundle", "small_bundle", "all_targets", "run_folder", "unbroken", "done"}
"""Folders whose tests are slow, all of them, and fixtures that export or train; other tests say so themselves."""
LACKING = re.compile(r"could not import|not installed|no Chromium|needs (pydicom|valgrind|a C compiler)")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m "not slow"` does not even import folders whose tests are all slow."""
    return True if config.getoption("markexpr") == "not slow" and collection_path.name in SLOW else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in SLOW or not MADE.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def exported_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a tiny model, one for all processes of a session. Not to be changed: copy it."""
    import fcntl

    from helpers.bundles import a_run
    from maescan.export import export

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bundle").exists():
            export(a_run(folder), folder / "bundle")
    return folder / "bundle"


def _fails_where_tools_are_demanded(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With FAIL_ON_MISSING_TOOLS=1 a test that is skipped for want of a package or program fails."""
    if os.environ.get("FAIL_ON_MISSING_TOOLS") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if LACKING.search(reason):
            report.outcome, report.longrepr = "failed", f"{reason}: `.ci/run` installs what tests need"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fails_where_tools_are_demanded(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fails_where_tools_are_demanded(report)
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_cuda") and os.environ.get("FAIL_WITHOUT_CUDA") != "1" and not _cuda():
        pytest.skip("needs a GPU")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """After TESTS_HANG_AFTER seconds a test that hangs where nothing can interrupt it ends its process. As pytest's
    own faulthandler_timeout, but where no thread can be started just then the test runs without, not pytest's end."""
    if "TESTS_HANG_AFTER" in os.environ:
        where = item.config.stash.get(fault_handler_stderr_fd_key, 2)  # it may be switched off
        with contextlib.suppress(RuntimeError):
            faulthandler.dump_traceback_later(float(os.environ["TESTS_HANG_AFTER"]), exit=True, file=where)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


_INTERNAL: list[str] = []


def pytest_internalerror(excrepr: object) -> None:
    _INTERNAL.append(str(excrepr))


def pytest_unconfigure(config: pytest.Config) -> None:
    """The first error of pytest or of a worker again, after all else: xdist's complaints of its consequences end the
    output, and a log may be kept by its end."""
    if _INTERNAL and not hasattr(config, "workerinput"):
        print("The first internal error:", *_INTERNAL[0].splitlines()[-40:], sep="\n")
