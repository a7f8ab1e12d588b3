"""`maescan demo` as a newcomer runs it, in a process of its own."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys

import pytest

from maescan.cli.demo import SHIPPED, unpack
from maescan.engines.bundle import Bundle
from maescan.errors import BundleError

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    hidden = "import sys; sys.modules['torch'] = sys.modules['scipy'] = sys.modules['matplotlib'] = None"
    code = f"{hidden}\nif __name__ == '__main__':\n    from maescan.cli import main\n    main()"
    script = out.parent / "run.py"
    script.write_text(code)
    command = [sys.executable, str(script), "demo", "-o", str(out)]
    return out, subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_it_scores_without_torch_and_says_how_well(demo):
    out, done = demo
    assert done.returncode == 0, done.stderr
    values = {name.strip(): float(value) for name, value in re.findall(r"│ ([\w ()]+?) *│ +(\d\.\d+) │", done.stdout)}
    assert values.pop("maescan (MAE and judge)") > max(values.values()) + 0.15
    assert set(values) >= {"tissue area alone", "slice position alone"}
    maps = list((out / "scores" / "maps").rglob("*_anomaly.nii.gz"))
    assert (out / "scores" / "report.html").is_file() and len(maps) == 24


@pytest.mark.slow
def test_scans_with_lesions_alert_more_than_healthy_ones(demo):
    out, done = demo
    with open(out / "scores" / "scans.csv", newline="") as stream:
        alerts = [row["scan"] for row in csv.DictReader(stream) if row["alert"] == "yes"]
    ill = sum((out / "unseen" / "lesions" / name).exists() for name in alerts)
    well = len(alerts) - ill
    assert ill > well + 4 and f"alerts: {ill} of 12 scans with lesions, {well} of 12 healthy ones" in done.stdout


def test_the_packed_bundle_is_small_sound_and_says_where_it_comes_from(tmp_path):
    assert SHIPPED.stat().st_size < 3_500_000
    made = Bundle.load(unpack(tmp_path / "bundle")).manifest["provenance"]["made_by"]
    assert re.fullmatch(r"python bench/demo_bundle\.py( --judge)?", made["command"])
    assert re.fullmatch(r"[0-9a-f]{40}", made["commit"])


def test_a_damaged_bundle_is_not_scored_with(tmp_path):
    bundle = unpack(tmp_path / "bundle")
    (bundle / "mae.safetensors").write_bytes(b"other")
    with pytest.raises(BundleError, match="is not the file that was exported") as caught:
        unpack(bundle)
    assert caught.value.path == bundle / "mae.safetensors"
    remove, folder = re.search(r"(rm -r) (\S+)", caught.value.remedy).groups()
    assert (remove, folder) == ("rm -r", str(bundle))
    shutil.rmtree(folder)
    Bundle.load(unpack(bundle))
