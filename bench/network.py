"""How fast `maescan listen` takes images: `PYTHONPATH=tests python bench/network.py`. Needs dcmtk and psutil."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from helpers.dicom_node import receiver
from helpers.scan_files import UID, dicom_slice, save


class Peak:
    """The most memory that a process holds while this is open."""

    def __init__(self, pid: int) -> None:
        self.bytes, self._process, self._stop = 0, psutil.Process(pid), threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.bytes = max(self.bytes, self._process.memory_info().rss)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def measure(folder: Path, out: Path) -> tuple[float, int, int]:
    """(seconds, peak bytes of the receiver, files stored) of one association of `storescu -R` with a folder."""
    with receiver(out, aet="MAESCAN") as (node, port), Peak(node.process.pid) as peak:
        start = time.perf_counter()
        titles = "-aet", "SCANNER1", "-aec", "MAESCAN"
        command = ["storescu", "-R", "+sd", *titles, "127.0.0.1", str(port), str(folder)]
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
    return seconds, peak.bytes, sum(1 for path in out.rglob("*.dcm"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--megabytes", type=int, default=400, help="of the one large object")
    given = parser.parse_args()
    if not shutil.which("storescu"):
        raise SystemExit("needs storescu: apt-get install dcmtk")
    with tempfile.TemporaryDirectory(prefix="maescan-network-") as temporary:
        at, noise = Path(temporary), np.random.default_rng(0).integers(-1000, 1000, (512, 512)).astype(np.int16)
        named = {"StudyInstanceUID": f"{UID}8", "PatientID": "phantom"}
        for name in ("many", "large"):
            (at / name).mkdir()
        for number in range(given.images):
            image = dicom_slice(noise, (0, 0, number), **named, InstanceNumber=number)
            save(image, at / "many" / f"{number:04}.dcm")
        frames = np.broadcast_to(noise, (given.megabytes * 2, 512, 512))
        save(
            dicom_slice(np.ascontiguousarray(frames), (0, 0, 0), **named, NumberOfFrames=len(frames)),
            at / "large" / "0.dcm",
        )
        seconds, peak, stored = measure(at / "many", at / "out")
        print(
            f"{stored} of {given.images} images of 0.5 MB: {given.images / seconds:.1f}/s, peak {peak / 1e6:.0f} MB"
        )
        seconds, peak, stored = measure(at / "large", at / "out2")
        print(
            f"{stored} object of {given.megabytes} MB: {given.megabytes / seconds:.0f} MB/s, peak {peak / 1e6:.0f} MB"
        )


if __name__ == "__main__":
    main()
