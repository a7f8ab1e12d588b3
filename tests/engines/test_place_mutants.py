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
from helpers.raw_scans import raw_of
from maescan.method.raw import on_host
from maescan.method.score import score_slices
from maescan.method.tokens import token_sets

SHARED = """self.scratch = cuda.__dict__.get("one") or cuda.take(self._held, scratch)
            cuda.one = self.scratch"""
MUTANTS = {
    "the answer is taken before it is there": ("place", "self.slot.wait()\n        return", "return"),
    "a slot is filled before its answer is taken": ("turns", "len(pending) == 2", "len(pending) == 3"),
    "both turns on one stream's place": ("turns", "place_of(part, turn % 2)", "place_of(part, 0)"),
    "answers of another group": ("turns", "answers[number].append", "answers[len(answers) - 1 - number].append"),
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
    "the thread stays on another GPU": ("tensorrt", "            self.cuda.use()\n            return in_turns",
                                        "            return in_turns"),
    "slots share their scratch memory": ("place", "self.scratch = cuda.take(self._held, scratch)", SHARED),
}  # fmt: skip
WHOLE = {
    "slices stay in float32": ("place", 'networks["scores"].dtypes["images"] if self', '"float32" if self'),
    "ids of the hidden tokens and of all exchanged": ("place", "keep_ids, hidden_ids, restore_ids))",
                                                      "keep_ids, restore_ids, hidden_ids))"),
    "an answer is another's": ("place", "answers[port] = self.buffer(f\"{name} {port}\"",
                               "answers[port] = self.buffer(f\"{name} {len(shape)}\""),
}  # fmt: skip
EXTRACT, STAGED = "part.extract(tuple(given)", "self.cuda.copy(self._device, self._host, size, stream, up=True)"
OWN = 'self.__dict__.setdefault("own", self.cuda.stream(self._held))'
BEFORE = """        if self.shape.raw:
            self._extract(batch.images)
"""
LAUNCH = """        if self.graph is None:
            self._work()
        else:
            self.cuda("cudaGraphLaunch", self.graph, self.stream)
"""
RAW = {
    "voxels stay down": ("staging", STAGED, "pass"),
    "voxels on a stream of their own, no event": ("staging", STAGED, STAGED.replace("stream", OWN)),
    "voxels in memory that is not pinned": ("staging", "size, pinned=True)", "size)"),
    "arrays side by side without a gap": ("staging", "at += padded(array.nbytes)", "at += array.nbytes"),
    "voxels go up behind the stream's work": ("place", BEFORE + LAUNCH, LAUNCH + BEFORE),
    "slices are made on the other slot's stream": (
        "place", "len(part)), self.stream)",
        "len(part)), max(self.cuda.runtime.streams))"),
    "slices are made on the default stream": ("place", "len(part)), self.stream)", "len(part)), 0)"),
    "slots share their staging": ("place", "self.staging = Staging(cuda)",
                                  'self.staging = cuda.__dict__.setdefault("one", Staging(cuda))'),
    "voxels over those of a batch in flight": ("turns", "len(pending) == 2", "len(pending) == 3"),
    "a scan's slices over another's": ("place", "low += len(part)", "low += 0"),
    "rows and columns exchanged": ("place", EXTRACT, "part.extract((given[0], *given[3:], *given[1:3])"),
    "intensities of another scan": ("place", EXTRACT, EXTRACT.replace(
        "part.", "next(p for p in images.parts if p.voxels.shape[1:] == part.voxels.shape[1:]).")),
    "staging stays": ("place", "self._held.callback(self.staging.close)", "pass"),
    "no slices are made": ("place", BEFORE, BEFORE.replace("raw:", "raw and not self.rows:")),
}  # fmt: skip
NONE = ("place", "", "")
CASES = [*((name, fault, path) for name, fault in MUTANTS.items() for path in ("networks", "whole")),
         *((name, fault, "whole") for name, fault in WHOLE.items()),
         *((name, fault, path) for name, fault in RAW.items() for path in ("raw", "raw whole"))]  # fmt: skip


def planted(monkeypatch, module, old, new):
    """The class TensorRtEngine over a module whose source has `old` replaced."""
    for name in ("cuda", "staging", "place", "turns", "tensorrt"):
        real = importlib.import_module(f"maescan.engines.{name}")
        source = inspect.getsource(real)
        if name == module:
            assert old in source
            source = source.replace(old, new)
        source = re.sub(r"maescan\.engines\.(cuda|staging|place|turns)\b", r"maescan.engines.mutant_\1", source)
        made = types.ModuleType(f"maescan.engines.mutant_{name}")
        monkeypatch.setitem(sys.modules, made.__name__, made)
        exec(compile(source, f"mutant_{name}.py", "exec"), made.__dict__)
    made.BATCHES = (1, 2, 4)
    return made.TensorRtEngine


def scored(engine_of, cuda, backend, path):
    """Whole grids, foreground and grids again, from a thread of its own; then all is given back. path: whole, as one
    graph, or two networks with kernels between; raw: from voxels."""
    whole, raw = path.endswith("whole"), path.startswith("raw")
    values = {"target": "tensorrt-rtx", "precision": "fp32", "versions": {}}
    faults = []

    def work(engine, made):
        try:
            for count, preset in ((11, made.preset), (9, engine_of("small-fg").preset), (11, made.preset)):
                given = raw_of(preset) if raw else slices_of(preset, count)
                images, ids = on_host(given), np.arange(len(given)) + 7
                host, sets = made.whole() if whole else made.host(), token_sets(images, preset)
                found = score_slices(given, ids, engine, preset, sets=sets)
                same(found, score_slices(images, ids, host, preset))
        except BaseException as error:
            faults.append(error)

    made = engine_of("small", "fp16" if whole else "fp32", whole)
    engine = backend(made.folder, values, device="cuda:1", threads=None, preset=made.preset)
    thread = threading.Thread(target=work, args=(engine, made))
    thread.start()
    thread.join()
    engine.close()
    assert not faults and cuda.left() == (0, 0, 0, False), faults


@pytest.mark.parametrize("path", ["networks", *slow("whole", "raw", "raw whole")])
def test_without_a_fault_the_path_scores(engine_of, monkeypatch, tmp_path, path):
    cuda, _ = install(monkeypatch, tmp_path)
    scored(engine_of, cuda, planted(monkeypatch, *NONE), path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault", "path"), CASES)
def test_a_planted_fault_is_found(engine_of, monkeypatch, tmp_path, name, fault, path):
    cuda, _ = install(monkeypatch, tmp_path)
    backend = planted(monkeypatch, *fault)
    found = None
    try:
        scored(engine_of, cuda, backend, path)
    except BaseException as error:  # an assertion, an error of CUDA's, another score
        found = error
    assert found is not None
    print(f"{name}: {type(found).__name__}: {str(found)[:120]}")
