"""An Orthanc that nobody else can reach, in a network of its own: stores folders of DICOM files, as a program.

`unshare -r -n python archive.py FOLDER WAY:SENT ...` prints a line of JSON for each SENT folder that was sent by WAY
(store: C-STORE, stow: DICOMweb): what the archive holds then."""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
HTTP, DICOM = 8042, 4242
SIOCSIFFLAGS, UP_RUNNING = 0x8914, 0x41


def lacking() -> str:
    """What is missing of it, '' where all is there."""
    programs = [name for name in ("Orthanc", "dcmsend", "unshare") if shutil.which(name) is None]
    if programs or not PLUGIN.exists():
        return f"{(programs or ['orthanc-dicomweb'])[0]} is not installed"
    done = subprocess.run(["unshare", "-r", "-n", "true"], capture_output=True)
    return "a network of its own is not allowed" if done.returncode else ""


def stored(folder: Path, *sent: str) -> list[dict[str, object]]:
    """What an archive in `folder` holds after each of "WAY:FOLDER" was sent to it."""
    command = ["unshare", "-r", "-n", sys.executable, __file__, str(folder), *sent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP_RUNNING))


def _get(path: str) -> object:
    with urllib.request.urlopen(f"http://127.0.0.1:{HTTP}{path}", timeout=10) as answer:
        return json.load(answer)


def _wait() -> None:
    for _ in range(300):
        try:
            _get("/system")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("Orthanc does not answer")


def _send(way: str, files: list[Path]) -> None:
    if way == "store":
        command = ["dcmsend", "-aec", "ARCHIVE", "127.0.0.1", str(DICOM), *map(str, files)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        return
    mark = "part-of-many"
    parts = [
        b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % (mark.encode(), file.read_bytes())
        for file in files
    ]
    kind = f'multipart/related; type="application/dicom"; boundary={mark}'
    headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
    body = b"".join(parts) + f"--{mark}--".encode()
    request = urllib.request.Request(f"http://127.0.0.1:{HTTP}/dicom-web/studies", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        failed = json.load(answer).get("00081198", {}).get("Value")
        assert not failed, failed


def _held() -> dict[str, object]:
    counts = _get("/statistics")
    assert isinstance(counts, dict)
    names = [_get(f"/instances/{name}/simplified-tags") for name in _list("/instances")]
    people = sorted({str(tags["PatientName"]) for tags in names if isinstance(tags, dict)})
    kinds = {key.removeprefix("Count").lower(): counts[key] for key in counts if key.startswith("Count")}
    return {**kinds, "names": people}


def _list(path: str) -> list[object]:
    found = _get(path)
    assert isinstance(found, list)
    return found


def main(folder: Path, *sent: str) -> None:
    """As the module says."""
    _loopback_up()
    settings = {
        **{
            "Name": "archive",
            "DicomAet": "ARCHIVE",
            "HttpPort": HTTP,
            "DicomPort": DICOM,
            "RemoteAccessAllowed": False,
        },
        **{"StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "index")},
        **{"AuthenticationEnabled": False, "Plugins": [str(PLUGIN)], "DicomAlwaysAllowStore": True},
        **{"OverwriteInstances": False},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            _wait()
            for each in sent:
                way, _, place = each.partition(":")
                _send(way, sorted(Path(place).rglob("*.dcm")))
                print(json.dumps(_held()), flush=True)
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
