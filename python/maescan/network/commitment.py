"""Storage commitment: which of the images that a sender asks for are in the spool, as they were acknowledged."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from maescan.errors import MaescanError
from maescan.network.calling import associated
from maescan.network.options import ListenOptions
from maescan.network.peers import Destination
from maescan.network.spool import Spool, valid_uid

if TYPE_CHECKING:
    from pydicom import Dataset
    from pynetdicom.association import Association
    from pynetdicom.events import Event

PUSH_MODEL, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
PLAIN = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
REQUEST, ALL_HERE, SOME_LOST = 1, 1, 2
"""Action and event types (PS3.4 J.3)."""
SUCCESS, BAD_ARGUMENT, NO_ACTION = 0x0000, 0x0115, 0x0123
MISSING, OTHER_CLASS = 0x0112, 0x0119
"""Reasons of a failure (PS3.3 C.14)."""
WAIT_S, TRIES = 0.1, 5


def report(spool: Spool, request: Dataset) -> tuple[int, Dataset]:
    """The event type, and what is told of the images of a request: those that are here, and why others are not."""
    from pydicom import Dataset as New

    told = New()
    told.TransactionUID = request.TransactionUID
    here: list[Dataset] = []
    lost: list[Dataset] = []
    for each in request.ReferencedSOPSequence:
        item = New()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = (
            each.ReferencedSOPClassUID,
            each.ReferencedSOPInstanceUID,
        )
        uid, sop_class = str(each.ReferencedSOPInstanceUID), str(each.ReferencedSOPClassUID)
        if spool.holds(uid, sop_class):
            here.append(item)
        else:
            item.FailureReason = OTHER_CLASS if spool.holds(uid) else MISSING
            lost.append(item)
    if here:
        told.ReferencedSOPSequence = here
    if lost:
        told.FailedSOPSequence = lost
    return (SOME_LOST if lost else ALL_HERE), told


class Commitment:
    """Answers requests: at once that they were understood, and in a thread what is here, on the association on which
    it was asked, or by a call to the sender where it was named with a port (--commit)."""

    def __init__(self, spool: Spool, options: ListenOptions):
        self._spool, self._options = spool, options

    def asked(self, event: Event) -> tuple[int, None]:
        """An N-ACTION."""
        request = event.action_information
        uids = [str(getattr(request, "TransactionUID", ""))]
        if event.action_type != REQUEST:
            return NO_ACTION, None
        for each in getattr(request, "ReferencedSOPSequence", None) or [None]:
            uids += [str(getattr(each, name, "")) for name in ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID")]
        if not all(valid_uid(uid) for uid in uids):
            return BAD_ARGUMENT, None
        threading.Thread(target=self._answer, args=(event.assoc, request), daemon=True).start()
        return SUCCESS, None

    def _answer(self, assoc: Association, request: Dataset) -> None:
        kind, told = report(self._spool, request)
        title = assoc.requestor.ae_title.strip()
        for attempt in range(TRIES):
            time.sleep(WAIT_S * 10**attempt)
            for to in self._options.commit:
                if to.aet == title and self._call(to, kind, told):
                    return
            elsewhere = any(to.aet == title for to in self._options.commit)
            if not elsewhere and (not assoc.is_established or _tell(assoc, kind, told)):
                return

    def _call(self, to: Destination, kind: int, report: Dataset) -> bool:
        with contextlib.suppress(MaescanError):  # nobody there, or our certificates: asked again
            tls = self._options.tls if to.tls else None
            with associated(to, self._options.aet, [(PUSH_MODEL, PLAIN)], tls, serves=PUSH_MODEL) as assoc:
                return _tell(assoc, kind, report)
        return False


def _tell(assoc: Association, kind: int, report: Dataset) -> bool:
    """Whether a report was taken."""
    try:
        answer, _ = assoc.send_n_event_report(report, kind, PUSH_MODEL, INSTANCE)
    except (RuntimeError, ValueError):  # it is gone, or takes no reports
        return False
    return "Status" in answer and int(answer.Status) == SUCCESS
