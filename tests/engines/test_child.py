"""Engines that hang, crash or ask for all memory end a process of their own, and verify says so."""

from __future__ import annotations

import shutil
from pathlib import Path

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


def with_endless_loop(engine):
    """Puts a Loop without an end behind an OpenVINO engine's output, which would be the same else."""
    import numpy as np
    import openvino
    from openvino import opset13 as ops

    model = openvino.Core().read_model(engine)
    x = ops.parameter([-1], np.float32)
    highest = ops.reduce_max(x, ops.constant(np.array([0])), keep_dims=False)
    more = ops.less(highest, ops.constant(np.float32(np.inf)))
    y = ops.add(x, ops.constant(np.float32(0)))
    loop = ops.loop(ops.constant(np.int64(-1)), ops.constant(True, dtype=bool))
    loop.set_function(openvino.Model([more, y], [x]))
    loop.set_special_body_ports([-1, 0])
    answer = model.outputs[0].get_node()
    before = answer.input_value(0)
    flat = ops.reshape(before, ops.constant(np.array([-1])), special_zero=False)
    loop.set_merged_input(x, flat.output(0), y.output(0))
    after = ops.reshape(loop.get_iter_value(y.output(0), -1), ops.shape_of(before), special_zero=False)
    answer.input(0).replace_source_output(after.output(0))
    model.validate_nodes_and_infer_types()
    made = engine.with_name("looping.xml")
    openvino.save_model(model, made, compress_to_fp16=False)
    for end in (".xml", ".bin"):
        made.with_suffix(end).replace(engine.with_suffix(end))


def test_an_engine_with_an_endless_loop_is_ended_and_nothing_of_it_stays(bundle, capsys):
    with_endless_loop(engine_file(bundle, "openvino-fp32", "mae.xml"))
    reseal(bundle)
    before = children()
    assert not verify.show(bundle, limits=Limits(seconds=15))
    line = capsys.readouterr().out.splitlines()[-1]
    assert "refused: " in line and "took over 15 s to load and to answer" in line
    assert children() == before


def children():
    return {each for file in Path("/proc/self/task").glob("*/children") for each in file.read_text().split()}


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
    assert set(drift) == {"score", "difference", "order"} and max(drift.values()) < 1e-3
    engine_file(bundle, "openvino-fp32", "mae.xml").write_text("<net/>")
    reseal(bundle)
    with pytest.raises(EngineError, match="does not load"):
        prove_apart(Bundle.load(bundle), "openvino-fp32", "cpu", Limits())


@pytest.mark.parametrize("name", ["msgspec.py", "struct.py"])
def test_no_code_of_the_folder_at_hand_is_run(exported_bundle, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise ImportError('not the real one')\n")
    loaded = Bundle.load(exported_bundle)
    assert prove_apart(loaded, "openvino-fp32", "cpu", Limits()) and not (tmp_path / "ran").exists()


def test_a_bundle_whose_path_is_no_utf8_is_proved(bundle, tmp_path):
    odd = bundle.rename(tmp_path / "b\udcff")
    assert prove_apart(Bundle.load(odd), "openvino-fp32", "cpu", Limits())
