"""The files below a folder, each folder once: links are followed, but not in circles."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path

from maescan.files import OUTPUT, is_bundle
from maescan.scans.budget import touching
from maescan.scans.labels import file_label
from maescan.scans.source import PassedOver

HOLD = frozenset({"maps", "pictures", "views", "dicom"})
"""Folders of an output folder that hold what maescan wrote of scans, and nothing else."""
Visited = set[tuple[int, int, int]]
"""Device, inode and time of change of the folders that were searched. Where several disks are shared as one, by 9p or
SMB, folders of two of them may have one inode: their times tell them apart."""


def walk(root: Path, skip: Collection[str] = (), visited: Visited | None = None) -> Iterator[Path | PassedOver]:
    """The files below `root` and the folders that cannot be searched, as paths; what was not looked into, as
    `PassedOver`: also what maescan wrote, whichever way it is come to, and bundles. Folders come before links to
    folders, so that a scan is called by the place where it lies.

    skip: folders that are not to be touched; they come as paths. visited: folders that were searched before, which
    are not searched again; those that are searched now are added."""
    visited = set() if visited is None else visited
    folders, links = deque([root]), deque[Path]()
    while folders or links:
        linked = not folders
        folder = links.popleft() if linked else folders.popleft()
        if str(folder) in skip:
            yield folder
            continue
        with touching(folder):  # never left in between: who goes on may be another thread
            ours = (linked or folder == root) and is_output(folder)
            entries = _entries(folder, visited)
            names = {entry.name for entry in entries} if isinstance(entries, list) else set[str]()
            bundle = "manifest.json" in names and is_bundle(folder)
            ours = ours or OUTPUT in names or bundle
            items = _sorted(entries, root, folders, links) if isinstance(entries, list) and not ours else []
        if entries is None:
            yield folder
        elif isinstance(entries, str):
            if folder != root:
                yield PassedOver(file_label(folder, root), folder, "link", entries)
        elif ours:
            name = file_label(folder, root) if folder != root else root.name
            what = "is a bundle" if bundle else "holds what maescan wrote"
            yield PassedOver(name, folder, "output", f"{what}, which is no input")
        else:
            yield from items


def is_output(path: Path) -> bool:
    """Whether a path, its links resolved, is or lies in a folder that maescan writes what it makes of scans into."""
    place = Path(os.path.realpath(path))
    return any(part.name in HOLD and (part.parent / OUTPUT).is_dir() for part in (place, *place.parents))


def _entries(folder: Path, visited: Visited) -> list[os.DirEntry[str]] | str | None:
    """What lies in a folder; a reason to leave it out; or None where it cannot be searched."""
    try:
        stat = folder.stat()
        if (which := (stat.st_dev, stat.st_ino, stat.st_ctime_ns)) in visited:
            return "leads to a folder that is searched already"
        visited.add(which)
        if not os.access(folder, os.X_OK):  # its files cannot even be looked at
            return None
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return None


def _sorted(
    entries: list[os.DirEntry[str]], root: Path, folders: deque[Path], links: deque[Path]
) -> list[Path | PassedOver]:
    """Files, and what is not looked into; folders and links to folders go where they are waited for."""
    inside: list[Path] = []
    items: list[Path | PassedOver] = []
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            items.append(PassedOver(file_label(path, root), path, "hidden", "is hidden"))
        elif _is_folder(entry):
            (links if entry.is_symlink() else inside).append(path)
        else:
            items.append(path)
    folders.extendleft(reversed(inside))
    return items


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in circles, or into what may not be entered
        return False
