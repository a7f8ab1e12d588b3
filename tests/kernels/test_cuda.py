"""CUDA arrays where there is no CUDA: the extension imports, and says what is missing."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest

from maescan import kernels
from maescan.errors import EngineError


class _Exported(ctypes.Structure):  # DLTensor, then DLManagedTensor's context and deleter
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("rank", ctypes.c_int32),
        ("dtype", ctypes.c_uint8 * 4),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    ]


class OnDevice:
    """An array of three axes, float32, that says where it is; nothing may touch its memory."""

    def __init__(self, device_type: int, shape: tuple[int, int, int] = (1, 8, 8)):
        self.shape, self.sizes = shape, (ctypes.c_int64 * 3)(*shape)
        self.exported = _Exported(64, (device_type, 0), 3, (2, 32, 1, 0), self.sizes)

    def __dlpack_device__(self) -> tuple[int, int]:
        return tuple(self.exported.device)

    def __dlpack__(self, stream=None):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.byref(self.exported), b"dltensor", None)


def _has_driver() -> bool:
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except OSError:
        return False


@pytest.mark.skipif(_has_driver() or "MAESCAN_TEST_KERNELS" in os.environ, reason="there is a CUDA driver, or a shim")
def test_without_a_driver_a_cuda_array_is_refused():
    with pytest.raises(EngineError, match=r"patchify cannot run: (CUDA: no NVIDIA driver|this build has no CUDA)"):
        kernels.patchify(OnDevice(2), patch=4, out=OnDevice(2, (1, 4, 16)))


def test_arrays_of_one_call_are_on_one_device():
    with pytest.raises(ValueError, match="patches is on another device than slices"):
        kernels.patchify(OnDevice(2), patch=4, out=np.zeros((1, 4, 16), np.float32))
    x, restore_ids = np.zeros((1, 8, 8), np.float32), np.zeros((1, 4), np.int32)
    with pytest.raises(ValueError, match="predictions is on another device than slices"):
        kernels.average_difference(x, OnDevice(2, (1, 4, 16)), restore_ids, keep=1, patch=4)
    with pytest.raises(ValueError, match="reconstructions is on another device than slices"):
        kernels.ssim(x, OnDevice(2))


def test_other_devices_are_refused():
    with pytest.raises(ValueError, match="slices must be in host or CUDA memory"):
        kernels.patchify(OnDevice(10), patch=4, out=np.zeros((1, 4, 16), np.float32))


class _Versioned(ctypes.Structure):  # DLManagedTensorVersioned
    _fields_ = [
        ("version", ctypes.c_uint32 * 2),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        *_Exported._fields_[:7],
    ]


class OfVersion(OnDevice):
    """A host array that says it is exported as another version of DLPack, whose layout nobody knows yet."""

    def __init__(self, major: int):
        super().__init__(1)
        self.memory = np.zeros(self.shape, np.float32)
        array = (self.memory.ctypes.data, (1, 0), 3, (2, 32, 1, 0), self.sizes)
        self.versioned = _Versioned((major, 7), None, None, 0, *array)

    def __dlpack__(self, stream=None, max_version=None):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.byref(self.versioned), b"dltensor_versioned", None)


def test_another_major_version_of_dlpack_is_refused():
    assert not kernels.patchify(OfVersion(1), patch=4, out=np.ones((1, 4, 16), np.float32)).any()
    with pytest.raises(ValueError, match=r"slices is exported as DLPack 2\.7, which is not version 1"):
        kernels.patchify(OfVersion(2), patch=4, out=np.zeros((1, 4, 16), np.float32))
