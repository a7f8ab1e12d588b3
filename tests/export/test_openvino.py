from __future__ import annotations

import logging

import pytest
import torch

from helpers.bundles import SMALL
from maescan.engines.bundle import Bundle
from maescan.export import openvino as target


class Unable(torch.nn.Module):
    def forward(self, visible):
        raise RuntimeError("cannot be traced")


def test_a_conversion_that_fails_leaves_the_logs_of_the_process_as_they_were(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(target, "networks", lambda *_: [("mae", Unable(), {"visible": torch.zeros(1)})])
    root = logging.getLogger()
    before = root.level, list(root.filters), list(root.handlers)
    with pytest.raises(Exception, match="cannot be traced"):
        target.build(tmp_path, None, None, Bundle(tmp_path, {"preset": SMALL.to_dict(), "files": {}}, ""), "fp32")
    assert (root.level, root.filters, root.handlers) == before
