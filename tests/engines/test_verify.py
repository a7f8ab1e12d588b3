from __future__ import annotations

import shutil

import pytest
from safetensors.numpy import save_file

from helpers.bundles import reseal
from maescan.engines import verify
from maescan.engines.bundle import Bundle, put_engine
from maescan.engines.golden import golden_scan
from maescan.errors import BundleError


@pytest.fixture
def bundle(exported_bundle, tmp_path):
    return shutil.copytree(exported_bundle, tmp_path / "bundle")


def test_preprocessing_is_proved_on_a_scan(bundle, capsys):
    assert golden_scan(Bundle.load(bundle)) == 0
    values = Bundle.load(bundle).manifest
    changed = {**values["preset"], "grid": {**values["preset"]["grid"], "field_mm": 230.0}}
    from maescan.config import Preset
    from maescan.engines.bundle import write_manifest

    write_manifest(bundle, Preset.from_dict(changed), values["provenance"])
    with pytest.raises(BundleError, match="preprocessing makes other slices"):
        golden_scan(Bundle.load(bundle))
    assert not verify.show(bundle, device="cuda")
    assert "golden scan          refused: preprocessing makes other slices" in capsys.readouterr().out


def test_a_golden_scan_that_is_none_is_refused(bundle):
    (bundle / "golden" / "scan.nii.gz").write_bytes(b"no scan")
    reseal(bundle)
    with pytest.raises(BundleError, match="golden scan cannot be prepared"):
        golden_scan(Bundle.load(bundle))


def test_golden_slices_of_another_type_are_refused(bundle):
    arrays = Bundle.load(bundle).golden()
    save_file({**arrays, "prepared": arrays["prepared"] > 0}, bundle / "golden" / "golden.safetensors")
    reseal(bundle)
    with pytest.raises(BundleError, match="golden scan cannot be prepared"):
        golden_scan(Bundle.load(bundle))


@pytest.mark.parametrize("content", [b"", b"\x10\0\0\0\0\0\0\0no weights at all", b"\xff" * 64])
def test_weights_that_are_none_are_refused_whatever_engines_answer(bundle, capsys, content):
    """Scoring needs them no more; the next engine is made of them."""
    (bundle / "mae.safetensors").write_bytes(content)
    reseal(bundle)
    assert not verify.show(bundle, device="cuda")
    assert "mae.safetensors      refused: cannot be read" in capsys.readouterr().out


def test_it_says_what_personal_data_there_is_and_whether_the_card_is_the_manifests(bundle, capsys):
    verify.show(bundle, device="cuda")
    told = capsys.readouterr().out
    assert "an artificial phantom's, no person's" in told and "README.md" not in told
    (bundle / "README.md").write_text("trained on a million scans")
    verify.show(bundle, device="cuda")
    assert "README.md            is not what the manifest says: `maescan card" in capsys.readouterr().out


def test_what_is_not_of_the_bundle_is_named(bundle, capsys):
    """No hash and no signature covers it, so that it could say anything."""
    for name in ("a.txt", "golden/b.txt", "golden/c.txt", "d.txt"):
        (bundle / name).write_text("?")
    assert verify.show(bundle, device="cuda")
    told = capsys.readouterr().out
    assert "other files          a.txt, d.txt, golden/b.txt and 1 more: of no use" in told
    assert "personal data        in the 4 other files: not looked for" in told


def test_what_lies_among_the_engines_is_named_but_replaced_ones(bundle, capsys):
    name = next(iter(Bundle.load(bundle).engines()))
    old = bundle / "engines" / name
    made = shutil.copytree(next(old.iterdir()), bundle.parent / "made")
    (made / "note").write_text("another")
    put_engine(bundle, name, made)
    (bundle / "engines" / "pacs" / "in").mkdir(parents=True)
    for file in ("pacs/1.dcm", "pacs/in/2.dcm"):
        (bundle / "engines" / file).write_text("?")
    verify.show(bundle, device="cuda")
    told = capsys.readouterr().out
    assert len(list(old.iterdir())) == 2 and "engines/pacs/1.dcm, engines/pacs/in/2.dcm: of no use" in told


def test_a_device_that_no_engine_is_for_is_said(bundle, capsys):
    assert verify.show(bundle, device="cuda:1")
    assert "engines              none is for 'cuda:1'; there are openvino-fp32" in capsys.readouterr().out


def test_device_auto_takes_what_the_bundle_has_engines_for(bundle, capsys):
    assert verify.show(bundle, device="auto")
    assert "openvino-fp32        drift on cpu: score" in capsys.readouterr().out
