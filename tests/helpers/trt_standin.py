"""A stand-in for TensorRT-RTX over ONNX Runtime: plans are for one card and one release, profiles are kept, contexts
need scratch memory of their own slot and compile at their first run."""

from __future__ import annotations

import json
from enum import Enum, IntFlag
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from helpers.cuda_standin import Cuda, seen
from maescan.engines.cuda import DeviceArray

Session = Any  # onnxruntime says no types
Shape = tuple[int, ...]
TYPES = {"tensor(float)": "FLOAT", "tensor(float16)": "HALF", "tensor(int32)": "INT32"}
NAMES = {"FLOAT": "float32", "HALF": "float16", "INT32": "int32"}


class Severity(Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO = range(4)


class ILogger:
    Severity = Severity


class TensorIOMode(Enum):
    INPUT, OUTPUT = range(2)


class EngineInvalidityDiagnostics(IntFlag):
    VERSION_MISMATCH, UNSUPPORTED_CC, OLD_CUDA_DRIVER, INSUFFICIENT_GPU_MEMORY, MALFORMED_ENGINE = 1, 2, 4, 16, 32


def session(content: bytes, folder: Path = Path()) -> Session:
    """A session of ONNX whose weights may lie in files of that folder."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_rows(session: Session, given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The answers of a session by name, a slice at a time: how many rows run together must not change a bit."""
    first = len(next(iter(given.values())))
    slices = first // 4 if "visible" in given else first
    each = {name: len(value) // slices for name, value in given.items()}
    parts = [session.run(None, {k: v[at * each[k] : (at + 1) * each[k]] for k, v in given.items()})
             for at in range(slices)]  # fmt: skip
    names = [port.name for port in session.get_outputs()]
    return {name: np.concatenate(found) for name, found in zip(names, zip(*parts, strict=True), strict=True)}


class Trt:
    """The module `tensorrt_rtx`, for a card of that compute capability."""

    __name__, __version__, __spec__ = "tensorrt_rtx", "1.7.1.116", object()
    ILogger, TensorIOMode = ILogger, TensorIOMode
    EngineInvalidityDiagnostics = EngineInvalidityDiagnostics
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=0)
    BuilderFlag = SimpleNamespace(REQUIRE_USER_ALLOCATION="user")
    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="managed")
    DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
    CudaGraphStrategy = SimpleNamespace(DISABLED="disabled")
    IRuntimeCache = object

    def __init__(self, cuda: Cuda, capability: tuple[int, int] = (8, 9), capturable: bool = True) -> None:
        self.cuda, self.capability, self.capturable = cuda, capability, capturable
        cards = ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
        self.ComputeCapability = SimpleNamespace(__members__={f"SM{a}{b}": (a, b) for a, b in cards})
        self.builds, self.contexts = 0, 0
        self.refuse: str | None = None
        self.refuses_capture = self.other_driver = self.mute = False
        self.machine_lacks = 0  # EngineInvalidityDiagnostics of every plan
        self.uneven = 0  # up to so many rows a batch wants more scratch memory than any larger one

    def Builder(self, log: Any) -> _Builder:
        return _Builder(self, log)

    def OnnxParser(self, network: _Definition, log: Any) -> SimpleNamespace:
        return SimpleNamespace(parse=network.read, num_errors=0)

    def Runtime(self, log: Any) -> _Runtime:
        return _Runtime(self, log)


