"""What `audiocli.cell` promises: the sound `audiocli.audio` gives, and a decoder that takes only its own file down."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocli import cell as cells
from audiocli.audio import BLOCK_S, open_audio
from audiocli.cell import HEADER, PROGRAM, Cell
from audiocli.errors import AudiocliError, DecodeError, SourceError
from audiocli.records import RATE
from audiocli.road import Road

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
BLOCK = BLOCK_S * RATE

posix = pytest.mark.skipif(os.name != "posix", reason="signals and named pipes")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def shared():
    """One cell for what does it no harm."""
    cell = Cell()
    yield cell
    cell.close()


@pytest.fixture
def cell():
    cell = Cell()
    yield cell
    cell.close()


@pytest.fixture
def hours(tmp_path):
    """Eight hours of silence at 16 kHz, in a file without content."""
    path, samples = tmp_path / "hours.wav", 8 * 3600 * RATE
    soundfile.write(path, np.zeros(1, np.int16), RATE)
    with path.open("r+b") as file:
        file.seek(4)
        file.write((36 + 2 * samples).to_bytes(4, "little"))
        file.seek(40)
        file.write((2 * samples).to_bytes(4, "little"))
        file.truncate(44 + 2 * samples)
    return path


def heard(opener, path, channel=None):
    """Samples, info and warnings of a file, or the error it gives."""
    try:
        with opener(Path(path), channel) as recording:
            blocks = list(recording)
            assert recording.samples == sum(map(len, blocks))
            return np.concatenate(blocks), recording.info, recording.warnings
    except AudiocliError as exc:
        return type(exc), str(exc)


def works(cell):
    """A file is heard whole, in another process."""
    samples, _, warnings = heard(cell.open, SAMPLES / "pauses.flac")
    np.testing.assert_array_equal(samples, heard(open_audio, SAMPLES / "pauses.flac")[0])
    return warnings == () and cell.pid not in (None, os.getpid())


def until_gone(pid):
    """Wait for another process's end, without being its parent."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([ended], [], [], 30)[0])
    finally:
        os.close(ended)


# The same as in this process


@pytest.mark.parametrize("name", ["call.ogg", "rain.wav", "lecture.m4a", "voicemail.mp3"])
def test_the_sound_of_a_recording_is_the_same_to_the_last_bit(shared, name):
    samples, info, warnings = heard(shared.open, SAMPLES / name)
    mine = heard(open_audio, SAMPLES / name)
    np.testing.assert_array_equal(samples, mine[0])
    assert samples.dtype == np.float32
    assert (info, warnings) == mine[1:]


def test_one_channel_is_heard_and_one_that_is_not_there_refused(shared):
    right = heard(shared.open, SAMPLES / "call.ogg", 1)
    np.testing.assert_array_equal(right[0], heard(open_audio, SAMPLES / "call.ogg", 1)[0])
    assert not np.array_equal(right[0], heard(shared.open, SAMPLES / "call.ogg", 0)[0])
    assert heard(shared.open, SAMPLES / "call.ogg", 2) == (DecodeError, "there is no channel 3: there are 2, 1 to 2")


def test_errors_and_warnings_come_across_as_they_are(shared, tmp_path):
    (tmp_path / "empty.mp3").write_bytes(b"")
    (tmp_path / "text.wav").write_text("Dear all,\n" * 40)
    whole = (SAMPLES / "rain.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder.wav").mkdir()
    for name in ("missing.wav", "folder.wav"):
        error = heard(shared.open, tmp_path / name)
        assert error == heard(open_audio, tmp_path / name)
        assert error[0] is SourceError
    for name in ("empty.mp3", "text.wav"):
        error = heard(shared.open, tmp_path / name)
        assert error == heard(open_audio, tmp_path / name)
        assert error[0] is DecodeError
    cut = heard(shared.open, tmp_path / "cut.wav")
    assert cut[2] == heard(open_audio, tmp_path / "cut.wav")[2] != ()


