"""What a run promises that is killed, interrupted or not alone: nothing is asked twice, and nothing is half done."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocli.audio import open_audio
from audiocli.records import RATE

SAMPLES = Path(__file__).parents[1] / "samples"
LIMIT_S = 10.0
"""An interrupt ends a run within 2 s on a machine of its own; tests may share theirs."""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.fixture
def speech(audiocli):
    """70 seconds of a lecture: three windows for the embedded model."""
    with open_audio(SAMPLES / "lecture.m4a") as reader:
        soundfile.write(audiocli.folder / "speech.wav", np.concatenate(list(islice(reader, 7))), RATE)
    return audiocli.folder / "speech.wav"


def heard(lines):
    """The events of answered windows, as they arrive on stderr."""
    events = (json.loads(line) for line in lines)
    return (event for event in events if event["event"] == "progress")


def written(folder):
    """Content of every file by its name."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sound(store):
    """Whether a store's file is whole, and how many replies it has."""
    with closing(sqlite3.connect(store / "replies.sqlite")) as opened:
        ((verdict,),) = opened.execute("PRAGMA integrity_check")
        ((count,),) = opened.execute("SELECT COUNT(*) FROM replies")
    return verdict, count


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was_and_writes_what_an_unbroken_one_writes(audiocli, speech):
    task = ["transcribe", speech, "--batch-size", "1", "--progress", "json", "-f", "all"]
    broken = audiocli.start(*task, "-o", "broken", stderr=subprocess.PIPE)
    with broken.stderr as lines:
        next(heard(lines))
        broken.kill()
        assert broken.wait(30) == -signal.SIGKILL
    assert written(audiocli.folder / "broken") == {}, "half a result was left behind"

    resumed = audiocli(*task, "-o", "broken")
    cached = [event["cached"] for event in resumed.events if event["event"] == "progress"]
    assert resumed.code == 0 and 1 <= sum(cached) <= 2 < len(cached), "more than what was in flight was lost"

    unbroken = audiocli(*task, "-o", "unbroken", "--cache-dir", audiocli.folder / "other")
    assert not any(event.get("cached") for event in unbroken.events)
    assert written(audiocli.folder / "broken") == written(audiocli.folder / "unbroken") != {}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_an_interrupt_ends_a_run_soon_with_130_and_the_store_intact(audiocli, speech, sent):
    task = ["transcribe", speech, "--batch-size", "1", "--progress", "json", "-o", "out"]
    process = audiocli.start(*task, stderr=subprocess.PIPE)
    with process.stderr as lines:
        next(heard(lines))
        started = time.monotonic()
        process.send_signal(sent)
        rest = lines.read().decode().splitlines()
    assert process.wait(30) == 130 and time.monotonic() - started < LIMIT_S
    assert rest[-1] == "audiocli: error: interrupted; run the same command again to go on"
    assert sum(line.startswith("audiocli: ") for line in rest) == 1 and "Traceback" not in "".join(rest)
    verdict, count = sound(audiocli.folder / "cache")
    assert verdict == "ok" and 1 <= count <= 2
    assert written(audiocli.folder / "out") == {}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_an_interrupt_ends_a_run_that_waits_for_a_pipe(audiocli, sent, tmp_path_factory):
    """The thread that reads cannot be woken: it is left behind, and what it copied is removed."""
    temporary = tmp_path_factory.mktemp("temporary")
    audiocli.environment["TMPDIR"] = str(temporary)
    process = audiocli.start("transcribe", "-", "--engine", "fake", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    with process.stdin as pipe, process.stderr as lines:
        pipe.write(bytes(100_000))
        pipe.flush()
        wait_for(lambda: list(temporary.glob("audiocli-*/source")))
        started = time.monotonic()
        process.send_signal(sent)
        said = lines.read().decode()
    assert process.wait(30) == 130 and time.monotonic() - started < LIMIT_S
    assert said == "audiocli: error: interrupted; run the same command again to go on\n"
    assert not list(temporary.glob("audiocli-*"))


def wait_for(condition, give_up_s=60.0):
    until = time.monotonic() + give_up_s
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


def test_two_runs_on_the_same_files_and_store_end_alike(audiocli, say):
    for n in range(12):
        say(audiocli.folder / "in" / f"{n}.wav", [(0.5 + word, 10 * n + word % 10) for word in range(90)], 91.0)
    task = ["transcribe", "in", "--engine", "fake", "--batch-size", "1", "-f", "json,srt"]
    outputs = {
        folder: audiocli.start(*task, "-o", folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for folder in ("one", "two")
    }
    for process in outputs.values():
        said = process.communicate(timeout=120)[1].decode()
        assert process.returncode == 0 and "warning" not in said
    alone = audiocli(*task, "-o", "alone", "--no-cache")
    assert alone.code == 0
    first, second, third = (written(audiocli.folder / folder) for folder in ("one", "two", "alone"))
    assert first == second == third and len(first) == 24
    windows = sum(json.loads(text)["provenance"]["windows"] for path, text in first.items() if path.suffix == ".json")
    assert sound(audiocli.folder / "cache") == ("ok", windows)


def test_two_runs_into_one_folder_leave_whole_files(audiocli, say):
    for n in range(6):
        say(audiocli.folder / "in" / f"{n}.wav", [(0.5 + word, word) for word in range(50)], 51.0)
    task = ["transcribe", "in", "--engine", "fake", "-f", "all"]
    running = [audiocli.start(*task, "-o", "both", stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]
    assert audiocli(*task, "-o", "alone").code == 0
    assert written(audiocli.folder / "both") == written(audiocli.folder / "alone")