class _Builder:
    def __init__(self, trt: Trt, log: Any) -> None:
        self.trt, self.log = trt, log

    def create_network(self, flags: int) -> _Definition:
        assert flags == 1, "not strongly typed"
        return _Definition()

    def create_builder_config(self) -> SimpleNamespace:
        profiles: list[SimpleNamespace] = []
        flags: list[str] = []
        aim: list[tuple[int, int]] = []
        return SimpleNamespace(
            profiles=profiles, flags=flags, aim=aim, set_flag=flags.append, add_optimization_profile=profiles.append,
            set_compute_capability=lambda card, index: aim.append(card),
        )  # fmt: skip

    def create_optimization_profile(self) -> SimpleNamespace:
        shapes: dict[str, tuple[Shape, ...]] = {}
        return SimpleNamespace(shapes=shapes, set_shape=lambda name, *given: shapes.__setitem__(name, given))

    def build_serialized_network(self, network: _Definition, config: SimpleNamespace) -> bytes:
        assert "user" in config.flags, "contexts may allocate inside a capture"
        self.trt.builds += 1
        (profile,) = config.profiles
        for name, (low, usual, high) in profile.shapes.items():
            assert all(a <= b <= c for a, b, c in zip(low, usual, high, strict=True)), name
        head = {"card": config.aim[0], "version": self.trt.__version__, "profile": profile.shapes}
        head["weights"] = str(network.path.parent)  # a real plan holds them itself
        return json.dumps(head).encode() + b"\0" + network.content


class _Definition:
    def read(self, content: bytes, path: str) -> bool:
        self.content, self.path = content, Path(path)
        ports = session(content, self.path.parent).get_inputs()
        self.num_inputs = len(ports)
        self.get_input = lambda i: SimpleNamespace(name=ports[i].name, shape=ports[i].shape)
        return True


class _Runtime:
    def __init__(self, trt: Trt, log: Any) -> None:
        self.trt, self.log = trt, log

    def _faults(self, content: bytes) -> tuple[EngineInvalidityDiagnostics, dict[str, Any], bytes]:
        text, _, model = content.partition(b"\0")
        head = json.loads(text)
        wrong = EngineInvalidityDiagnostics(self.trt.machine_lacks)
        if head["version"] != self.trt.__version__:
            wrong |= EngineInvalidityDiagnostics.VERSION_MISMATCH
        if tuple(head["card"]) != self.trt.capability:
            wrong |= EngineInvalidityDiagnostics.UNSUPPORTED_CC
        return wrong, head, model

    def get_engine_validity(self, content: bytes) -> tuple[str, int]:
        try:
            return "invalid", int(self._faults(content)[0])
        except ValueError:
            return "invalid", int(EngineInvalidityDiagnostics.MALFORMED_ENGINE)

    def deserialize_cuda_engine(self, content: bytes) -> _Engine | None:
        try:
            wrong, head, model = self._faults(content)
        except ValueError:
            self.log.log(Severity.ERROR, "the plan is no plan")
            return None
        if wrong:
            self.log.log(Severity.ERROR, "the plan is not for this device")
            return None
        return _Engine(self.trt, session(model, Path(head["weights"])), head["profile"], self.log)


class _Engine:
    def __init__(self, trt: Trt, session: Session, profile: dict[str, tuple[Shape, ...]], log: Any) -> None:
        self.trt, self.session, self.profile, self.log = trt, session, profile, log
        self.ports = {port.name: port.type for port in (*session.get_inputs(), *session.get_outputs())}
        self.given, self.num_io_tensors = [port.name for port in session.get_inputs()], len(self.ports)
        self.compiled: set[str] = set()

    def get_tensor_name(self, index: int) -> str:
        return str(list(self.ports)[index])

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.given else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name=TYPES[self.ports[name]])

    def create_runtime_config(self) -> _Config:
        return _Config(self)

    def create_execution_context(self, config: _Config) -> Context:
        assert config.strategy == "managed", "a context with scratch memory of its own"
        self.trt.contexts += 1
        return Context(self)


class _Config:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine

    def set_execution_context_allocation_strategy(self, strategy: str) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> SimpleNamespace:
        compiled, trt = self.engine.compiled, self.engine.trt

        def deserialize(content: bytes) -> bool:
            if trt.other_driver:
                return False
            compiled.update(content.decode().split("\n"))
            return True

        kept = lambda: None if trt.mute else "\n".join(sorted(compiled)).encode()  # noqa: E731
        return SimpleNamespace(serialize=kept, deserialize=deserialize)

    def set_runtime_cache(self, cache: SimpleNamespace) -> None:
        pass


