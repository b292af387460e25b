"""Puts files into place on a local disk so that a power cut keeps them: folders, renames, and what "full" means."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from uuid import uuid4

from rowmill.errors import OutOfSpace


def make_folder(folder: Path) -> None:
    """Make a folder with those above it, each kept by the one above. Again: yes."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_into_place(source: Path, target: Path) -> None:
    """Put a synced file in place and sync the folder, so that a power cut keeps it."""
    make_folder(target.parent)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != 18:  # another file system: copy, then rename there
            raise
        beside = target.with_name(target.name + "." + uuid4().hex)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(source, beside)
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.replace(target)
            source.unlink()
    sync_folder(target.parent)


def as_out_of_space(error: OSError) -> Exception:
    """Turn "no space left" and "over quota" into OutOfSpace."""
    return OutOfSpace() if error.errno in {28, 122} else error