def test_any_name_and_a_relative_one_is_opened(shared, tmp_path, monkeypatch):
    shared.start()
    for name in (os.fsdecode(b"caf\xe9.wav"), "new\nline.wav", "a b%03d.wav"):
        with (tmp_path / name).open("wb") as file:
            soundfile.write(file, np.zeros(RATE), RATE, format="WAV")
        monkeypatch.chdir(tmp_path)
        assert len(heard(shared.open, name)[0]) == RATE, name


def test_a_block_can_be_changed_without_harm(shared):
    whole = heard(open_audio, SAMPLES / "call.ogg")[0]
    with shared.open(SAMPLES / "call.ogg") as recording:
        for index, block in enumerate(recording):
            np.testing.assert_array_equal(block, whole[index * BLOCK :][: len(block)])
            block[:] = 9


def test_a_recording_that_was_left_early_does_not_disturb_the_next(shared, hours):
    assert works(shared)
    pid = shared.pid
    with shared.open(hours) as recording:
        assert recording.info.duration_s == 8 * 3600  # not one block was asked for
    assert works(shared)
    with shared.open(hours) as recording:
        assert len(next(iter(recording))) == BLOCK
    with pytest.raises(KeyError), shared.open(hours) as recording:
        next(iter(recording))
        raise KeyError
    assert works(shared)
    assert shared.pid == pid


