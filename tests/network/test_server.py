from __future__ import annotations

import socket

import pytest

from helpers.dicom_node import receiver


@pytest.mark.slow
def test_of_too_many_connections_the_oldest_is_closed(tmp_path):
    few = "from maescan.network import server; server.PENDING = 3"
    with receiver(tmp_path / "out", few) as (_, port):
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        for each in silent[:2]:
            each.settimeout(10)
            assert each.recv(1) == b""
        for each in silent[2:]:
            each.settimeout(0.2)
            with pytest.raises(TimeoutError):
                each.recv(1)
        for each in silent:
            each.close()
