from __future__ import annotations

import threading

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, evt

from helpers.dicom_node import MR, PLAIN, receiver, send, spooled
from maescan.network.commitment import INSTANCE, MISSING, OTHER_CLASS, PUSH_MODEL, Commitment
from maescan.network.options import ListenOptions
from maescan.network.peers import Destination, TlsFiles
from maescan.network.spool import Spool

OTHER = "1.2.840.10008.5.1.4.1.1.2"


class Asking:
    """A sender that asks what is stored, and waits to be told."""

    def __init__(self):
        self.told, self.news = [], threading.Event()
        self.node = AE("SCANNER1")
        self.node.add_requested_context(PUSH_MODEL, PLAIN)
        self.heard = False
        self.handlers = [(evt.EVT_N_EVENT_REPORT, self.hear), (evt.EVT_PDU_SENT, self.sent)]

    def hear(self, event):
        self.told.append((event.event_type, event.event_information))
        self.heard = True
        return 0, None

    def sent(self, _):
        """What was told is answered: an association that is released before that breaks."""
        if self.heard:
            self.news.set()

    def ask(self, port, references, action=1):
        request = Dataset()
        request.TransactionUID = "1.2.3.4"
        request.ReferencedSOPSequence = []
        for sop_class, uid in references:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            request.ReferencedSOPSequence.append(item)
        found = self.node.associate("127.0.0.1", port, ae_title="MAESCAN", evt_handlers=self.handlers)
        assert found.is_established
        self.heard = False
        self.news.clear()
        status, _ = found.send_n_action(request, action, PUSH_MODEL, INSTANCE)
        if status.Status == 0:
            assert self.news.wait(30)
        found.release()
        return int(status.Status), self.told[-1] if self.told else None


def references(files, sop_class=None):
    return [(sop_class or str(dcmread(path).SOPClassUID), str(dcmread(path).SOPInstanceUID)) for path in files]


@pytest.mark.slow
def test_all_are_here_then_some_are_gone_and_what_is_no_request_is_refused(tmp_path, slices):
    asking, out = Asking(), tmp_path / "out"
    with receiver(out) as (_, port):
        assert send(port, slices) == [0] * 6
        status, (kind, told) = asking.ask(port, references(slices))
        assert (status, kind, len(told.ReferencedSOPSequence)) == (0, 1, 6) and "FailedSOPSequence" not in told
        assert told.TransactionUID == "1.2.3.4"
        for path in spooled(out)[:2]:
            path.unlink()
        _, (kind, told) = asking.ask(port, references(slices))
        assert (kind, len(told.ReferencedSOPSequence), len(told.FailedSOPSequence)) == (2, 4, 2)
        assert {item.FailureReason for item in told.FailedSOPSequence} == {MISSING}
        here = {item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence}
        assert here == {dcmread(path).SOPInstanceUID for path in spooled(out)}
        _, (kind, told) = asking.ask(
            port, references(spooled(out)[:1], MR if OTHER in references(slices)[0] else OTHER)
        )
        assert (kind, told.FailedSOPSequence[0].FailureReason) == (2, OTHER_CLASS)
        assert asking.ask(port, [(MR, "1.2.3")], 9)[0] == 0x0123
        assert asking.ask(port, [], 1)[0] == 0x0115


@pytest.mark.slow
def test_a_sender_that_was_named_is_called_back(tmp_path, slices):
    asking = Asking()
    asking.node.add_supported_context(PUSH_MODEL, PLAIN, scu_role=False, scp_role=True)
    server = asking.node.start_server(("127.0.0.1", 0), block=False, evt_handlers=asking.handlers)
    port = server.server_address[1]
    try:
        with receiver(tmp_path / "out", commit=[f"SCANNER1@127.0.0.1:{port}"]) as (_, ours):
            assert send(ours, slices[:2]) == [0, 0]
            assert asking.ask(ours, references(slices[:3]))[1][0] == 2
    finally:
        server.shutdown()


@pytest.mark.parametrize("to", ["SCANNER1@no-such-host.invalid:104", "SCANNER1@127.0.0.1:104/tls"])
def test_a_sender_that_cannot_be_called_now_is_called_again(tmp_path, to):
    tls = TlsFiles(*(tmp_path / name for name in ("key", "cert", "ca")))
    options = ListenOptions(commit=(Destination.parse(to),), tls=tls)
    spool = Spool(tmp_path / "out")
    assert Commitment(spool, options)._call(options.commit[0], 1, Dataset()) is False
    spool.close()