def test_no_more_is_decoded_than_was_asked_for(hours):
    """Spoken to directly: two blocks asked for, two given, though the file has thousands."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(2**32), str(ROOT), *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        found = hours.stat()
        ask = f'{{"path": "{hours.as_posix()}", "channel": null, "file": [{found.st_dev}, {found.st_ino}]}}\n'
        worker.stdin.write(ask.encode() + b'"next"\n"next"\n"leave"\n')
        worker.stdin.flush()
        kinds = []
        while cells.END not in kinds:
            kind, length = HEADER.unpack(worker.stdout.read(HEADER.size))
            worker.stdout.read(length)
            kinds.append(kind)
        worker.stdin.close()
        assert worker.wait(30) == 0
    assert kinds == [cells.TAKEN, cells.INFO, cells.BLOCK, cells.BLOCK, cells.END]


# A decoder that is lost


@posix
@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGSEGV, "crashed (SIGSEGV)"), (signal.SIGKILL, "was killed (SIGKILL)")]
)
def test_a_death_midway_costs_the_rest_of_this_file_only(cell, hours, number, words):
    with cell.open(hours) as recording:
        blocks = iter(recording)
        for _ in range(6):
            next(blocks)
        os.kill(cell.pid, number)
        rest = list(blocks)
    assert len(rest) <= 3  # what was on its way
    minute = f"{(60 + 10 * len(rest)) // 60}:{(60 + 10 * len(rest)) % 60:02}"
    assert recording.warnings == (f"the decoder {words} at {minute} of this file; what follows could not be read",)
    assert works(cell)


@posix
def test_what_was_wrong_before_a_death_is_told_all_the_same(cell, hours):
    with hours.open("r+b") as file:
        file.seek(40)
        file.write(b"\xff\xff\xff\xff")
    with cell.open(hours) as recording:
        blocks = iter(recording)
        next(blocks)
        os.kill(cell.pid, signal.SIGKILL)
        list(blocks)
    assert "does not say how long" in recording.warnings[0]
    assert "was killed" in recording.warnings[-1]


@posix
def test_a_read_that_never_ends_is_ended(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    cell = Cell(patience_s=4.0)
    try:
        assert works(cell)
        pid = cell.pid
        assert heard(cell.open, tmp_path / "pipe.wav") == (
            DecodeError,
            "the decoder hung for 4 s when it opened this file",
        )
        assert cell.pid is None
        assert works(cell)
        assert cell.pid != pid
    finally:
        cell.close()


@posix
def test_a_decoder_that_hangs_midway_gives_what_it_had(hours):
    cell = Cell(patience_s=4.0)
    try:
        with cell.open(hours) as recording:
            blocks = iter(recording)
            next(blocks)
            os.kill(cell.pid, signal.SIGSTOP)
            list(blocks)
        assert len(recording.warnings) == 1
        assert recording.warnings[0].startswith("the decoder hung for 4 s at 0:")
        assert works(cell)
    finally:
        cell.close()


@linux
def test_a_file_that_takes_too_much_memory_fails_alone(tmp_path):
    """At 1 kHz a piece of 1 MB becomes 17 MB at 16 kHz, and is copied."""
    soundfile.write(tmp_path / "swells.wav", np.zeros(600_000, np.int16), 1000)
    cell = Cell(memory=40 * 2**20)
    try:
        ran_out = (DecodeError, "the decoder ran out of memory when it opened this file")
        assert heard(cell.open, tmp_path / "swells.wav") == ran_out
        assert works(cell)
    finally:
        cell.close()


@linux
def test_memory_that_runs_out_midway_leaves_what_was_heard(cell, hours):
    import resource

    with cell.open(hours) as recording:
        blocks = iter(recording)
        next(blocks)
        mapped = int(Path(f"/proc/{cell.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(cell.pid, resource.RLIMIT_AS, (mapped // 2, mapped // 2))
        list(blocks)
    assert BLOCK <= recording.samples < 8 * 3600 * RATE
    assert "ran out of memory at 0:" in recording.warnings[-1]
    assert works(cell)


@posix
def test_a_process_that_dies_between_files_is_replaced_without_a_word(cell, caplog):
    for _ in range(3):
        assert works(cell)
        os.kill(cell.pid, signal.SIGKILL)
        assert works(cell)
    assert not caplog.records


@posix
def test_ctrl_c_is_the_parents_affair(cell):
    whole = heard(open_audio, SAMPLES / "call.ogg")[0]
    with cell.open(SAMPLES / "call.ogg") as recording:
        blocks = iter(recording)
        first = next(blocks)
        os.kill(cell.pid, signal.SIGINT)
        np.testing.assert_array_equal(np.concatenate([first, *blocks]), whole)
    assert recording.warnings == ()


def test_windows_before_a_death_are_heard_and_the_warning_reaches_the_road(cell):
    killed = []

    class Killer:
        def push(self, block):
            if not killed:
                killed.append(cell.pid)
                cell.close()

    road = Road(
        SAMPLES / "meeting.mp3", channel=None, detector="off", window_s=5.0, listeners=[Killer()], opener=cell.open
    )
    windows = [window for window, _ in road]
    assert BLOCK <= road.heard <= 4 * BLOCK
    assert windows[-1].stop == road.heard
    assert len(road.warnings) == 1 and "what follows could not be read" in road.warnings[0]


# The process


@linux
def test_five_hundred_files_leave_nothing_behind(cell, tmp_path):
    path = tmp_path / "short.flac"
    soundfile.write(path, np.zeros(RATE // 2), RATE)

    def held():
        own, its = (len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in ("self", cell.pid))
        resident = int(Path(f"/proc/{cell.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return own, its, threading.active_count(), resident

    for index in range(500):
        assert len(heard(cell.open, path if index % 5 else tmp_path)) == (3 if index % 5 else 2)
        if index == 50:
            before, pid = held(), cell.pid
    after = held()
    assert cell.pid == pid
    assert after[:3] == before[:3]
    assert after[3] - before[3] < 10 * 2**20


@linux
def test_closing_ends_the_process_and_frees_what_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    cell, found = Cell(), []
    assert works(cell)
    pid = cell.pid
    waiting = threading.Thread(target=lambda: found.append(heard(cell.open, tmp_path / "pipe.wav")))
    waiting.start()
    writer = os.open(tmp_path / "pipe.wav", os.O_WRONLY)  # returns when the worker has opened it to read
    cell.close()
    waiting.join(30)
    os.close(writer)
    assert not waiting.is_alive() and found[0][0] is DecodeError
    assert until_gone(pid) and cell.pid is None
    with pytest.raises(DecodeError, match="closed"):
        cell.start()
    cell.close()


ORPHAN = """
import sys
from pathlib import Path
from audiocli.cell import Cell

