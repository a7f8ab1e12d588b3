"""Sends files in one association and writes the UID of each that was acknowledged into a file, at once."""

from __future__ import annotations

import sys
from pathlib import Path

from pydicom import dcmread

from helpers.dicom_node import association


def main(port: int, log: Path, files: list[Path]) -> None:
    with log.open("a") as acknowledged, association(port) as found:
        for path in files:
            dataset = dcmread(path)
            answer = found.send_c_store(dataset)
            if "Status" not in answer or answer.Status != 0:
                return
            acknowledged.write(f"{dataset.SOPInstanceUID}\n")
            acknowledged.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
