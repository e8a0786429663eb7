"""Files are written whole or not at all, where they were asked for and nowhere else."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from document_strategies import FACTS, document, found, full_documents, promise, silent, spoken
from hypothesis import given
from hypothesis import strategies as st

from audiocli.errors import OutputError, UsageError
from audiocli.records import Analysis, Event
from audiocli.writers import FORMATS, Shape, every, paths, render, write

if TYPE_CHECKING:
    from pathlib import Path

    from audiocli.records import Document

posix = pytest.mark.skipif(sys.platform == "win32", reason="links and permissions as POSIX has them")
unprivileged = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user"
)


def named(stem: str) -> Document:
    return replace(document(spoken("Good morning.", 0)), stem=stem)


def everything(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir())


def test_one_file_for_each_format_below_the_folder_with_parents_made(tmp_path: Path) -> None:
    written = write(named("a/b/talk"), FORMATS, tmp_path / "out", Shape())
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        f"out/a/b/talk{suffix}" for suffix in (".json", ".md", ".txt", ".srt", ".vtt", ".tsv", ".png")
    ]
    assert everything(tmp_path) == sorted(path.relative_to(tmp_path).as_posix() for path in written)


TEXTS = [name for name in FORMATS if name != "png"]


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_holds_what_its_format_renders_in_utf_8(name: str, tmp_path: Path) -> None:
    made = document(spoken("naïve 吾輩", 0))
    (path,) = write(made, [name], tmp_path, Shape())
    assert path.read_bytes().decode("utf-8") == FORMATS[name].render(made, Shape())


def test_a_picture_is_written_byte_for_byte(tmp_path: Path) -> None:
    made = found("analyze", analysis=Analysis("measured", FACTS, (Event(0, 600, "speech"),)))
    (path,) = write(made, ["png"], tmp_path, Shape())
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert path.read_bytes() == FORMATS["png"].render(made, Shape())


def test_a_picture_is_not_for_standard_output() -> None:
    with pytest.raises(UsageError, match="'png' is a picture .* give a folder with -o"):
        render(document(), "png", Shape())


@pytest.mark.parametrize("task", ["transcribe", "translate", "summarize", "ask", "transcribe,summarize"])
def test_all_formats_are_those_of_text(task: str) -> None:
    assert every(task) == ("json", "md", "txt", "srt", "vtt", "tsv")


@pytest.mark.parametrize("task", ["analyze", "transcribe,analyze", "transcribe, analyze"])
def test_all_formats_of_an_analysis_have_its_picture(task: str) -> None:
    assert every(task) == tuple(FORMATS)


@promise
@given(made=full_documents(), name=st.sampled_from(TEXTS))
def test_every_format_is_utf_8_and_ends_its_last_line(made: Document, name: str) -> None:
    rendered = render(made, name, Shape())
    assert rendered.encode("utf-8").endswith(b"\n") or rendered == ""
    assert not set(rendered) & set("\x00\x1b\r\x85\u2028")


def test_json_is_one_line_on_standard_output_and_indented_in_a_file(tmp_path: Path) -> None:
    made = named("talk")
    (path,) = write(made, ["json"], tmp_path, Shape())
    assert render(made, "json", Shape()).count("\n") == 1
    assert path.read_text(encoding="utf-8").count("\n") > 10
    assert json.loads(render(made, "json", Shape())) == json.loads(path.read_text(encoding="utf-8"))


def test_dots_in_a_stem_stay(tmp_path: Path) -> None:
    (path,) = write(named("v1.0/talk.v2"), ["json"], tmp_path, Shape())
    assert path == tmp_path / "v1.0" / "talk.v2.json"
    assert path.exists()


def test_paths_are_what_write_writes_and_touch_nothing(tmp_path: Path) -> None:
    names = ["srt", "json", "srt"]
    foreseen = paths("a/talk", names, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert write(named("a/talk"), names, tmp_path / "out", Shape()) == foreseen
    assert [path.suffix for path in foreseen] == [".srt", ".json"]


def test_an_earlier_result_is_replaced(tmp_path: Path) -> None:
    (path,) = write(named("talk"), ["txt"], tmp_path, Shape())
    write(replace(silent(), stem="talk"), ["txt"], tmp_path, Shape())
    assert path.read_text(encoding="utf-8") == ""


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    for attempt in (
        lambda: render(silent(), "docx", Shape()),
        lambda: paths("a", ["docx"], tmp_path),
        lambda: write(named("a"), ["txt", "docx"], tmp_path, Shape()),
    ):
        with pytest.raises(UsageError, match="'docx': choose from json, md, txt, srt, vtt, tsv, png"):
            attempt()
    assert everything(tmp_path) == []


@pytest.mark.parametrize("stem", ["../x", "a/../../x", "..", "a/..", "/x", "", "a/", ".", "a//b", "./a", "a\0b"])
def test_a_stem_that_is_no_file_below_the_folder_is_refused(stem: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as refused:
        write(named(stem), ["txt"], tmp_path / "out", Shape())
    assert len(str(refused.value).splitlines()) == 1
    assert everything(tmp_path) == []


@posix
@pytest.mark.parametrize("stem", ["link/x", "link/new/x", "real/deep/x"])
def test_a_link_that_leads_out_of_the_folder_is_refused(stem: str, tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (out / "real").mkdir(parents=True)
    (out / "link").symlink_to(outside)
    (out / "real" / "deep").symlink_to("../../outside")
    with pytest.raises(OutputError, match="leads out of"):
        write(named(stem), ["txt"], out, Shape())
    with pytest.raises(OutputError, match="leads out of"):
        paths(stem, ["txt"], out)
    assert list(outside.iterdir()) == []


@posix
def test_a_link_that_stays_in_the_folder_and_the_folder_itself_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "out").symlink_to("disk")
    (tmp_path / "disk" / "link").symlink_to("real")
    write(named("link/x"), ["txt"], tmp_path / "out", Shape())
    assert (tmp_path / "disk" / "real" / "x.txt").exists()


@posix
def test_a_result_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.txt").symlink_to(tmp_path / "precious.txt")
    write(named("x"), ["txt"], tmp_path / "out", Shape())
    assert (tmp_path / "precious.txt").read_text() == "mine"
    assert not (tmp_path / "out" / "x.txt").is_symlink()


@posix
def test_a_loop_of_links_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError):
        write(named("loop/x"), ["txt"], tmp_path, Shape())


def test_a_folder_that_is_a_file_is_an_output_error_with_path_and_reason(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"out.a.x\.txt: cannot be written: \w+") as refused:
        write(named("a/x"), ["txt"], tmp_path / "out", Shape())
    assert refused.value.exit_code == 3


def test_a_result_that_is_a_folder_is_an_output_error_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "x.txt").mkdir()
    with pytest.raises(OutputError):
        write(named("x"), ["txt"], tmp_path, Shape())
    assert everything(tmp_path) == []


def test_a_name_that_is_too_long_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as refused:
        write(named("x" * 300), ["txt"], tmp_path, Shape())
    assert len(str(refused.value).splitlines()) == 1
    assert everything(tmp_path) == []


def test_the_longest_name_the_file_system_allows_is_written(tmp_path: Path) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX") if hasattr(os, "pathconf") else 200
    (path,) = write(named("x" * (longest - len(".txt"))), ["txt"], tmp_path, Shape())
    assert path.exists()


@posix
@unprivileged
def test_a_folder_without_permission_is_an_output_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            write(named("x"), ["txt"], tmp_path, Shape())
    finally:
        tmp_path.chmod(0o700)


@posix
def test_a_file_that_cannot_be_finished_is_an_output_error_and_the_earlier_result_stays(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    write(replace(silent(), stem="x"), ["txt"], tmp_path, Shape())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))  # bytes; what a full disk is to the writer
    try:
        with pytest.raises(OutputError, match=r"x\.txt: cannot be written: File too large"):
            write(named("x"), ["txt"], tmp_path, Shape())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "x.txt").read_bytes() == b""
    assert everything(tmp_path) == ["x.txt"]


def test_an_interrupt_leaves_the_earlier_result_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = write(named("x"), ["txt"], tmp_path, Shape())
    before = path.read_bytes()

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(replace(silent(), stem="x"), ["txt"], tmp_path, Shape())
    assert path.read_bytes() == before
    assert everything(tmp_path) == ["x.txt"]


@posix
def test_results_can_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        (path,) = write(named("x"), ["txt"], tmp_path, Shape())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@posix
def test_a_name_of_undecodable_bytes_is_written_in_every_format(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    made = replace(named(name), source=f"{name}.mp3")
    try:
        written = write(made, FORMATS, tmp_path, Shape())
    except OutputError as error:
        pytest.skip(f"this file system takes UTF-8 names only: {error}")
    assert len(written) == len(FORMATS)
    assert all(path.read_bytes().decode("utf-8") for path in written if path.suffix != ".png")


def test_the_suffixes_are_different_and_begin_with_a_dot() -> None:
    suffixes = [known.suffix for known in FORMATS.values()]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix.startswith(".") for suffix in suffixes)
