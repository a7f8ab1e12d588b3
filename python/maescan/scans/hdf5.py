"""HDF5 files that keep parts of themselves in other files: a name inside a file is no path, and is not followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py


def kept_elsewhere(stream: h5py.File) -> str:
    """The first part of an open HDF5 file that lies in another file: a link to one, voxels stored in one, voxels put
    together from several; "" where all is in the file itself. No other file is opened."""
    import h5py

    def look(name: str, link: object) -> str | None:
        part = stream[name] if isinstance(link, h5py.HardLink) else None
        stored = isinstance(part, h5py.Dataset) and (bool(part.external) or part.is_virtual)
        return name if stored or isinstance(link, h5py.ExternalLink) else None

    return str(stream.visititems_links(look) or "")
