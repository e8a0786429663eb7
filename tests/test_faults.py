"""What a run promises that is killed, interrupted or not alone: nothing is asked twice, and nothing is half done."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
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


# Killed, again and again

KILLS = 20


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_the_results_are_those_of_an_undisturbed_run(audiocli, say):
    """Each time after a number of events that chance, seeded, has chosen: while it decodes, asks, stores or writes."""
    for n in range(30):
        say(audiocli.folder / "in" / f"{n}.wav", [(0.5 + word, 10 * n % 90 + word % 10) for word in range(35)], 36.0)
    task = ["transcribe", "in", "--engine", "fake", "--batch-size", "1", "-f", "json,srt", "--progress", "json"]
    undisturbed = audiocli(*task, "-o", "undisturbed", "--no-cache")
    assert undisturbed.code == 0
    expected, moments = written(audiocli.folder / "undisturbed"), random.Random(4)
    for _ in range(KILLS):
        process = audiocli.start(*task, "-o", "out", stderr=subprocess.PIPE)
        with process.stderr as lines:
            for _ in range(moments.randrange(len(undisturbed.events))):
                lines.readline()
            process.kill()
            process.wait(60)
        left = written(audiocli.folder / "out")
        whole = {path: content for path, content in left.items() if not path.name.startswith(".audiocli-")}
        assert whole.items() <= expected.items(), "a result under its final name was not whole"
        assert len(left) - len(whole) <= KILLS, "each kill leaves one temporary file at most"
        assert not (audiocli.folder / "cache/replies.sqlite").exists() or sound(audiocli.folder / "cache")[0] == "ok"
    resumed = audiocli(*task, "-o", "out")
    assert resumed.code == 0 and "set aside" not in resumed.err and "goes on without" not in resumed.err
    left = written(audiocli.folder / "out")
    assert {path: left[path] for path in expected} == expected
    assert any(event["cached"] for event in resumed.events if event["event"] == "progress")


# Room, and places to write to


@pytest.fixture
def small_disk(audiocli):
    """A folder on a disk with room for 32 kB, where this machine lends one."""
    folder = audiocli.folder / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    try:
        lent = subprocess.run(mount, capture_output=True, timeout=30).returncode == 0
    except OSError:
        lent = False
    if not lent:
        pytest.skip("no disk may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


def limited(size):
    """For a child: no file may grow beyond `size` bytes, which fails as a full disk does."""
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def much(audiocli, say):
    """A recording whose transcript takes more than 40 kB as JSON."""
    words = [(0.5 + 0.5 * n, n % 60) for n in range(300)]
    return say(audiocli.folder / "much.wav", words, 151.0)


MUCH = ["transcribe", "much.wav", "--engine", "fake", "--word-timestamps", "-f", "json"]


def refused_and_resumed(audiocli, folder, ended, make_room):
    """One line, exit 3, nothing half done; and with room, the rest of the way costs nothing again."""
    code, said = ended
    errors = [line for line in said.splitlines() if line.startswith("audiocli: error: ")]
    assert code == 3 and len(errors) == 1 and "much.json: cannot be written: " in errors[0] and "Traceback" not in said
    assert written(folder) == {}, "half a result was left behind"
    make_room()
    again = audiocli(*MUCH, "-o", folder, "--progress", "json")
    assert again.code == 0 and (folder / "much.json").stat().st_size > 40_000
    return [event["cached"] for event in again.events if event["event"] == "progress"]


def test_a_file_that_may_not_grow_is_one_line_and_leaves_nothing(audiocli, say):
    much(audiocli, say)
    process = audiocli.start(*MUCH, "-o", "out", "--no-cache", stderr=subprocess.PIPE, preexec_fn=limited(8_000))
    said = process.communicate(timeout=120)[1].decode()
    refused_and_resumed(audiocli, audiocli.folder / "out", (process.returncode, said), lambda: None)


def test_a_full_disk_is_one_line_and_leaves_nothing_and_the_run_goes_on_when_there_is_room(audiocli, say, small_disk):
    much(audiocli, say)
    run = audiocli(*MUCH, "-o", small_disk)

    def make_room():
        subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True, timeout=30)

    assert "No space left on device" in run.err
    cached = refused_and_resumed(audiocli, small_disk, (run.code, run.err), make_room)
    assert cached and all(cached), "what was heard was not kept"


def test_no_room_for_the_store_means_no_store_not_no_result(audiocli, say, small_disk):
    much(audiocli, say)
    run = audiocli(*MUCH, "--cache-dir", small_disk)
    assert run.code == 0 and len(run.documents[0]["text"].split()) == 300
    assert run.err.count("goes on without stored replies") == 1 and not run.errors


@pytest.mark.skipif(sys.platform != "linux", reason="a device that is always full")
def test_a_full_disk_behind_stdout_is_one_line_and_exit_3(audiocli, say):
    say(audiocli.folder / "a.wav", [(1.0, 1)], 2.0)
    with Path("/dev/full").open("wb") as full:
        process = audiocli.start("transcribe", "a.wav", "--engine", "fake", stdout=full, stderr=subprocess.PIPE)
        said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 3
    assert said == "audiocli: error: standard output: cannot be written to: No space left on device\n"


def test_without_a_stdout_a_folder_is_asked_for_before_any_work(audiocli, say):
    say(audiocli.folder / "a.wav", [(1.0, 1)], 2.0)
    process = audiocli.start(
        "transcribe", "a.wav", "--engine", "fake", stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1)
    )
    said = process.communicate(timeout=120)[1].decode()
    assert (process.returncode, said) == (3, "audiocli: error: standard output is closed; give a folder with -o\n")


@pytest.fixture
def held(audiocli, say):
    """A run whose first result is written, and whose second input is a pipe that nobody has written to yet."""
    say(audiocli.folder / "a.wav", [(1.0, 1)], 2.0)
    recording = say(audiocli.folder / "c.wav", [(1.0, 3)], 2.0).read_bytes()
    os.mkfifo(audiocli.folder / "b.wav")
    task = ["transcribe", "a.wav", "b.wav", "c.wav", "--engine", "fake", "--batch-size", "1", "-f", "txt", "-o", "out"]
    process = audiocli.start(*task, stderr=subprocess.PIPE)
    wait_for(lambda: (audiocli.folder / "out/a.txt").exists())

    def go_on():
        (audiocli.folder / "b.wav").write_bytes(recording)
        said = process.communicate(timeout=120)[1].decode()
        assert "Traceback" not in said
        return process.returncode, [line for line in said.splitlines() if line.startswith("audiocli: error: ")]

    yield go_on
    process.kill()
    process.wait(60)


def test_an_output_folder_removed_midway_is_made_again(audiocli, held):
    (audiocli.folder / "out/a.txt").unlink()
    (audiocli.folder / "out").rmdir()
    assert held() == (0, [])
    assert sorted(map(str, written(audiocli.folder / "out"))) == ["b.txt", "c.txt"]


def test_an_output_folder_that_is_taken_away_midway_ends_the_run_in_one_line(audiocli, held):
    (audiocli.folder / "out").rename(audiocli.folder / "before")
    (audiocli.folder / "out").write_text("not a folder")
    code, errors = held()
    assert code == 3 and len(errors) == 1 and "out/b.txt: cannot be written: " in errors[0]
    assert sorted(map(str, written(audiocli.folder / "before"))) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_made_read_only_midway_ends_the_run_in_one_line(audiocli, held):
    (audiocli.folder / "out").chmod(0o500)
    try:
        code, errors = held()
    finally:
        (audiocli.folder / "out").chmod(0o700)
    assert code == 3 and len(errors) == 1 and "out/b.txt: cannot be written: Permission denied" in errors[0]


# Inputs that do not stay as they are


def test_a_file_that_vanishes_before_its_turn_costs_itself_only(audiocli, held):
    (audiocli.folder / "c.wav").unlink()
    assert held() == (4, ["audiocli: error: c.wav: no such file"])
    assert sorted(map(str, written(audiocli.folder / "out"))) == ["a.txt", "b.txt"]


def test_a_file_that_is_cut_or_removed_while_it_is_read_gives_what_was_there_and_says_so(audiocli, say):
    """Ten minutes of speech, so that the run is far from its end when its first window is answered."""
    words = [(0.5 + word, word % 90) for word in range(595)]
    for name in ("cut.wav", "removed.wav"):
        path = say(audiocli.folder / name, words, 600.0)
        task = ["transcribe", name, "--engine", "fake", "--batch-size", "1", "--progress", "json", "-f", "json"]
        process = audiocli.start(*task, "-o", "out", "--no-cache", stderr=subprocess.PIPE)
        with process.stderr as lines:
            next(heard(lines))
            if name == "cut.wav":
                os.truncate(path, path.stat().st_size // 2)
            else:
                path.unlink()
            rest = lines.read().decode()
        assert process.wait(120) == 0 and "Traceback" not in rest
        document = json.loads((audiocli.folder / "out" / name).with_suffix(".json").read_text())
        assert len(document["text"].split()) == 595 or any("could be read" in one for one in document["warnings"])
        assert document["coverage"]["sum"] == pytest.approx(document["duration"], abs=0.01)


# Many


@pytest.mark.slow
def test_five_thousand_small_files_are_each_done_once(audiocli, say):
    recording = say(audiocli.folder / "one.wav", [(0.1, 1)], 0.5)
    (audiocli.folder / "in").mkdir()
    for n in range(5_000):
        (audiocli.folder / "in" / f"{n}.wav").hardlink_to(recording)
    run = audiocli("transcribe", "in", "--engine", "fake", "-f", "json", "--quiet")
    assert (run.code, run.err) == (0, "")
    assert [one["stem"] for one in run.documents] == [str(n) for n in range(5_000)]
    assert {one["text"] for one in run.documents} == {"w1"}
