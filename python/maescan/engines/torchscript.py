"""TorchScript: the fp32 reference on any machine with torch, and in 16 bits the fast engine of a GPU that has no
TensorRT: there the whole path from slices to scores is captured in CUDA graphs.

torch's allocator gives a graph a pool of its own, so here the kernels make their own arrays in it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maescan.config import Preset
from maescan.engines.cuda import AGAIN, FULL, OLD, TAKEN
from maescan.engines.place import Shape, narrow_images
from maescan.engines.torch_place import WARM, Lane, TorchPlace, as_traced
from maescan.engines.turns import in_turns
from maescan.errors import DeviceLostError, EngineError
from maescan.kernels import require_cuda
from maescan.machine import cpu_name, driver_name, require_gpu
from maescan.method.engine import Floats, Ids, TokenBatch
from maescan.method.masks import of_all_tokens
from maescan.records import decode

PLACES = 128
"""Graphs that are kept, over both streams, whose graphs share memory; the one not used for longest goes first."""

PORTS = "ports.json"
"""Of a file, beside the network: its inputs' names and types. Files of before have none: their MAE takes float32 and
restore_ids, and answers for all tokens."""

SIZES = (1, 8, 16, 32, 64)
"""Slices of a batch: a graph each, for every size of token sets."""

LACKS = {
    "out of memory": FULL,
    "ALLOC_FAILED": FULL,
    "busy or unavailable": TAKEN,
    "driver version is insufficient": OLD,
    "driver on your system is too old": OLD,
}
"""What the machine lacks, by words of the errors that torch passes on from CUDA and its libraries: torch has no class
for them, and CUDA refuses every call until it is there, as after a fault."""


def load_torchscript(
    folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Preset
) -> TorchScriptEngine:
    """The engine of a folder, with places of its own on a GPU."""
    engine = TorchScriptEngine if device.partition(":")[0] == "cpu" else GraphEngine
    return engine(folder, values, device=device, threads=threads, preset=preset)


CONVOLUTION_INPUTS = 13
"""Of torch's convolution, the last of which allows TF32."""


class TorchScriptEngine:
    """The two traced models of an engine folder, on a CPU or a GPU."""

    target, batch = "torchscript", 8

    def __init__(
        self, folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Preset
    ) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.precision, self.version = values["precision"], f"torch {torch.__version__}"
        self.device, self.name, self.preset = torch.device(device), f"{self.target}-{self.precision}", preset
        self.device_name = cpu_name() if self.device.type == "cpu" else f"{require_gpu(device)}, {driver_name()}"
        self.networks: dict[str, Any] = {}
        self.ports: dict[str, dict[str, str]] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces the end of TorchScript; C++ programs still load it
            for name in ("mae", "classifier"):
                if (folder / f"{name}.pt").exists():
                    said, file = {PORTS: ""}, folder / f"{name}.pt"
                    self.networks[name] = torch.jit.load(file, map_location=self.device, _extra_files=said)
                    settle(self.networks[name])
                    self.ports[name] = decode(dict[str, str], said[PORTS] or "{}", path=file, remedy="export it anew")

    def reconstruct(self, visible: Any, token_ids: Any, keep_ids: Any, restore_ids: Any) -> NDArray[np.float32]:
        """visible [N, K, P*P], token_ids [N, T], keep_ids [N, K], restore_ids [N, T] -> predictions [N, T, P*P]."""

        def run(ids: Ids) -> NDArray[np.float32]:
            return self._run("mae", visible, token_ids, keep_ids, ids)

        if "hidden_ids" not in self.ports["mae"]:
            return run(restore_ids)
        return of_all_tokens(run, restore_ids, visible.shape[1])

    def classify(self, tokens: Any, token_ids: Any) -> NDArray[np.float32]:
        """tokens [B, T, P*P], token_ids [B, T] -> probability [B] of abnormal."""
        return self._run("classifier", tokens, token_ids)

    def _run(self, name: str, *arrays: Any) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode(), as_traced():
            given = [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays]
            given[0] = given[0].to(getattr(torch, next(iter(self.ports[name].values()), "float32")))
            result: NDArray[np.float32] = self.networks[name](*given).float().cpu().contiguous().numpy()
        return result

    def close(self) -> None:
        """Lets the networks go."""
        self.networks = {}


def settle(network: Any) -> None:
    """What a traced network brought along that does not fit a GPU.

    Whole numbers that it reckons sizes with stay on the host: on the GPU, where loading puts them, each would be
    waited for, which no capture allows. Files exported since have none. Convolutions in float32 are no longer allowed
    to round to TF32, which torch allows wherever nobody says otherwise.
    """
    for node in network.graph.findAllNodes("prim::Constant"):
        value = node.output().toIValue()
        if getattr(value, "ndim", None) == 0 and not value.is_floating_point():
            node.t_("value", value.cpu())
    for node in network.graph.findAllNodes("aten::_convolution"):
        if node.inputsSize() < CONVOLUTION_INPUTS:  # of a torch that did not ask
            continue
        with network.graph.insert_point_guard(node):
            node.replaceInput(node.inputsSize() - 1, network.graph.insertConstant(False))


class GraphEngine(TorchScriptEngine):
    """On a GPU: slices go up, scores come down. Batches take two streams in turn."""

    batch = 8 * SIZES[-1]

    def __init__(
        self, folder: Path, values: dict[str, Any], *, device: str, threads: int | None, preset: Preset
    ) -> None:
        import torch

        if not device.startswith("cpu"):
            require_cuda()
        try:
            torch.zeros(1, device=device)  # what torch refuses from here on is the file's fault, but for memory
        except (RuntimeError, AssertionError) as error:
            raise refusal(error, device) from error
        try:
            super().__init__(folder, values, device=device, threads=threads, preset=preset)
        except torch.OutOfMemoryError as error:
            raise EngineError(f"torch: {first_line(error)}", remedy=FULL) from error
        self.places: OrderedDict[tuple[Shape, int], TorchPlace] = OrderedDict()
        self.lanes: tuple[Lane, ...] = Lane(self.device), Lane(self.device)

    def score(self, batches: Sequence[TokenBatch], preset: Preset, *, maps: bool) -> list[dict[str, Floats]]:
        """The answers of batches of any size, on the host; see maescan.method.engine.DeviceEngine."""
        passes, most = preset.masks.passes, SIZES[-1]
        try:
            return in_turns(batches, passes, most, lambda part, turn: self._place(part, maps, turn))
        except EngineError as error:  # of our kernels
            check(str(self.device), error.reason)
            raise
        except RuntimeError as error:  # torch has no other for what CUDA refuses
            raise refusal(error, str(self.device)) from error

    def _place(self, batch: TokenBatch, maps: bool, turn: int) -> TorchPlace:
        import torch

        key = (Shape.of(batch, SIZES, maps), turn)
        if key not in self.places:
            while len(self.places) >= PLACES:
                self.places.popitem(last=False)[1].close()
            with contextlib.suppress(torch.OutOfMemoryError):
                self.places[key] = self._made(*key)
        if key not in self.places:  # here, where the error is gone, and with it the frames that hold what it took
            for other in [other for other in self.places if other[1] == turn]:
                self.places.pop(other).close()
            torch.cuda.empty_cache()  # a capture does not take what torch keeps for other arrays
            self.places[key] = self._made(*key)
        self.places.move_to_end(key)
        return self.places[key]

    def _made(self, shape: Shape, turn: int) -> TorchPlace:
        images = "float16" if narrow_images(self.preset, self.precision) else "float32"
        lane = self.lanes[turn]
        lane.warm = 1 if self.places else WARM
        return TorchPlace(self.networks, self.preset, shape, lane, images, self.ports.get("mae", {}))

    def close(self) -> None:
        """Lets graphs, their memory and the networks go."""
        import torch

        for made in self.places.values():
            made.close()
        self.places, self.lanes = OrderedDict(), ()
        super().close()
        if self.device.type == "cuda":
            with contextlib.suppress(RuntimeError):
                torch.cuda.empty_cache()  # what torch keeps for arrays to come


def refusal(error: Exception, device: str) -> EngineError:
    """What torch refuses on a device, with what to do. Raises DeviceLostError where it takes no more work."""
    import torch

    said = f"torch: {first_line(error)}"
    if isinstance(error, AssertionError):
        return EngineError(said, remedy="install a torch that was built with CUDA, or use --device cpu")
    if isinstance(error, torch.OutOfMemoryError):
        return EngineError(said, remedy="use a smaller --batch, or end other programs on the GPU")
    for words, remedy in LACKS.items():
        if words in said:
            return EngineError(said, remedy=remedy)
    check(device, said)
    return EngineError(said, remedy="see what `maescan doctor` says of the card, or use --device cpu")


def check(device: str, said: str) -> None:
    """After an error that said so. Raises DeviceLostError where the GPU takes no more work of this process."""
    import torch

    if device.startswith("cpu") or not torch.cuda.is_initialized():
        return
    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        raise DeviceLostError(f"the GPU is lost: {said}", remedy=AGAIN) from error


def first_line(error: Exception) -> str:
    """Of what torch says, which goes on with the source code's lines; TorchScript's own words come last."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1] if "TorchScript interpreter" in lines[0] else lines[0]