cell = Cell()
with cell.open(Path(sys.argv[1])) as recording:
    print(cell.pid, flush=True)
with cell.open(Path(sys.argv[2])) as recording:
    list(recording)
"""


@linux
@pytest.mark.parametrize("hangs", [True, False])
def test_a_parent_that_is_killed_leaves_no_orphan(tmp_path, hours, hangs):
    os.mkfifo(tmp_path / "pipe.wav")
    second = tmp_path / "pipe.wav" if hangs else hours
    command = [sys.executable, "-c", ORPHAN, str(SAMPLES / "rain.wav"), str(second)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        writer = os.open(second, os.O_WRONLY) if hangs else None  # returns when the worker has opened it to read
        parent.kill()
    assert until_gone(pid)
    if writer is not None:
        os.close(writer)


def run_script(path, *arguments, **options):
    return subprocess.run(
        [sys.executable, str(path), *map(str, arguments)], capture_output=True, text=True, timeout=120, **options
    )


UNGUARDED = """
import sys
from pathlib import Path
from audiocli.cell import Cell

print("once")
cell = Cell()
with cell.open(Path(sys.argv[1])) as recording:
    print(cell.pid is not None, sum(map(len, recording)))
cell.close()
"""


def test_a_script_without_a_guard_runs_once(tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    done = run_script(tmp_path / "script.py", SAMPLES / "rain.wav", env={**os.environ, "PYTHONPATH": str(ROOT)})
    samples = len(heard(open_audio, SAMPLES / "rain.wav")[0])
    assert (done.stdout, done.stderr) == (f"once\nTrue {samples}\n", "")


def test_the_package_works_from_a_zip_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as packed:
        for module in (ROOT / "audiocli").glob("*.py"):
            packed.write(module, f"audiocli/{module.name}")
        packed.writestr("__main__.py", UNGUARDED)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = run_script(tmp_path / "app.zip", SAMPLES / "rain.wav", cwd=tmp_path, env=environment)
    assert (done.stdout.splitlines()[0], done.stderr) == ("once", "")
    assert done.stdout.splitlines()[1].startswith("True ")


@linux
def test_standard_input_by_its_name_is_that_of_the_parent():
    script = textwrap.dedent(UNGUARDED)
    with (SAMPLES / "rain.wav").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", script, "/dev/stdin"], cwd=ROOT, stdin=file, capture_output=True, text=True
        )
    assert str(len(heard(open_audio, SAMPLES / "rain.wav")[0])) in done.stdout, done.stderr


def test_the_process_loads_what_decoding_needs_and_no_model():
    report = "import audiocli.cell, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"av", "soundfile", "numpy"} <= loaded
    assert not loaded & {"torch", "transformers", "scipy", "librosa", "typer", "rich", "yaml", "webrtcvad"}


@pytest.mark.parametrize("missing", ["", "no-such-interpreter"])
def test_without_a_process_recordings_are_decoded_here_with_one_warning(tmp_path, monkeypatch, caplog, missing):
    monkeypatch.setattr(sys, "executable", missing and str(tmp_path / missing))
    cell = Cell()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            samples, info, warnings = heard(cell.open, SAMPLES / "rain.wav")
    assert cell.pid is None
    np.testing.assert_array_equal(samples, heard(open_audio, SAMPLES / "rain.wav")[0])
    assert [record.message.split(" (")[0] for record in caplog.records] == ["no process for the decoder"]
    cell.close()


def test_an_interpreter_that_cannot_run_us_is_found_out(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    cell, started = Cell(), time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert len(heard(cell.open, SAMPLES / "rain.wav")[0])
    assert time.monotonic() - started < cells.PATIENCE_S
    assert "crashed (exit code 1)" in caplog.text
    cell.close()
