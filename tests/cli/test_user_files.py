"""What lies in an --out already is somebody's, unless maescan wrote it: every command that writes a folder asks."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from helpers.stubs import StubEngine
from helpers.training import slices
from maescan.cli import app
from maescan.config import preset
from maescan.datasets.phantom import Look, write_phantom
from maescan.errors import DataError
from maescan.evaluate.run import evaluate_slices
from maescan.options import EvaluateOptions

MINE = ("images.npy", "log.csv", "run.json", "report.md", "labels.csv", ".part-x")


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in MINE:
        (tmp_path / "mine" / name).write_text("mine")
    return tmp_path / "mine"


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "scans"
    write_phantom(folder, healthy=2, lesions=1, seed=0, look=Look(shape=(16, 16, 4)))
    return folder


def stays(mine):
    return sorted(path.name for path in mine.iterdir()) == sorted(MINE) and all(
        (mine / name).read_text() == "mine" for name in MINE
    )


@pytest.mark.parametrize(
    "words",
    [
        "phantom OUT --healthy 1",
        "demo -o OUT",
        "prepare SCANS --preset tiny --out OUT",
        "train SCANS --preset tiny --out OUT",
        "train NOWHERE --preset tiny --out OUT",
        "evaluate NOWHERE --bundle NOWHERE --out OUT",
        "stress NOWHERE --bundle NOWHERE --out OUT",
        "bench --bundle NOWHERE --out OUT",
        "ablate SCANS --preset tiny --out OUT --experiment beta",
    ],
)
def test_a_folder_with_files_is_refused(words, mine, scans):
    """Before anything is read: with NOWHERE nothing could be."""
    words = words.replace("OUT", str(mine)).replace("SCANS", str(scans)).split()
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, DataError), done.output
    assert "holds files that maescan did not write" in str(done.exception) and stays(mine)


def test_evaluate_asks_too(mine):
    with pytest.raises(DataError, match="did not write"):
        evaluate_slices(slices(), StubEngine(), preset("tiny"), mine, {}, EvaluateOptions(draw=False))
    assert stays(mine)


def test_a_phantom_is_made_anew_and_found_by_a_search(scans):
    from maescan.scans import find_scans

    write_phantom(scans, healthy=2, lesions=1, seed=1, look=Look(shape=(16, 16, 4)))
    assert len(find_scans(scans)) == 4
