"""Reading and preprocessing in a worker: a crash, a hang or an absurd size costs one scan, not the run."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from maescan.config import Preset
from maescan.method.prints import TrainingPrints
from maescan.method.raw import RawSlices, Slices
from maescan.options import CandidateTable, ReadOptions
from maescan.scans import ScanSource, read_scan
from maescan.scans.budget import Limits
from maescan.scans.streams import ChangedError, Identity, content_hash, unchanged
from maescan.scans.worker import Worker

TRIES = 3
"""How often a scan is read that changes while it is read."""


class Reading(NamedTuple):
    """A scan that was read. content: the hash of what was read; images: [S, H, W] float32, which `prepared` has none
    of, or raw; facts: {affine, warnings, seconds, ...}, `sets` being the slices' token sets."""

    content: str
    prepared: Any
    images: Slices
    facts: dict[str, Any]


def told_apart(sources: Sequence[ScanSource], options: ReadOptions) -> list[ScanSource]:
    """`regions.told_apart`; a mask that has its scan's name takes no row from it."""
    if not isinstance(options.regions, CandidateTable):
        return list(sources)
    from maescan.datasets.folder import called_a_mask
    from maescan.method import regions

    masks = [source for source in sources if called_a_mask(source.name)]
    scans = [source for source in sources if not called_a_mask(source.name)]
    return sorted([*regions.told_apart(scans, options.regions), *masks], key=lambda source: source.name)


def read_and_prepare(
    source: ScanSource,
    preset: Preset,
    options: ReadOptions,
    expected: Mapping[str, Any] | None = None,
    training: TrainingPrints | None = None,
    as_raw: bool = False,
) -> tuple[Any, Slices, dict[str, Any]]:
    """Reads one scan: (prepared without images, images [S, H, W] float32, {affine, warnings, seconds, and what
    `ScanRow` tells of fit and values}). as_raw: images are raw where a GPU can make slices of them.
    Raises NoScanError for a label map."""
    from maescan.method import gate, prints
    from maescan.method.intensity import scan_figures
    from maescan.method.preprocess import prepare_raw
    from maescan.method.tokens import token_sets
    from maescan.results.geometry import Geometry

    start = time.perf_counter()
    scan = read_scan(source, volume=options.volume, accept=options.accept)
    middle = time.perf_counter()
    other = gate.admit(scan, preset, options.accept)
    prepared: Any
    raw: RawSlices | None = None
    if options.regions:
        from maescan.method.regions import cut

        prepared = cut(scan, source, preset, options.regions, expected=expected)
    else:
        prepared, raw = prepare_raw(scan, preset, expected=expected)
    other = other or gate.windowed(scan, prepared.warnings)
    images = np.ascontiguousarray(prepared.images, dtype=np.float32)
    own, sets = prints.slice_prints(images), token_sets(images, preset)
    where = getattr(prepared, "box", ()), getattr(prepared, "levels", ())
    sent = raw.packed() if as_raw and raw is not None and raw.for_devices else images
    end = time.perf_counter()
    facts = {
        "affine": scan.affine,
        "placed": scan.placed,
        "warnings": list(dict.fromkeys([*scan.warnings, *prepared.warnings, *prepared.notes])),
        "fit": gate.fit_of(other, prepared.warnings),
        "why": other,
        "print": prints.scan_print(own),
        "trained": prints.seen(own, training),
        "figures": scan_figures(scan, prepared.fit),
        "geometry": Geometry.of(scan, *where).to_json(),
        "sets": sets,
        "seconds": {"read": middle - start, "preprocess": end - middle},
    }
    return dataclasses.replace(prepared, images=images[:0]), sent, facts


class ScanReader:
    """What a worker does for `Reader`."""

    def __init__(self, *arguments: Any):
        self._arguments = arguments
        self._hashed: tuple[ScanSource, str, dict[str, Identity]] | None = None

    def content(self, source: ScanSource) -> str:
        """The hash of the files as they are now; raises what is known to be wrong with them, without a touch."""
        if source.fault is not None:
            raise source.fault
        known: dict[str, Identity] = {}
        with unchanged(known):
            content = content_hash(source.files)
        self._hashed = source, content, known
        return content

    def read(self, source: ScanSource) -> Reading:
        """The scan, and the hash of the very bytes that it was read from; of files that change, once more."""
        for attempt in range(TRIES):
            try:
                if attempt or self._hashed is None or self._hashed[0] != source:
                    self.content(source)
                assert self._hashed is not None
                _, content, known = self._hashed
                with unchanged(known):
                    return Reading(content, *read_and_prepare(source, *self._arguments))
            except ChangedError:
                if attempt + 1 == TRIES:
                    raise
                time.sleep(0.1)
        raise AssertionError("unreachable")


class Reader:
    """One worker that reads scans, under limits. For one thread at a time.

    manifest: the bundle's, which tells what training's scans were like. stop: once set, a read in flight is not
    waited for much longer. as_raw: see `read_and_prepare`."""

    def __init__(
        self,
        preset: Preset,
        options: ReadOptions,
        manifest: Mapping[str, Any] | None = None,
        stop: threading.Event | None = None,
        as_raw: bool = False,
    ):
        self._stop = stop
        told = manifest or {}
        like = told.get("intensity"), told.get("provenance", {}).get("prints")
        self._worker = Worker(ScanReader, preset, options, *like, as_raw, limits=Limits.of(options))

    def content(self, source: ScanSource) -> str:
        """The hash of a scan's files. Raises ScanError."""
        return str(self._worker.call("content", source, path=source.path, stop=self._stop))

    def read(self, source: ScanSource) -> Reading:
        """Raises ScanError: the reader's own, or that its process crashed or went over its limits."""
        return cast(Reading, self._worker.call("read", source, path=source.path, stop=self._stop))

    def close(self) -> None:
        """Ends the worker."""
        self._worker.close()
