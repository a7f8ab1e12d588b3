"""Engines that hang, crash or ask for all memory end a process of their own, and verify says so."""

from __future__ import annotations

import shutil

import pytest

from helpers.bundles import engine_file, reseal
from maescan.engines import child, verify
from maescan.engines.bundle import Bundle
from maescan.engines.child import prove_apart
from maescan.errors import EngineError
from maescan.scans.budget import Limits


@pytest.fixture
def bundle(exported_bundle, tmp_path):
    return shutil.copytree(exported_bundle, tmp_path / "bundle")


def broadcast(size: int) -> str:
    """An OpenVINO IR of one constant that is blown up to `size` numbers."""
    dims = f"<dim>{size}</dim>"
    return f"""<net name="m" version="11"><layers>
<layer id="0" name="a" type="Const" version="opset1"><data element_type="f32" shape="" offset="0" size="4"/>
<output><port id="0" precision="FP32"/></output></layer>
<layer id="1" name="s" type="Const" version="opset1"><data element_type="i64" shape="1" offset="8" size="8"/>
<output><port id="0" precision="I64"><dim>1</dim></port></output></layer>
<layer id="2" name="b" type="Broadcast" version="opset3"><data mode="numpy"/>
<input><port id="0" precision="FP32"/><port id="1" precision="I64"><dim>1</dim></port></input>
<output><port id="2" precision="FP32">{dims}</port></output></layer>
<layer id="3" name="r" type="Result" version="opset1">
<input><port id="0" precision="FP32">{dims}</port></input></layer></layers>
<edges><edge from-layer="0" from-port="0" to-layer="2" to-port="0"/><edge from-layer="1" from-port="0" to-layer="2"
to-port="1"/><edge from-layer="2" from-port="2" to-layer="3" to-port="0"/></edges></net>"""


def test_an_engine_of_more_memory_than_it_may_take_is_one_line(bundle, capsys):
    size = 7_000_000_000
    engine_file(bundle, "openvino-fp32", "mae.xml").write_text(broadcast(size))
    engine_file(bundle, "openvino-fp32", "mae.bin").write_bytes(bytes(8) + size.to_bytes(8, "little"))
    reseal(bundle)
    assert not verify.show(bundle, limits=Limits(seconds=120, memory=2_000_000_000))
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("openvino-fp32        refused: ") and ("memory" in line or "does not load" in line)


def test_an_engine_that_takes_too_long_is_ended(bundle):
    with pytest.raises(EngineError, match=r"took over 0\.2 s"):
        prove_apart(Bundle.load(bundle), "openvino-fp32", "cpu", Limits(seconds=0.2))


def test_an_engine_that_ends_its_process_is_told(bundle, monkeypatch):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    real = child.subprocess.Popen
    monkeypatch.setattr(child.subprocess, "Popen", lambda command, **kw: real([command[0], "-c", code], **kw))
    with pytest.raises(EngineError, match=r"its process ended \(SIGSEGV\)"):
        prove_apart(Bundle.load(bundle), "openvino-fp32", "cpu", Limits())


def test_what_it_answers_is_the_drift_or_the_reason(bundle):
    drift = prove_apart(Bundle.load(bundle), "openvino-fp32", "cpu", Limits())
    assert set(drift) == {"score", "difference"} and max(drift.values()) < 1e-3
    engine_file(bundle, "openvino-fp32", "mae.xml").write_text("<net/>")
    reseal(bundle)
    with pytest.raises(EngineError, match="does not load"):
        prove_apart(Bundle.load(bundle), "openvino-fp32", "cpu", Limits())
