"""The decoder's cell: the same blocks as `audiocli.audio` gives, decoded in a process that may die without us.

A path comes in, float32 blocks at 16 kHz go out, with the same errors and warnings. Decoders are C libraries that read
whatever strangers made: one that crashes, hangs or eats memory ends its own process, and costs the rest of its own
file. That process is started once, kept from file to file, and replaced after a death; it imports what decoding needs
and nothing else, and ends with its parent, however that ends. This room does not know jobs, speech or windows.

Lines of JSON go to the worker: what to open, then "next" for each block that may be decoded, and "leave" to be done
with the file. Back come messages: a kind (1 byte), a length (4 bytes), and a block's raw samples or JSON. No more than
`AHEAD` blocks are asked for at a time, so that neither pipe nor queue grows.
"""

from __future__ import annotations

import io
import json
import logging
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np

from audiocli import audio
from audiocli.errors import DecodeError, JobError, SourceError
from audiocli.records import RATE, AudioInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from audiocli.audio import Recording
    from audiocli.records import Waveform

    Asked: TypeAlias = queue.SimpleQueue[Any]

PATIENCE_S = 120.0
"""A decoder that gives no sign of life for so long hangs. Network disks stall for a minute when they fail over."""
START_S = 60.0
"""How long a new process may take at least to read its first question: its libraries may come from a cold disk."""
MEMORY = 4 * 2**30
"""Bytes a decoder may take beyond what its libraries map when they are loaded; a video's index takes a few 100 MB."""
AHEAD = 2
"""Blocks asked for before the first has come: one on its way, one in the making."""
TICK_S = 1.0
"""Patience is counted in steps of this: a run that was stopped (Ctrl-Z) or slept for hours loses one step, not all."""
FAREWELL_S = 5.0
"""How long a process may take to be gone once it was killed, or has closed its pipe."""

HEADER = struct.Struct("<cI")
TAKEN, INFO, BLOCK, WARNINGS, END, ERROR, ELSEWHERE = (bytes([letter]) for letter in b"TIBWEXL")
"""Taken: the question was read, what happens from now on is due to the file. Elsewhere: its name leads to another file
in the worker, as /dev/stdin does."""
LAST = (END, ERROR, ELSEWHERE)
"""With each of these the worker is done with the file."""
LONGEST = 4 * audio.BLOCK_S * RATE
"""Bytes in a message: those of a block. A larger number comes from a worker whose memory was overwritten."""
KINDS = (TAKEN, INFO, BLOCK, WARNINGS, *LAST)
ERRORS: dict[str, type[JobError]] = {"DecodeError": DecodeError, "SourceError": SourceError}
"""What goes from worker to parent as it is."""

PROGRAM = """\
import sys
sys.path[:] = sys.argv[2:]
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from audiocli.cell import serve
serve(int(sys.argv[1]))
"""
"""What the worker runs: modules are found where ours are, also in a zip file, and no script of a user runs again.
Ctrl-C reaches both processes, but it is the parent that decides what becomes of the worker."""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""NumPy would start a thread for each core, with a stack each, for algebra that decoding has none of."""

log = logging.getLogger(__name__)


class Cell:
    """Opens recordings in a process of its own: one at a time, by one thread.

    patience_s: how long a decoder may give no sign of life before it is killed.
    memory: bytes it may take, where the platform can limit that (Linux; in vain on macOS and Windows).
    Where no process can be started, as in a frozen program, recordings are decoded in this one, with one warning.
    """

    def __init__(self, *, patience_s: float = PATIENCE_S, memory: int = MEMORY) -> None:
        self._patience_s, self._memory = patience_s, memory
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._closed = self._alone = False

    def start(self) -> None:
        """Begin to start the process, which takes it a quarter of a second; else the first `open` does."""
        self._ready()

    def close(self) -> None:
        """End the process; a block that another thread waits for does not come any more."""
        with self._lock:
            self._closed = True
            worker, self._worker = self._worker, None
        if worker:
            worker.end()

    @property
    def pid(self) -> int | None:
        """Of the process, while it lives."""
        worker = self._worker
        return worker.pid if worker and worker.alive else None

    @contextmanager
    def open(self, path: Path, channel: int | None = None) -> Iterator[Recording]:
        """Opens a recording for one pass, like `audio.open_audio`; raises what that raises.

        A decoder that is lost before it gave a block is a DecodeError; afterwards the recording ends where it was lost,
        and a warning says so.
        """
        worker = self._begun(path, channel)
        recording = _opened(worker, self._patience_s) if worker else None
        if worker is None or recording is None:
            with audio.open_audio(path, channel) as reader:
                yield reader
            return
        try:
            yield recording
        finally:
            worker.leave()

    def _begun(self, path: Path, channel: int | None) -> _Worker | None:
        """A worker that has taken the question; one that died since the last file is replaced without a word."""
        question = _question(path, channel)
        for last_try in (False, True):
            worker = self._ready()
            if worker is None:
                return None
            try:
                worker.begin(question, self._patience_s)
            except _LostError as exc:
                if last_try and not self._closed:
                    self._give_up(str(exc))
            else:
                return worker
        return self._ready()

    def _ready(self) -> _Worker | None:
        with self._lock:
            if self._closed:
                raise DecodeError("the decoder was closed")
            if self._worker and not self._worker.alive:
                self._worker.end()  # lets go of its pipes
                self._worker = None
            if self._worker is None:
                self._worker = None if self._alone else self._started()
            return self._worker

    def _started(self) -> _Worker | None:
        if getattr(sys, "frozen", False) or not sys.executable:
            self._give_up("there is no Python interpreter to start")
            return None
        try:
            return _Worker(self._memory)
        except OSError as exc:
            self._give_up(str(exc))
            return None

    def _give_up(self, why: str) -> None:
        self._alone = True
        log.warning("no process for the decoder (%s): a damaged file could end the whole run", why)


class _LostError(Exception):
    """The worker is gone; its text is what follows "the decoder"."""


class _Message(NamedTuple):
    kind: bytes
    body: npt.NDArray[np.uint8]

    @property
    def told(self) -> Any:
        return json.loads(self.body.tobytes())


class _Worker:
    """The process, seen from its parent. A thread takes what comes out of it, so that waiting can have an end."""

    def __init__(self, memory: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(memory), *map(os.path.abspath, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what a C library says when it aborts is no message of ours
            env={**os.environ, **ONE_THREAD},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert self._process.stdin
        assert isinstance(self._process.stdout, io.BufferedReader)
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._come: queue.SimpleQueue[_Message | None] = queue.SimpleQueue()
        self._busy = False
        self._thread = threading.Thread(target=self._receive, name="audiocli-cell", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def begin(self, question: object, patience_s: float) -> None:
        """Ask for a file, once the last one was left. Raises _LostError if the process is gone, or does not take it."""
        while self._busy:
            self.hear(patience_s)
        self._busy = True
        self.tell(question)
        self.hear(max(patience_s, START_S))

    def leave(self) -> None:
        """Be done with a file, wherever it stands; what is on its way is let pass when the next one begins."""
        if self._busy:
            self.tell("leave")

    def tell(self, word: object) -> None:
        """A process that is gone is found out when it is heard."""
        with suppress(OSError, ValueError):
            self._stdin.write(json.dumps(word).encode() + b"\n")
            self._stdin.flush()

    def hear(self, patience_s: float) -> _Message:
        """What comes next. Raises _LostError, with the process ended, when nothing does."""
        waited_s = 0.0
        while waited_s < patience_s:
            step_s = min(TICK_S, patience_s - waited_s)
            try:
                message = self._come.get(timeout=step_s)
            except queue.Empty:
                waited_s += step_s
                continue
            if message is None:
                raise _LostError(self._fate())
            self._busy = message.kind not in LAST
            return message
        self.end()
        raise _LostError(f"hung for {patience_s:.3g} s")

    def end(self) -> None:
        """Kill it: it holds nothing that could be lost."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # one that waits for a dead disk goes when the disk does
            self._process.wait(FAREWELL_S)
        self._thread.join(FAREWELL_S)
        with suppress(OSError):
            self._stdin.close()

    def _receive(self) -> None:
        try:
            for message in _messages(self._stdout):
                self._come.put(message)
        finally:
            self._come.put(None)

    def _fate(self) -> str:
        """How it ended, once its pipe is closed."""
        try:
            code = self._process.wait(FAREWELL_S)
        except subprocess.TimeoutExpired:
            code = None
        self.end()
        if code is None:
            return "stopped answering"
        if code >= 0:
            return f"crashed (exit code {code if code < 256 else hex(code)})"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"was killed ({name})" if name == "SIGKILL" else f"crashed ({name})"


def _messages(pipe: io.BufferedReader) -> Iterator[_Message]:
    """Until the pipe ends, or what comes makes no sense."""
    with pipe:
        while len(header := pipe.read(HEADER.size)) == HEADER.size:
            kind, length = HEADER.unpack(header)
            if kind not in KINDS or length > LONGEST:
                return
            body = np.empty(length, np.uint8)
            if pipe.readinto(body.data) < length:
                return
            yield _Message(kind, body)


def _question(path: Path, channel: int | None) -> dict[str, Any]:
    """What to open, and which file that is: names such as /dev/stdin mean another one in each process."""
    return {"path": str(path.absolute()), "channel": channel, "file": _identity(path)}


