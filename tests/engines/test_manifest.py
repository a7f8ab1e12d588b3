from __future__ import annotations

import json
import shutil

import pytest

from helpers.bundles import engine_file, reseal, rewrite
from helpers.mutations import mutations
from maescan.engines.bundle import Bundle, update
from maescan.engines.manifest import body_hash, parse
from maescan.errors import BundleError, MaescanError
from maescan.method.aggregate import scan_score
from maescan.scoring.conformal import Reference


@pytest.fixture
def bundle(exported_bundle, tmp_path):
    path = shutil.copytree(exported_bundle, tmp_path / "bundle")
    calibration = {"scans": [0.25, 0.5], "slices": [0.25, 0.5], "scores_sha256": "0" * 64}
    calibration |= {
        "positions": [0.25, 0.5],
        "worst": [0.25, 0.5],
        "counts": [1, 1],
        "figures": {"noise": [0.1, 0.2]},
    }
    ranges = {name: [0.0, 1.0] for name in ("mean", "std", "share", "contrast", "noise", "detail")}
    ranges["histogram"] = [0.1, 0.4, 0.6, 1.0, 1.2, 1.4, 1.6, 0.2]
    update(path, calibration=calibration, intensity=ranges, aggregation={"method": "top", "k": 3})
    return path


def manifest_of(bundle):
    return json.loads((bundle / "manifest.json").read_text())


def test_any_edit_is_found_even_one_that_would_be_sound(bundle):
    """Those that change p-values without a trace: intensity, field of view, calibration, k."""
    values = manifest_of(bundle)
    edits = {
        "intensity": {**values["intensity"], "mean": [0.0, 9.0]},
        "preset": {**values["preset"], "grid": {**values["preset"]["grid"], "field_mm": 100.0}},
        "calibration": {**values["calibration"], "scans": [0.25, 0.75]},
        "aggregation": {"method": "top", "k": 2},
    }
    for name, value in edits.items():
        (bundle / "manifest.json").write_text(json.dumps({**values, name: value}))
        with pytest.raises(BundleError, match="was changed since it was written"):
            Bundle.load(bundle)


def test_every_field_changed_is_an_error_or_a_bundle(bundle):
    """With a hash that fits, so that types alone stand between a field and who uses it."""
    file, wrong, tried, refused = bundle / "manifest.json", [], 0, 0
    for what, values in mutations(manifest_of(bundle)):
        raw = json.dumps({**values, "body": body_hash(values)}).encode()
        tried += 1
        try:
            manifest = parse(raw, file)
            reference = Reference.of(manifest, 0.05)
            assert reference is None or reference.scan(0.5)
            scan_score([0.5, 0.25], manifest.get("aggregation"))
        except MaescanError as error:
            refused += 1
            if "\n" in str(error) or "\x1b" in str(error):
                wrong.append((what, str(error)))
        except Exception as error:
            wrong.append((what, repr(error)))
    assert not wrong, wrong[:5]
    assert tried > 800 and refused > 0.75 * tried


def test_every_field_of_an_engine_changed_is_an_error_or_a_bundle(bundle):
    file = engine_file(bundle, "openvino-fp32", "engine.json")
    whole, wrong = json.loads(file.read_text()), []
    for what, values in mutations(whole):
        file.write_text(json.dumps(values))
        reseal(bundle)
        try:
            Bundle.load(bundle).engines()
        except MaescanError as error:
            wrong += [(what, str(error))] if "\n" in str(error) else []
        except Exception as error:
            wrong.append((what, repr(error)))
    assert not wrong, wrong[:5]


def test_files_outside_and_files_that_are_not_listed_are_refused(bundle, tmp_path):
    folder = Bundle.load(bundle).engine_folder("openvino-fp32")
    (folder / "more.xml").write_text("<net/>")
    with pytest.raises(BundleError, match=r"more\.xml: is not of the bundle"):
        Bundle.load(bundle)
    (folder / "more.xml").unlink()
    shutil.move(folder / "mae.bin", tmp_path / "mae.bin")
    (folder / "mae.bin").symlink_to(tmp_path / "mae.bin")
    with pytest.raises(BundleError, match=r"mae\.bin: is a link.*cp -rL "):
        Bundle.load(bundle)
    rewrite(bundle, files={"../secret": "0" * 64, **manifest_of(bundle)["files"]})
    with pytest.raises(BundleError, match=r"outside of it: \.\./secret"):
        Bundle.load(bundle)
