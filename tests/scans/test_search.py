"""Trees that would hang, crash or fill a search that looks into them itself."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from helpers.scan_files import VALUES, write_nifti
from maescan.errors import ScanError
from maescan.scans import read_scan
from maescan.scans.budget import Limits
from maescan.scans.search import search


def outcomes(folder, limits=None):
    """name -> "read" or the reason, for all that is found."""
    found = {}
    for source in search([folder], limits or Limits(seconds=30)):
        try:
            read_scan(source)
            found[source.name] = "read"
        except ScanError as error:
            found[source.name] = error.reason
    return found


def test_pipes_sockets_and_devices_are_refused_at_once(tmp_path):
    write_nifti(tmp_path / "good.nii.gz")
    for name in ("a.nii", "b.mhd", "c.img", "d.zip", "e.dcm", "f.nrrd"):
        os.mkfifo(tmp_path / name)
    os.mkfifo(tmp_path / "no_extension")
    for name in ("g.nii", "h.mhd", "i.zip"):
        (tmp_path / name).symlink_to("/dev/zero")
    (tmp_path / "j.nii").symlink_to("/dev/tty")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "k.nii"))
    header = "NDims = 3\nDimSize = 8 8 8\nElementType = MET_SHORT\nElementDataFile = {}\n"
    (tmp_path / "l.mhd").write_text("ObjectType = Image\n" + header.format("l.raw"))
    os.mkfifo(tmp_path / "l.raw")
    found = outcomes(tmp_path)
    assert found.pop("good.nii.gz") == "read"
    assert found.pop("l.mhd") == "'l.raw', which holds the voxels of 'l.mhd', is not a file"
    assert set(found.values()) == {"is not a file"}
    assert "".join(name[0] for name in sorted(found)) == "abdefghijk"


def test_a_pair_whose_image_is_a_pipe(tmp_path):
    import nibabel

    nibabel.Nifti1Pair(np.zeros((8, 8, 8), np.int16), np.eye(4)).to_filename(tmp_path / "pair.img")
    (tmp_path / "pair.img").unlink()
    os.mkfifo(tmp_path / "pair.img")
    assert outcomes(tmp_path) == {"pair.hdr": "is not a file"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_folder_that_may_be_listed_but_not_entered(open_folder):
    write_nifti(open_folder / "tree" / "good.nii.gz")
    write_nifti(open_folder / "tree" / "closed" / "scan.nii.gz")
    (open_folder / "tree" / "closed").chmod(0o744)
    script = (
        "import os, sys; from maescan.scans import find_scans; os.setuid(65534)\n"
        "print(*(f'{s.name} {s.format}' for s in find_scans(sys.argv[1])), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, open_folder / "tree"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["closed folder", "good.nii.gz nifti"]


def zip_of(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is: the constructor would tidy it
            archive.writestr(info, content)
    return path


def test_zips_within_zips_end_at_the_first_level(tmp_path):
    scan = write_nifti(tmp_path / "scan.nii").read_bytes()
    inner = zip_of(tmp_path / "inner.zip", [("scan.nii", scan)]).read_bytes()
    for _ in range(200):
        inner = zip_of(tmp_path / "inner.zip", [("inner.zip", inner)]).read_bytes()
    zip_of(tmp_path / "fan.zip", [(f"{number}.zip", inner) for number in range(50)] + [("scan.nii", scan)])
    (tmp_path / "scan.nii").unlink()
    start = time.process_time()
    assert outcomes(tmp_path) == {
        "fan.zip": "read",
        "fan.zip/0.zip": "is one of 50 .zip inside a .zip, which are not searched",
        "inner.zip/inner.zip": "is one of 1 .zip inside a .zip, which are not searched",
    }
    assert time.process_time() - start < 30


def test_names_in_a_zip_are_places_below_it(tmp_path):
    scans = [write_nifti(tmp_path / "scan.nii", VALUES + np.int16(n)).read_bytes() for n in range(6)]
    names = ["./a.nii", "/data/b.nii", "p//c.nii", "../d.nii", "twice.nii", "twice.nii"]
    with pytest.warns(UserWarning, match="Duplicate name"):
        zip_of(tmp_path / "all.zip", zip(names, scans, strict=True))
    (tmp_path / "scan.nii").unlink()
    places = ["2/twice.nii", "a.nii", "d.nii", "data/b.nii", "p/c.nii", "twice.nii"]
    least = {source.name: read_scan(source).voxels.min() for source in search([tmp_path])}
    assert sorted(least) == [f"all.zip/{place}" for place in places]
    assert [least[f"all.zip/{place}"] for place in places] == [5, 0, 3, 1, 2, 4]


def test_a_damaged_member_costs_itself(tmp_path):
    scan = write_nifti(tmp_path / "scan.nii").read_bytes()
    path = zip_of(
        tmp_path / "some.zip", [("good.nii", scan), ("bad.nii", bytes(range(256)) * 40), ("n" * 300 + ".nii", scan)]
    )
    (tmp_path / "scan.nii").unlink()
    raw = bytearray(path.read_bytes())
    start = raw.index(b"bad.nii") + len(b"bad.nii")
    raw[start + 20 : start + 60] = b"\xff" * 40
    path.write_bytes(raw)
    found = outcomes(tmp_path)
    assert found.pop("some.zip/good.nii") == "read"
    assert "cannot be unpacked" in found.pop("some.zip/bad.nii")
    ((name, outcome),) = found.items()
    assert name.startswith("some.zip/nnnn") and name.endswith("n.nii") and outcome == "read"


@pytest.mark.parametrize("damage", ["flag", "method", "offset", "table", "zip64"])
def test_a_zip_damaged_in_ways_without_a_common_error_fails_alone(tmp_path, damage):
    scan = write_nifti(tmp_path / "good.nii").read_bytes()
    path = zip_of(tmp_path / "bad.zip", [("Jos\u00e9.nii", scan)])
    raw = path.read_bytes()
    entry = raw.index(b"PK\1\2")
    edits = {
        "flag": lambda: raw.replace("Jos\u00e9".encode(), b"Jos\xe9\xe9"),
        "method": lambda: raw[: entry + 10] + struct.pack("<H", 93) + raw[entry + 12 :],
        "offset": lambda: raw[:-6] + struct.pack("<I", 2**31) + raw[-2:],
        "table": lambda: raw[:entry] + b"\0" * 60 + raw[entry + 60 :],
        "zip64": lambda: raw[: entry + 20] + b"\xff" * 8 + raw[entry + 28 :],
    }
    path.write_bytes(edits[damage]())
    found = outcomes(tmp_path)
    assert found.pop("good.nii") == "read" and len(found) == 1
    assert all("cannot be unpacked" in reason for reason in found.values())


@pytest.mark.slow
def test_a_file_that_hangs_or_crashes_the_search_costs_itself(tmp_path, monkeypatch):
    for name in ("a.nii.gz", "hangs.nii.gz", "crashes.nii.gz", "z.nii.gz"):
        write_nifti(tmp_path / name)
    module = tmp_path.parent / f"{tmp_path.name}_finder.py"
    module.write_text(
        "import os, time\n"
        "from maescan.scans import find, search\n"
        "def look(path, kind):\n"
        "    time.sleep(600 if 'hangs' in path.name else 0)\n"
        "    os.abort() if 'crashes' in path.name else None\n"
        "    return ()\n"
        "class Finder(search.Finder):\n"
        "    def find(self, *arguments):\n"
        "        find._data_files = look\n"
        "        return super().find(*arguments)\n"
    )
    script = (
        f"import {module.stem} as odd\n"
        "from maescan.scans.budget import Limits\n"
        "odd.search.Finder = odd.Finder\n"
        f"for s in odd.search.search([{str(tmp_path)!r}], Limits(seconds=1)):\n"
        "    print(s.name, s.fault)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=module.parent, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    a, crashes, hangs, z = done.stdout.splitlines()
    assert a == "a.nii.gz None" and z == "z.nii.gz None"
    assert (
        "hangs.nii.gz: reading took over 1 s" in hangs and "crashes.nii.gz: the reader crashed (SIGABRT)" in crashes
    )
