"""Torch modules to OpenVINO's intermediate representation."""

from __future__ import annotations

import errno
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maescan.engines.bundle import Bundle
from maescan.export.networks import Network, networks


def build(folder: Path, mae: Network, classifier: Network, bundle: Bundle, precision: str) -> dict[str, str]:
    """Writes mae.xml and classifier.xml with their .bin, batch and token axes dynamic, and returns the versions.

    fp32 and bf16 are the same files, weights in fp32: the engine chooses the arithmetic when it loads them. A judge
    stays in bf16 beside an int8 MAE: in 8 bits it is no faster and moves the order of slices.
    """
    import openvino

    versions, inputs = {"openvino": openvino.__version__}, {}
    if precision == "int8":
        import nncf

        from maescan.engines.eager import TorchEngine
        from maescan.export.quantise import quantise, training_inputs

        versions["nncf"] = nncf.__version__
        inputs = training_inputs(bundle, TorchEngine(bundle.path, bundle.preset))
    with warnings.catch_warnings(), _root_kept():
        warnings.simplefilter("ignore")
        for name, module, example in networks(mae, classifier, bundle.preset):
            converted = openvino.convert_model(module, example_input=tuple(example.values()))
            for port, label in zip(converted.inputs, example, strict=True):
                port.get_tensor().set_names({label})
            if inputs and not (name == "classifier" and bundle.preset.network == "judge"):
                converted = quantise(converted, inputs[name])
            file = folder / f"{name}.xml"
            try:
                openvino.save_model(converted, file, compress_to_fp16=False)
            except RuntimeError as error:  # it says no more than that its stream failed
                raise OSError(errno.EIO, "the disk is full, or refuses", str(file)) from error
    return versions


@contextmanager
def _root_kept() -> Iterator[None]:
    """The root logger as it was: a conversion that fails leaves it at ERROR, with a filter, for the whole process."""
    root = logging.getLogger()
    level, filters, handlers = root.level, root.filters[:], root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers
