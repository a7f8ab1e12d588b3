"""Results to a PACS: what is in the queue is sent until the other side has taken it.

A process of its own beside `maescan listen`, started and told as the receiver is; `maescan send` does the same once.
"""

from __future__ import annotations

import contextlib
import fcntl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maescan.errors import DataError, MaescanError, require
from maescan.files import OUTPUT, short_hash
from maescan.folders import not_locked
from maescan.network.calling import CallError, ClassError, associated
from maescan.network.options import ListenOptions
from maescan.network.peers import Destination, TlsFiles
from maescan.network.queue import Queue, Result, Results
from maescan.network.quiet import quiet_libraries
from maescan.network.receiver import Tell, tell, told

if TYPE_CHECKING:
    from pynetdicom.association import Association

LOOK_S = 2.0
"""Seconds between two looks for new results."""
AT_ONCE = 100
"""Results of one association."""
RETRIED = (0x0110, 0x0213)
"""Beside A7xx: processing failure and resource limitation (PS3.7 C.5), which pass."""
PLAIN = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
DAMAGED = "is not as it was written: delete it, and score its scan again"
UNTAKEN = "0122: it does not take this class"
MEANINGS = {0x0122: "it does not take this class", 0x0124: "it does not allow it"}


def verdict(status: int) -> str:
    """What comes of a result that was answered so: sent, retried or parked (PS3.4 B.2.3)."""
    if status == 0 or status & 0xF000 == 0xB000:
        return "sent"
    return "retried" if status & 0xFF00 == 0xA700 or status in RETRIED else "parked"


class Forwarder:
    """Sends what an output folder's queue holds for one destination. tell: called with an event's name and facts."""

    def __init__(self, out: Path, queue: Queue, to: Destination, options: ListenOptions, tell: Tell):
        self._out, self._queue, self._to, self._options, self._tell = out, queue, to, options, tell
        self._name = str(to)

    def once(self) -> None:
        """Sends what waits, as far as the destination takes it."""
        while waiting := self._queue.waiting(self._name)[:AT_ONCE]:
            counts, put_off = {"sent": 0, "parked": 0}, ""
            try:
                with associated(self._to, self._options.aet, contexts(waiting), self._tls()) as assoc:
                    for result in waiting:
                        what = self._send(assoc, result)
                        if what in counts:
                            counts[what] += 1
                        put_off = put_off or ("" if what in counts else what)  # those behind it are sent all the same
                        if counts["sent"] == 1:
                            self._queue.worked(self._name)
                    if put_off:
                        raise CallError(put_off, path=self._name)
            except ClassError:
                counts["parked"] = len([self._park(result, UNTAKEN) for result in waiting])
            except MaescanError as error:  # nobody there, or our certificates: others are sent to
                pause = self._queue.failed(self._name, time.time())
                told = {"to": self._name, "reason": error.reason, "remedy": error.remedy}
                self._tell("unsent", {**told, "again_s": round(pause, 1), **counts})
                return
            self._tell("forwarded", {"to": self._name, **counts})

    def _tls(self) -> TlsFiles | None:
        return self._options.tls if self._to.tls else None

    def _send(self, assoc: Association, result: Result) -> str:
        """Sends one result: "sent", "parked", or why it is put off. Raises CallError where all are."""
        from pydicom import dcmread

        try:
            dataset = dcmread(self._out / result.path)
        except Exception:  # scored anew meanwhile, or damaged: the next look takes it out of the queue
            raise CallError("a result was replaced meanwhile", path=self._name) from None
        if str(dataset.SOPInstanceUID) != result.uid:
            raise CallError("a result was replaced meanwhile", path=self._name)
        try:
            answer = assoc.send_c_store(dataset)
        except ValueError:  # no presentation context
            return self._park(result, UNTAKEN)
        except RuntimeError as error:
            raise CallError("breaks off", path=self._name) from error
        if "Status" not in answer:
            raise CallError("does not answer, or breaks off", path=self._name)
        status = int(answer.Status)
        what = verdict(status)
        reason = f"answers {status:04X}, which passes"
        if status & 0xFF00 == 0xA700:  # it has no room: not for others either
            raise CallError(reason, path=self._name)
        if what == "retried":
            return reason
        if what == "parked":
            return self._park(result, f"{status:04X}: {MEANINGS.get(status, 'it refuses it')}")
        self._queue.sent(self._name, result)
        return "sent"

    def _park(self, result: Result, reason: str) -> str:
        self._queue.park(self._name, result, reason)
        self._tell("parked", {"to": self._name, "result": short_hash(result.uid, 16), "reason": reason})
        return "parked"

    def run(self, stop: threading.Event) -> None:
        """Sends until `stop` is set, whenever something waits and the destination is due."""
        while not stop.wait(0.2):
            if time.time() >= self._queue.due(self._name):
                self.once()


def contexts(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """What an association for these must offer: each class in its files' syntaxes; plain ones in either form."""
    found: dict[str, list[str]] = {}
    for result in results:
        for syntax in PLAIN if result.syntax in PLAIN else [result.syntax]:
            if syntax not in found.setdefault(result.sop_class, []):
                found[result.sop_class].append(syntax)
    return list(found.items())


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """One forwarder per folder. Raises DataError where another is at work."""
    with (out / OUTPUT / "forward.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            remedy = "it sends by itself, and what was parked once more"
            raise not_locked(error, out, "another forwarder is at work here", remedy) from error
        yield


def send(out: Path, options: ListenOptions, why: Callable[[str], None]) -> dict[str, dict[str, int]]:
    """Sends the results of an output folder, and what was parked once more: how many each destination has, refuses,
    and still waits for. why: told in a line why one was not sent. Raises DataError."""
    quiet_libraries()
    found, counts = Results(out), dict[str, dict[str, int]]()
    results = found.listed()
    for path in found.damaged:
        why(f"{path}: {DAMAGED}")
    queue = Queue(out)

    def heard(name: str, facts: Mapping[str, object]) -> None:
        if name == "unsent":
            why(f"{facts['to']}: {facts['reason']} ({facts['remedy'] or 'run it again'})")

    try:
        for to in options.forward:
            queue.again(str(to))
        with locked(out):
            for to in options.forward:
                queue.add(str(to), results)
                before = len(queue.waiting(str(to)))
                Forwarder(out, queue, to, options, heard).once()
                for path, reason in queue.parked(str(to)):
                    why(f"{to}: {path}: {reason}")
                waiting, parked = len(queue.waiting(str(to))), len(queue.parked(str(to)))
                counts[str(to)] = {"sent": before - waiting - parked, "refused": parked, "waiting": waiting}
                counts[str(to)]["before"] = len(results) - before
    finally:
        queue.close()
    return counts


def main() -> int:
    """Exit codes: 0, told to stop; 2, it cannot run, with the reason on standard output."""
    quiet_libraries()
    values, stop = told()
    try:
        out, options = Path(values.out), ListenOptions.of(values.options)
        with locked(out):
            return _forward(out, options, stop)
    except MaescanError as error:
        tell("fault", {"reason": str(error)})
        return 2


def _forward(out: Path, options: ListenOptions, stop: threading.Event) -> int:
    require("pynetdicom", "--forward")  # before there are threads: two that import it at once get halves of it
    queue, results = Queue(out), Results(out)
    threads = [
        threading.Thread(target=Forwarder(out, queue, to, options, tell).run, args=(stop,), daemon=True)
        for to in options.forward
    ]
    for thread in threads:
        thread.start()
    tell("forwarding", {"to": [str(to) for to in options.forward]})
    seen, damaged = list[str](), list[str]()
    while True:
        with contextlib.suppress(DataError):  # no ledger yet
            found = results.listed()
            still = [path for path in results.damaged if path in seen]  # and not just being written
            seen = results.damaged
            if damaged != (damaged := still):
                tell("damaged", {"results": len(damaged), "reason": DAMAGED})
            for to in options.forward:
                queue.add(str(to), found)
        if stop.wait(LOOK_S) or not all(thread.is_alive() for thread in threads):
            break
    ended = all(thread.is_alive() for thread in threads) or stop.is_set()
    stop.set()
    for thread in threads:
        thread.join(20)
    return 0 if ended else 1


if __name__ == "__main__":
    sys.exit(main())