def _identity(path: Path) -> list[int] | None:
    """Device and number of the file; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return [found.st_dev, found.st_ino]


def _opened(worker: _Worker, patience_s: float) -> _Remote | None:
    """The recording that a worker has begun to read; None where it finds another file by that name."""
    try:
        message = worker.hear(patience_s)
    except _LostError as exc:
        raise DecodeError(f"the decoder {exc} when it opened this file") from None
    if message.kind == ERROR:
        raise _carried(worker, message, 0)
    return _Remote(worker, AudioInfo(**message.told), patience_s) if message.kind == INFO else None


class _Remote:
    """A `Recording` whose blocks come from a worker."""

    def __init__(self, worker: _Worker, info: AudioInfo, patience_s: float) -> None:
        self.info = info
        self.samples = 0
        self.warnings: tuple[str, ...] = ()
        self._worker, self._patience_s = worker, patience_s
        self._blocks = self._received()

    def __iter__(self) -> Iterator[Waveform]:
        return self._blocks

    def _received(self) -> Iterator[Waveform]:
        for _ in range(AHEAD):
            self._worker.tell("next")
        try:
            while (message := self._worker.hear(self._patience_s)).kind not in LAST:
                if message.kind == BLOCK:
                    block = message.body.view(np.float32)
                    self.samples += len(block)
                    self._worker.tell("next")
                    yield block
                else:
                    self.warnings = tuple(message.told)
            if message.kind == ERROR:
                raise _carried(self._worker, message, self.samples)
            self.warnings = tuple(message.told)
        except _LostError as exc:
            lost = f"the decoder {exc} at {_clock(self.samples)} of this file"
            if not self.samples:
                raise DecodeError(lost) from None
            self.warnings = (*self.warnings, f"{lost}; what follows could not be read")


def _carried(worker: _Worker, message: _Message, samples: int) -> JobError | _LostError:
    """The error that was raised in the worker. Where memory ran out there, the process is not used again."""
    kind, text = message.told
    if kind == "MemoryError":
        worker.end()
        if samples:
            return _LostError("ran out of memory")
        return DecodeError("the decoder ran out of memory when it opened this file")
    return ERRORS[kind](text) if kind in ERRORS else DecodeError(f"unexpected {kind}: {text}")


def _clock(samples: int) -> str:
    """12:34, or 1:02:03."""
    minutes, second = divmod(samples // RATE, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


# In the worker


def serve(memory: int) -> None:
    """The worker's life: one file after the other, until the parent closes the pipe or is gone.

    memory: bytes beyond what is mapped by now that may be taken.
    """
    commands, out = _pipes()
    _limit(memory)
    asked: Asked = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(commands, asked), daemon=True).start()
    while True:
        word = asked.get()
        if isinstance(word, dict):  # else it is said of the file before, which has ended by itself
            _say(out, TAKEN)
            _decode(word, asked, out)


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Both ends for us alone: what libraries print, or read, must not get among the messages."""
    commands, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    return commands, out


def _limit(memory: int) -> None:
    """The platform's limits, as far as it has them and lets us. A crash leaves no core file of gigabytes."""
    try:
        import resource
    except ImportError:
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        allowed = pages * resource.getpagesize() + memory
        limits = [one for one in resource.getrlimit(resource.RLIMIT_AS) if one != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min([allowed, *limits]),) * 2)


def _listen(commands: BinaryIO, asked: Asked) -> None:
    """A thread of its own, so that the parent's end is noticed while a decoder hangs."""
    for line in commands:
        asked.put(json.loads(line))
    os._exit(0)


def _decode(question: dict[str, Any], asked: Asked, out: BinaryIO) -> None:
    try:
        path = Path(question["path"])
        if _identity(path) != question["file"]:
            _tell(out, ELSEWHERE, None)
            return
        with audio.open_audio(path, question["channel"]) as reader:
            _tell(out, INFO, asdict(reader.info))
            _give(reader, asked, out)
            warnings = reader.warnings
        _tell(out, END, warnings)
    except BrokenPipeError:
        raise
    except Exception as exc:
        kind = "MemoryError" if isinstance(exc, MemoryError) else type(exc).__name__
        _tell(out, ERROR, [kind, " ".join(str(exc).split())[: LONGEST // 16]])


def _give(reader: Recording, asked: Asked, out: BinaryIO) -> None:
    """Blocks as they are asked for, and warnings as they arise: who dies later has told them."""
    blocks, told = iter(reader), reader.warnings
    if told:
        _tell(out, WARNINGS, told)
    while asked.get() == "next" and (block := next(blocks, None)) is not None:
        if reader.warnings != told:
            told = reader.warnings
            _tell(out, WARNINGS, told)
        _say(out, BLOCK, block.data.cast("B"))


def _tell(out: BinaryIO, kind: bytes, told: object) -> None:
    _say(out, kind, json.dumps(told).encode())


def _say(out: BinaryIO, kind: bytes, body: bytes | memoryview = b"") -> None:
    out.write(HEADER.pack(kind, len(body)))
    out.write(body)
    out.flush()
