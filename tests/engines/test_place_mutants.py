"""Faults planted in the GPU's path, one at a time: the stand-in for CUDA must find each."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import threading
import types

import numpy as np
import pytest

from helpers.gpu_machine import install, same, slices_of
from helpers.marks import slow
from maescan.method.score import score_slices

SHARED = """self.scratch = cuda.__dict__.get("one") or cuda.take(self._held, scratch)
            cuda.one = self.scratch"""
MUTANTS = {
    "the answer is taken before it is there": ("place", "self.slot.wait()\n        return", "return"),
    "a slot is filled before its answer is taken": ("place", "len(pending) == 2", "len(pending) == 3"),
    "both turns on one stream's place": ("place", "place_of(part, turn % 2)", "place_of(part, 0)"),
    "slice ids stay down": ("place", "        for name, array in self._up.items():\n            self._copy",
                            "        for name, array in list(self._up.items())[:1]:\n            self._copy"),
    "the grid's ids in memory of other places": ("place", "pointer = self.cuda.take(self._held, size)",
                                                 "pointer = self._memory.take(size)"),
    "no plain run before the capture": ("place", "        self._work()\n        self.slot.wait()\n", ""),
    "work on the default stream": ("place", "self.stream, self.cuda = slot.stream, slot.cuda",
                                   "self.stream, self.cuda = 0, slot.cuda"),
    "rows of the batch before": ("place", "array[:rows], given[name], cast",
                                 "array[:1], given[name][:1], cast"),
    "no answer comes down": ("place", "self._copy(name, self._down[name], up=False)", "pass"),
    "graphs stay": ("cuda", 'stack.callback(self, "cudaGraphExecDestroy", instance)', "pass"),
    "pinned memory freed as the GPU's": ("cuda", '"cudaFreeHost"', '"cudaFree"'),
    "copies in the other direction": ("cuda", "if up else kinds.cudaMemcpyDeviceToHost", "if not up else 2"),
    "streams stay": ("cuda", 'stack.callback(self, "cudaStreamDestroy", stream)', "pass"),
    "the thread stays on another GPU": ("tensorrt", "        self.cuda.use()\n        passes", "        passes"),
    "slots share their scratch memory": ("place", "self.scratch = cuda.take(self._held, scratch)", SHARED),
}  # fmt: skip
WHOLE = {
    "slices stay in float32": ("place", 'networks["scores"].dtypes["images"] if self', '"float32" if self'),
    "ids of the hidden tokens and of all exchanged": ("place", "keep_ids, hidden_ids, restore_ids))",
                                                      "keep_ids, restore_ids, hidden_ids))"),
    "an answer is another's": ("place", "answers[port] = self.buffer(f\"{name} {port}\"",
                               "answers[port] = self.buffer(f\"{name} {len(shape)}\""),
}  # fmt: skip
NONE = ("place", "", "")
CASES = [*((name, fault, whole) for name, fault in MUTANTS.items() for whole in (False, True)),
         *((name, fault, True) for name, fault in WHOLE.items())]  # fmt: skip


def planted(monkeypatch, module, old, new):
    """The class TensorRtEngine over a module whose source has `old` replaced."""
    for name in ("cuda", "place", "tensorrt"):
        real = importlib.import_module(f"maescan.engines.{name}")
        source = inspect.getsource(real)
        if name == module:
            assert old in source
            source = source.replace(old, new)
        source = re.sub(r"maescan\.engines\.(cuda|place)\b", r"maescan.engines.mutant_\1", source)
        made = types.ModuleType(f"maescan.engines.mutant_{name}")
        monkeypatch.setitem(sys.modules, made.__name__, made)
        exec(compile(source, f"mutant_{name}.py", "exec"), made.__dict__)
    made.BATCHES = (1, 2, 4)
    return made.TensorRtEngine


def scored(engine_of, cuda, backend, whole):
    """Whole grids, foreground and grids again, from a thread of its own; then all is given back. whole: as one graph,
    or two networks with kernels between."""
    values = {"target": "tensorrt-rtx", "precision": "fp32", "versions": {}}
    faults = []

    def work(engine, made):
        try:
            for count, preset in ((11, made.preset), (3, engine_of("small-fg").preset), (11, made.preset)):
                images, ids = slices_of(preset, count), np.arange(count) + 7
                host = made.whole() if whole else made.host()
                same(score_slices(images, ids, engine, preset), score_slices(images, ids, host, preset))
        except BaseException as error:
            faults.append(error)

    made = engine_of("small", "fp16" if whole else "fp32", whole)
    engine = backend(made.folder, values, device="cuda:1", threads=None, preset=made.preset)
    thread = threading.Thread(target=work, args=(engine, made))
    thread.start()
    thread.join()
    engine.close()
    assert not faults and cuda.left() == (0, 0, 0, False), faults


@pytest.mark.parametrize("whole", [*slow(True), False])
def test_without_a_fault_the_path_scores(engine_of, monkeypatch, tmp_path, whole):
    cuda, _ = install(monkeypatch, tmp_path)
    scored(engine_of, cuda, planted(monkeypatch, *NONE), whole)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault", "whole"), CASES)
def test_a_planted_fault_is_found(engine_of, monkeypatch, tmp_path, name, fault, whole):
    cuda, _ = install(monkeypatch, tmp_path)
    backend = planted(monkeypatch, *fault)
    found = None
    try:
        scored(engine_of, cuda, backend, whole)
    except BaseException as error:  # an assertion, an error of CUDA's, another score
        found = error
    assert found is not None
    print(f"{name}: {type(found).__name__}: {str(found)[:120]}")
