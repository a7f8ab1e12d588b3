"""Weights of the two networks in files: safetensors of our own, and public PyTorch checkpoints."""

from __future__ import annotations

import argparse
import errno
import importlib
import pathlib
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from maescan.content import opened
from maescan.errors import DataError
from maescan.files import atomic_file

Model = TypeVar("Model", bound=nn.Module)
WRAPPED = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""


def save_weights(path: Path, model: nn.Module) -> None:
    """The model's state as safetensors."""
    from safetensors.torch import save

    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_file(path) as temporary:  # the library's own writing hides why a disk refuses
        temporary.write_bytes(save(state))


def save_plain(path: Path, state: Mapping[str, object]) -> None:
    """What torch.save makes of tensors and plain values. Raises DataError."""
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(state, stream)
        except RuntimeError as error:  # torch's writer hides why a disk refuses
            if "inline_container" in str(error):
                raise OSError(errno.EIO, "the disk is full, or refuses") from error
            raise


def load_weights(path: Path, model: nn.Module) -> None:
    """The inverse of `save_weights`. Raises DataError."""
    from safetensors.torch import load

    try:
        with opened(path) as stream:
            model.load_state_dict(load(stream.read()))
    except Exception as error:  # the library has a class of its own, and others for what it does not expect
        reason = f"holds no weights of this network: {str(error).splitlines()[0][:200]}"
        raise DataError(reason, path=path, remedy="copy the run folder anew, or train into another") from error


def load_public(path: Path, model: Model) -> Model:
    """`model` in eval mode with the weights of a file as `read_public` reads it. Raises DataError naming the file and
    the weights that do not fit."""
    state = read_public(path)
    if faults := weight_faults(state, model.state_dict()):
        raise DataError("; ".join(faults), path=path, remedy="use the preset that the checkpoint was trained with")
    try:
        model.load_state_dict(state)
    except Exception as error:  # tensors of kinds that nothing copies
        raise DataError(_reason(error), path=path, remedy="give a file of dense tensors") from None
    return model.eval()


def read_public(path: Path) -> dict[str, Tensor]:
    """The weights in a file: safetensors, or what torch.save made of `{"model": state_dict, ...}` or of a bare state
    dict. Names without what DistributedDataParallel and torch.compile put before them.

    Only tensors and plain values (and the options that training scripts save beside them) are unpickled. Raises
    DataError naming the file.
    """
    if path.suffix == ".safetensors":
        content: object = _safetensors(path)
    else:
        content = load_plain(path, "give safetensors, or a file saved by torch.save with tensors only")
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError("holds no state dict", path=path, remedy='give {"model": state_dict} or a state dict')
    return {_bare(str(name)): value for name, value in state.items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load

    try:
        with opened(path) as stream:  # the library opens no path that is no UTF-8
            return load(stream.read())
    except Exception as error:  # the library has a class of its own, and others for what it does not expect
        remedy = "give safetensors, or a file saved by torch.save with tensors only"
        raise _unreadable(error, path, remedy) from None


def load_plain(path: Path, remedy: str) -> object:
    """What torch.save wrote, as long as it is tensors and plain values. Raises DataError, without torch's advice to
    run what is in the file."""
    try:
        with torch.serialization.safe_globals(_plain()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a damaged file's storages are of all kinds
            with opened(path) as stream:
                return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises whatever its reader stumbles over
        raise _unreadable(error, path, remedy) from None


def _unreadable(error: Exception, path: Path, remedy: str) -> DataError:
    if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
        return DataError(f"cannot be read: {error.strerror}", path=path, remedy="check the path and its permissions")
    return DataError(_reason(error), path=path, remedy=remedy)


def _plain() -> list[Callable[..., object] | tuple[Callable[..., object], str]]:
    """What options hold besides plain values: numpy's numbers and arrays, paths, of any version that wrote them. All
    of them only hold data."""
    core = importlib.import_module("numpy._core.multiarray" if np.__version__ >= "2" else "numpy.core.multiarray")
    dtypes = [type(np.dtype(code)) for code in "?bBhHiIlLqQefdgFD"]
    functions = [(getattr(core, name), f"numpy.{package}.multiarray.{name}")
                 for name in ("scalar", "_reconstruct") for package in ("core", "_core")]  # fmt: skip
    kinds = {
        "Path": pathlib.PurePosixPath,
        "PosixPath": pathlib.PurePosixPath,
        "WindowsPath": pathlib.PureWindowsPath,
    }
    kinds |= {"PurePosixPath": pathlib.PurePosixPath, "PureWindowsPath": pathlib.PureWindowsPath}
    paths = [(kind, f"{module}.{name}") for module in ("pathlib", "pathlib._local") for name, kind in kinds.items()]
    return [argparse.Namespace, np.dtype, np.ndarray, *dtypes, *functions, *paths]


def _reason(error: Exception) -> str:
    """One line, without torch's advice to load the file by running what is in it."""
    text = str((isinstance(error, OSError) and error.strerror) or error)
    if isinstance(error, OSError) and error.errno == errno.EINVAL:  # a place that a file cut off does not have
        text = ""
    if "weights_only" in text or "Weights only" in text:
        name = re.search(r"(?:GLOBAL|type|class|global) [`'\"]?([\w.]+\.[\w.]+)", text)
        held = f"it holds {name[1]}" if name else "it holds code, or is damaged"
        return f"cannot be read as a checkpoint: {held}; only tensors and plain values are read"
    said = text.splitlines()[0] if " " in text else "it is no file of torch.save, or damaged"
    return f"cannot be read as a checkpoint: {said}"


def _bare(name: str) -> str:
    while name.startswith(WRAPPED):
        name = name.partition(".")[2]
    return name


def weight_faults(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Weights that are missing, unknown, of another shape or not finite, in words."""
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    named = {
        "missing weights": [name for name in wanted if name not in state],
        "unknown weights": [name for name in state if name not in wanted],
        "weights of another shape": shapes,
        "weights that are not finite": [name for name in wanted if name in state and not _finite(state[name])],
    }
    return [f"{fault}: {_few(names)}" for fault, names in named.items() if names]


def _finite(value: Tensor) -> bool:
    plain = value.layout == torch.strided and value.is_floating_point()
    return not plain or bool(torch.isfinite(value.float()).all())


def _few(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
