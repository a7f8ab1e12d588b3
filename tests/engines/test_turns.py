"""Parts of batches take turns; answers come back by batch, in order."""

from __future__ import annotations

import numpy as np
import pytest

from maescan.engines.turns import in_turns
from maescan.errors import EngineError
from maescan.method.engine import TokenBatch


def test_parts_alternate_between_streams_and_no_buffer_is_filled_before_its_answer_is_taken():
    said = []

    class Place:
        def __init__(self, turn):
            self.turn = turn

        def start(self, part):
            said.append(("start", self.turn))
            self.kept = part.images[:, 0, 0].copy()

        def result(self):
            said.append(("result", self.turn))
            return {"score": self.kept}

    places = Place(0), Place(1)
    images = [np.arange(n, dtype=np.float32)[:, None, None] + 100 * n for n in (5, 1, 4)]
    batches = [
        TokenBatch(x, np.arange(len(x)), np.zeros((len(x), 3)), np.zeros((2 * len(x), 3)), False) for x in images
    ]
    found = in_turns(batches, 2, 2, lambda part, turn: places[turn])
    for answers, given in zip(found, images, strict=True):
        assert np.array_equal(answers["score"], given[:, 0, 0])
    turns = [turn for what, turn in said if what == "start"]
    assert turns == [0, 1, 0, 1, 0, 1]
    for turn in (0, 1):
        assert [what for what, which in said if which == turn] == ["start", "result"] * 3
    assert said.index(("start", 1)) < said.index(("result", 0))


@pytest.mark.parametrize("fails", ["place", "start", "result"])
def test_whatever_a_part_raises_the_others_are_over(fails):
    running = set()

    class Place:
        def __init__(self, turn):
            self.turn = turn
            if fails == "place" and turn:
                raise EngineError("no place")

        def start(self, part):
            running.add(self.turn)
            if fails == "start" and self.turn:
                raise EngineError("no start")

        def result(self):
            running.discard(self.turn)
            if fails == "result":
                raise EngineError("no result")
            return {"score": np.zeros(2)}

    x = np.zeros((6, 1, 1), np.float32)
    batch = TokenBatch(x, np.arange(6), np.zeros((6, 3)), np.zeros((6, 3)), False)
    with pytest.raises(EngineError, match=f"no {fails}"):
        in_turns([batch], 1, 2, lambda part, turn: Place(turn))
    assert not running