class Context:
    """IExecutionContext over an ONNX Runtime session."""

    owners: dict[int, object]

    def __init__(self, engine: _Engine) -> None:
        self.engine, self.trt, self.cuda = engine, engine.trt, engine.trt.cuda
        self.shapes: dict[str, Shape] = {}
        self.at: dict[str, int] = {}
        self.lent: tuple[int, int] = (0, 0)
        self.warm: dict[str, Shape] | None = None
        self.owners = self.cuda.__dict__.setdefault("scratch", {})

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        low, _, high = self.engine.profile[name]
        fits = all(a <= size <= c for a, size, c in zip(low, shape, high, strict=True)) and self.trt.refuse != name
        if fits:
            self.shapes[name] = tuple(shape)
        else:
            self.engine.log.log(Severity.ERROR, f"{name} {list(shape)} is outside the profile")
        return fits

    def infer_shapes(self) -> list[str]:
        return [name for name in self.engine.given if name not in self.shapes]

    def _rows(self) -> int:
        return self.shapes[self.engine.given[0]][0]

    def get_tensor_shape(self, name: str) -> Shape:
        assert not self.infer_shapes()
        if "images" in self.shapes:
            count, size, _ = self.shapes["images"]
            pictures = {"difference": (count, 1, size, size), "reconstruction": (count, size, size)}
            return pictures.get(name, (count,))
        if "visible" in self.shapes:
            return (*self.shapes.get("hidden_ids", self.shapes["token_ids"]), self.shapes["visible"][2])
        return (self._rows(),)

    def set_tensor_address(self, name: str, pointer: int) -> bool:
        if pointer % 256:
            return False
        self.at[name] = pointer
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        return self._rows() * 64 if self._rows() > self.trt.uneven else 64 * 1024

    def set_device_memory(self, pointer: int, size: int) -> None:
        assert size >= self.update_device_memory_size_for_shapes()
        assert self.cuda.owner(pointer, size)[0] == "device"
        self.lent = (pointer, size)

    def is_stream_capturable(self, stream: int) -> bool:
        return self.trt.capturable

    def execute_async_v3(self, stream: int) -> bool:
        engine, shapes, at = self.engine, dict(self.shapes), dict(self.at)
        if self.infer_shapes() or set(at) != set(engine.ports) or not self.lent[0]:
            engine.log.log(Severity.ERROR, "the context is not ready")
            return False
        if self.cuda.capturing and self.trt.refuses_capture:  # it said nothing of that before
            self.cuda.broken = True
            return False
        if self.warm != shapes and self.cuda.capturing:  # it would allocate and compile now
            self.cuda.broken = True
            engine.log.log(Severity.ERROR, "compiled in the middle of a capture")
            return False
        self.warm = shapes
        engine.compiled.add(str(sorted(shapes.items())))
        answers = [port.name for port in engine.session.get_outputs()]
        sizes = shapes | {name: self.get_tensor_shape(name) for name in answers}

        def view(name: str) -> NDArray[Any]:
            array = DeviceArray(at[name], sizes[name], NAMES[TYPES[engine.ports[name]]], self.cuda.device)
            assert self.cuda.owner(array.pointer, array.nbytes)[0] == "device", f"{name}: no device memory"
            return np.asarray(seen(array))

        def run() -> None:
            made = run_rows(engine.session, {name: np.array(view(name)) for name in engine.given})
            for name in answers:
                assert made[name].shape == sizes[name]
                view(name)[...] = made[name]
            assert self.owners[self.lent[0]] is self, "two running contexts share their scratch memory"

        self.cuda.enqueue(stream, lambda: self.owners.__setitem__(self.lent[0], self))
        self.cuda.enqueue(stream, run)
        return True
