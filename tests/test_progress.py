"""What `audiocli.progress` promises: a line for all that went wrong, and a bar only where there is a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from audiocli.pipeline import ACROSS, Outcome, Progress
from audiocli.progress import MOST_ROWS, Bar, Events, Lines, Quiet, notice, watcher
from audiocli.records import Answer, Coverage, Document, Gap, Job, Provenance, Segment, Summary

PROVENANCE = Provenance("1", "model", "r", "engine", "transcribe")


def job(name="a.wav"):
    return Job(name, name)


def document(name="a.wav", **more):
    whole = Document(
        source=name,
        stem=name,
        duration_s=90.0,
        language="en",
        segments=(Segment(0.0, 2.0, "good morning"),),
        chunks=(),
        coverage=Coverage(transcribed_s=60.0, silence_s=30.0),
        provenance=PROVENANCE,
    )
    return replace(whole, **more)


def done(name="a.wav", **more):
    return Outcome(job(name), document(name, **more))


def failed(name="b.wav", why="no audio stream"):
    return Outcome(job(name), None, f"{name}: {why}")


GAP = Gap(61.0, 90.0, "out of memory")


def told(kind, outcomes, capsys, reports=()):
    """What a watcher writes to stderr over one run."""
    watch = watcher(kind)
    with watch.running([outcome.job for outcome in outcomes]):
        for report in reports:
            watch.progress(report)
        for outcome in outcomes:
            watch.finished(outcome)
    watch.close()
    captured = capsys.readouterr()
    assert captured.out == "", "stdout is for results"
    return captured.err


@pytest.mark.parametrize("kind", ["off", "auto", "bar"])
def test_every_failure_is_one_line_in_every_manner(kind, capsys):
    lines = told(kind, [done(), failed(), done("c.wav", gaps=(GAP,))], capsys).splitlines()
    errors = [line for line in lines if "error:" in line]
    assert errors == [
        "audiocli: error: b.wav: no audio stream",
        "audiocli: error: c.wav: 1:01–1:30 not heard: out of memory",
    ]


def test_quiet_says_nothing_else(capsys):
    watch = watcher("off")
    watch.warn("something odd")
    assert capsys.readouterr().err == ""
    assert told("off", [done(warnings=("clipped",))], capsys) == ""


@pytest.mark.parametrize("name", ["two\nlines.wav", "bell\x07 and \x1b[2Jclear.wav", "bytes\udcff.wav"])
def test_a_name_can_neither_break_the_line_nor_command_the_terminal(name, capsys):
    for kind in ("off", "auto"):
        text = told(kind, [failed(name), done("x" + name)], capsys)
        assert "error: " in text and not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\udc80-\udcff]", text)
        assert len([line for line in text.splitlines() if line.startswith("audiocli: error: ")]) == 1
    assert "\n" not in notice("error", name)


def test_the_last_line_counts_files_audio_and_what_came_from_the_cache(capsys):
    reports = [Progress(job(), 30.0, 90.0, 25.0, cached=True), Progress(job(), 60.0, 90.0, 25.0, cached=True)]
    last = told("auto", [done(), done("c.wav"), failed()], capsys, reports).splitlines()[-1]
    assert "2 of 3 done" in last and "1 with errors" in last and "3:00 of audio" in last
    assert "0:50 of speech from the cache" in last


def test_one_input_that_went_well_needs_no_table(capsys):
    assert len(told("auto", [done()], capsys).splitlines()) == 1


def test_a_table_lists_a_few_inputs_with_what_is_to_know_of_each(capsys):
    outcomes = [
        done("fine.wav"),
        done("silent.wav", segments=(), coverage=Coverage(silence_s=90.0)),
        done("noted.wav", segments=()),
        done("gaps.wav", gaps=(GAP, GAP)),
        done("odd.wav", warnings=("clipped",), coverage=Coverage(unreliable_s=12.4)),
        failed("broken.wav"),
    ]
    rows = {line.split()[0]: line.split()[1:] for line in told("auto", outcomes, capsys).splitlines() if line.strip()}
    assert rows["fine.wav"] == ["1:30", "2", "100%", "ok"]
    assert rows["silent.wav"][-2:] == ["no", "speech"]
    assert rows["noted.wav"] == ["1:30", "100%", "ok"], "a model that takes notes hears speech and writes no words"
    assert rows["gaps.wav"][-2:] == ["2", "gaps"]
    assert rows["odd.wav"][2:] == ["0%", "12", "s", "unreliable,", "1", "warning"]
    assert rows["broken.wav"] == ["failed"]


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"summary": Summary("heard", unreliable="cut off")}, "summary unreliable"),
        ({"answers": (Answer("ask", "why?", "", unreliable="cut off"),)}, "answer unreliable"),
    ],
)
def test_what_should_not_be_trusted_is_told_though_all_was_heard(capsys, result, says):
    text = told("auto", [done(), done("b.wav", **result)], capsys)
    assert says in text and "2 of 2 done · 1 with doubts" in text
    assert "with doubts" not in told("auto", [done()], capsys)


@pytest.mark.parametrize("kind", ["auto", "json"])
def test_an_answer_over_all_inputs_is_told_and_counted_as_no_input(capsys, kind):
    watch = watcher(kind)
    with watch.running([job()]):
        watch.finished(done())
        watch.finished(Outcome(ACROSS, None, "all recordings: the model refused"))
    watch.close()
    *_, failure, last = capsys.readouterr().err.splitlines()
    assert "all recordings: the model refused" in failure
    assert ("1 of 1 done" in last) if kind == "auto" else ('"done": 1, "failed": 0' in last)


def test_of_very_many_inputs_only_those_that_failed_are_listed(capsys):
    outcomes = [done(f"good{n}.wav") for n in range(MOST_ROWS)] + [failed(f"bad{n}.wav") for n in range(MOST_ROWS + 3)]
    text = told("auto", outcomes, capsys)
    table = text.partition("input")[2]
    assert "good" not in table and table.count("bad") == MOST_ROWS and "… and 3 more" in table


def test_warnings_of_a_document_name_their_file(capsys):
    assert "audiocli: warning: a.wav: clipped" in told("auto", [done(warnings=("clipped",))], capsys).splitlines()


def test_events_are_one_json_object_a_line(capsys):
    reports = [Progress(job(), 30.0, 90.0, 25.0, cached=False), Progress(job(), 60.0, None, 25.0, cached=True)]
    watch = watcher("json")
    watch.warn("something odd")
    outcomes = [done(warnings=("clipped",)), failed("bad\nname\udcff.wav"), done("c.wav", gaps=(GAP,))]
    events = [
        json.loads(line) for line in (capsys.readouterr().err + told("json", outcomes, capsys, reports)).splitlines()
    ]
    assert [event["event"] for event in events] == [
        "warning",
        "progress",
        "progress",
        "done",
        "failed",
        "failed",
        "end",
    ]
    assert events[1] == {
        "event": "progress",
        "source": "a.wav",
        "position_s": 30.0,
        "duration_s": 90.0,
        "cached": False,
    }
    assert (events[2]["duration_s"], events[2]["cached"]) == (None, True)
    assert (events[3]["duration_s"], events[3]["warnings"], events[3]["errors"]) == (90.0, ["clipped"], [])
    assert os.fsencode(events[4]["source"]) == b"bad\nname\xff.wav", "the very name, so that it can be found again"
    assert events[5]["errors"] == ["c.wav: 1:01–1:30 not heard: out of memory"]
    assert (events[6]["done"], events[6]["failed"]) == (1, 2) and events[6]["took_s"] >= 0


def test_kinds_are_chosen_by_name_and_auto_by_what_stderr_is(capsys):
    assert [type(watcher(kind)) for kind in ("off", "json", "bar", "auto")] == [Quiet, Events, Bar, Lines]


def test_no_bar_where_there_is_no_terminal(capsys):
    assert "\x1b" not in told("auto", [done(), failed()], capsys) + told("bar", [done(), failed()], capsys)


# On a terminal


@contextmanager
def terminal(monkeypatch):
    """stderr is a terminal of 100 columns; gives a function that returns what was written to it so far."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)

    def written():
        stream.flush()
        found = b""
        with suppress(BlockingIOError):
            while block := os.read(ours, 65536):
                found += block
        return found.decode()

    with os.fdopen(theirs, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "100")
        yield written
    os.close(ours)


def test_a_bar_shows_how_far_all_inputs_are_and_makes_room_for_errors(monkeypatch, tmp_path):
    for name, size in (("a.wav", 3000), ("b.wav", 1000)):
        (tmp_path / name).write_bytes(bytes(size))
    first, second = job(str(tmp_path / "a.wav")), job(str(tmp_path / "b.wav"))
    shares = []
    with terminal(monkeypatch) as written:
        watch = watcher("auto")
        assert type(watch) is Bar
        with watch.running([first, second]):
            (task,) = watch._bar.tasks
            for step in (
                lambda: watch.progress(Progress(first, 45.0, 90.0, 25.0, cached=False)),
                lambda: watch.progress(Progress(first, 91.0, 90.0, 25.0, cached=False)),
                lambda: watch.finished(Outcome(first, document())),
                lambda: watch.progress(Progress(second, 45.0, None, 25.0, cached=False)),
                lambda: watch.finished(Outcome(second, None, "b.wav: [no] audio")),
            ):
                step()
                shares.append(task.percentage)
            assert task.description == "2/2"
        watch.close()
        text = written()
    assert shares == [37.5, 75.0, 75.0, 75.0, 100.0]
    assert "audiocli: error: b.wav: [no] audio\r\n" in text, "not taken for markup, and on a line of its own"
    assert "× real time" in text and "1 of 2 done" in text
