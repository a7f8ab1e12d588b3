"""A PACS that answers as it is told to, and an output folder with results to send to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from helpers.dicom_node import CT, MR, PLAIN
from helpers.scan_files import dicom_slice
from maescan.network.peers import Destination
from maescan.scoring.ledger import Ledger


class Pacs:
    """got: UIDs in their order of arrival. answers: statuses, one an object; 0000 once they are used up."""

    def __init__(self, answers: Sequence[int] = ()):
        self.got: list[str] = []
        self.answers = list(answers)
        self.port = 0

    def store(self, event: evt.Event) -> int:
        status = self.answers.pop(0) if self.answers else 0
        if status < 0:
            event.assoc.abort()
            return 0
        if status == 0 or status & 0xF000 == 0xB000:
            self.got.append(str(event.dataset.SOPInstanceUID))
        return status

    @property
    def destination(self) -> Destination:
        return Destination("PACS", "127.0.0.1", self.port)

    @contextlib.contextmanager
    def serving(self, *classes: str, syntaxes: Sequence[str] = PLAIN) -> Iterator[Pacs]:
        node = AE("PACS")
        node.require_called_aet = True
        for each in classes or (CT, MR, Verification):
            node.add_supported_context(each, list(syntaxes))
        opened = []
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self.store),
            (evt.EVT_CONN_OPEN, lambda event: opened.append(event.assoc.dul.socket.socket)),
        ]
        server = node.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        assert server
        self.port = server.server_address[1]
        try:
            yield self
        finally:
            server.shutdown()
            for connection in opened:
                connection.close()


def add_results(out: Path, numbers: Sequence[int], *, first: int = 0) -> list[str]:
    """Lists and writes DICOM files as results of `out`; their UIDs."""
    ledger = Ledger(out, "job")
    uids = []
    try:
        for number in numbers:
            path = out / "dicom" / f"scan{number}_sr.dcm"
            dataset = dicom_slice(np.full((4, 4), number + first, np.uint16), (0, 0, 0), PatientID="P")
            uid = dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = (
                f"2.25.{number + 100 * first}"
            )
            path.parent.mkdir(exist_ok=True)
            dataset.save_as(path, enforce_file_format=True)
            ledger.db.do(
                "INSERT OR REPLACE INTO outputs (path, kind, scan, job) VALUES (?, 'sr', 1, 'job')",
                path.relative_to(out).as_posix(),
            )
            uids.append(str(uid))
    finally:
        ledger.close()
    return uids
