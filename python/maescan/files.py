"""Files that appear whole or not at all: written beside, synced, renamed."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maescan.errors import ConfigError, DataError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder with the same suffixes; on success it becomes `path`.

    Raises DataError naming `path` when the disk is full or the folder cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.name[-40:], dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(
            f"cannot write: {error.strerror or error}", path=path, remedy="free space or use another --out"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_halves(out: Path) -> None:
    """Removes what a killed run was writing. For who holds the folder's lock. Raises DataError."""
    try:
        for half in out.rglob(".part-*"):
            half.unlink()
    except OSError as error:
        raise DataError(f"cannot write: {error.strerror}", path=out, remedy="use another --out") from error


def write_text(path: Path, text: str) -> None:
    """`text` as UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Any) -> None:
    """`values` as indented JSON with a final newline."""
    write_text(path, json.dumps(values, indent=2, sort_keys=True) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows under a header; floats with six decimals, so that a rerun gives the same bytes."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row] for row in rows])
    write_text(path, buffer.getvalue())


def write_parquet(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows as a Parquet table; floats with six decimals, an empty cell is null. Raises ConfigError."""
    pyarrow, parquet = need_parquet()
    cells = [[None if row[i] == "" else row[i] for row in rows] for i in range(len(columns))]
    rounded = [[round(cell, 6) if isinstance(cell, float) else cell for cell in column] for column in cells]
    with whole_file(path) as temporary:
        parquet.write_table(pyarrow.table(dict(zip(columns, rounded, strict=True))), temporary)


def need_parquet() -> tuple[Any, Any]:
    """pyarrow and its parquet module. Raises ConfigError."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ConfigError("--format parquet needs pyarrow", remedy="pip install 'maescan[parquet]'") from error
    return pyarrow, parquet


def write_nifti(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    """`volume` [X, Y, Z] (float32 or uint8) as .nii.gz with `affine` (voxel -> RAS+ mm), reproducibly."""
    import nibabel
    from isal import igzip

    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    with (
        whole_file(path) as temporary,
        open(temporary, "wb") as raw,
        igzip.IGzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed,
    ):
        packed.write(image.to_bytes())
