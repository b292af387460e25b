"""A file that is being written has another name until it is whole."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from rowmill.tabular.unfinished import unfinished_name, whole_or_not


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")
    with whole_or_not(target) as unfinished:
        unfinished.write_text("new")
        assert target.read_text() == "old"
    assert (target.read_text(), os.listdir(tmp_path)) == ("new", ["out.csv"])


def write_half(target: Path) -> None:
    with whole_or_not(target) as unfinished:
        assert unfinished == unfinished_name(target)
        unfinished.write_text("half")
        raise OSError("the disk is full")


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with pytest.raises(OSError, match="full"):
        write_half(target)
    assert os.listdir(tmp_path) == []


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    target, heard = tmp_path / "pipe", []
    os.mkfifo(target)
    reader = threading.Thread(target=lambda: heard.append(target.read_text()))
    reader.start()
    with whole_or_not(target) as unfinished:
        unfinished.write_text("all of it")
    reader.join(60)
    assert (heard, target.is_fifo(), os.listdir(tmp_path)) == (["all of it"], True, ["pipe"])
