"""Commands about scans: make, read and look at them."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from maescan.cli.options import Kind, PresetOption, Quiet, Seed, with_options
from maescan.decimals import counted
from maescan.options import ReadOptions

commands = typer.Typer()


@commands.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    healthy: Annotated[int, typer.Option(min=0, help="Healthy scans.")] = 10,
    lesions: Annotated[int, typer.Option(min=0, help="Scans with lesions.")] = 10,
    seed: Seed = 0,
    kind: Annotated[Kind, typer.Option(help="What to make.")] = Kind.brain,
    mhd: Annotated[bool, typer.Option("--mhd", help="Lung scans as MetaImage, as LUNA16's are.")] = False,
    quiet: Quiet = False,
) -> None:
    """Make artificial scans (healthy/, lesions/, masks/, labels.csv), the same for the same seed."""
    from maescan.cli.progress import shown
    from maescan.datasets.phantom import Look, write_phantom

    with shown("phantom", quiet) as progress:
        write_phantom(
            out, healthy=healthy, lesions=lesions, seed=seed, look=Look(kind=kind.value, mhd=mhd), progress=progress
        )
    print(f"{counted(healthy, 'healthy scan')} and {lesions} with lesions are in {out}")


@commands.command()
@with_options(leave_out=("volume", "accept", "regions"), read=ReadOptions)
def prepare(
    data: Annotated[Path, typer.Argument(help="A data set or a folder of scans.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the memory-mapped slices: the cache.")],
    preset: PresetOption = "brats",
    workers: Annotated[int, typer.Option(min=1, help="Reader processes.")] = 2,
    modality: Annotated[str | None, typer.Option(help="BraTS: t1, t1ce, t2, flair, or channel:N of HDF5.")] = None,
    split_dir: Annotated[Path | None, typer.Option(help="The authors' split files.")] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    *,
    read: ReadOptions,
) -> None:
    """Read a data set once into a cache that training and evaluation map into memory. Run again to resume.

    Exit code 3: done, some scans could not be read; they are left out and stand in failures.csv."""
    from maescan import datasets
    from maescan.cli.progress import shown
    from maescan.config import preset as named
    from maescan.scans.budget import Limits

    of = datasets.Selection(modality=modality, split_dir=split_dir, seed=seed)
    readers, notes = datasets.Workers(workers, Limits.of(read)), list[str]()
    with shown("prepare", quiet):
        made = datasets.prepare(data, named(preset), out, of=of, readers=readers, listen=notes.append)
    scans = counted(made["scans"], "scan")
    print(f"{counted(made['slices'], 'slice')} of {scans} ({made['kept']} of them before) are in {out}")
    for note in notes:
        print(note)
    if made["failed"]:
        are = "is" if made["failed"] == 1 else "are"
        told = f"{counted(made['failed'], 'scan')} cannot be used and {are} left out: {out / 'failures.csv'}"
        print(told, file=sys.stderr)
        raise typer.Exit(3)


@commands.command()
@with_options(read=ReadOptions)
def inspect(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders.")],
    bundle: Annotated[Path | None, typer.Option(help="Say what `score` will do with this bundle.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Also write a montage PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each scan.")] = False,
    quiet: Quiet = False,
    *,
    read: ReadOptions,
) -> None:
    """What each file or series is, how it would be read and scored, and why it would be refused.

    Exit code 3: something would be refused, or there is nothing to make a picture of."""
    from maescan.cli.progress import shown
    from maescan.scans import inspect as inspection

    judge, doubt, about = None, None, ""
    if bundle is not None:
        from maescan.scoring.preview import judge_of
        from maescan.scoring.readers import told_apart

        judge, about = judge_of(bundle, read)
        doubt = partial(told_apart, options=read)
    with shown("inspect", quiet):
        rows = inspection.show(paths, read, picture=picture, judge=judge, doubt=doubt, as_json=as_json)
    if about and not as_json:
        print(about)
    blank = picture is not None and not any(row.slices for row in rows)
    if blank:
        print(f"no scan can be read: {picture} is not written", file=sys.stderr)
    if blank or any(row.verdict == "refused" for row in rows):
        raise typer.Exit(3)
