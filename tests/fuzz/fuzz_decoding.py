"""Feeds the decoding road damaged recordings, each in a process of its own with little time and memory, and counts.

    python tests/fuzz/fuzz_decoding.py --count 2000 [--first N] [--more FOLDER] [--keep FOLDER]

Numbers of inputs come in (`mutations` makes them), a table goes out, and every input that broke a promise by its
number. The promises: sound in −1…1 that is finite, or a `JobError` of one line; no other exception, no crash, nothing
written to the terminal, no more than `CPU_S` of work, `WALL_S` in all, and `MEMORY` resident. Exit code 1 if one was
broken. Needs `fork`: libraries are loaded once, and an input costs a few milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # threads do not survive a fork
sys.path.insert(0, str(Path(__file__).parents[2]))  # this checkout, also where another one is installed

import numpy as np  # noqa: E402
from mutations import DAMAGES, Damaged, damaged, seeds  # noqa: E402

from audiocli.audio import open_audio  # noqa: E402
from audiocli.errors import JobError  # noqa: E402

SAMPLES = Path(__file__).parents[2] / "samples"
CPU_S = 20
"""Of work for one input of at most 200 kB: a hundred times what a whole one takes."""
WALL_S = 120.0
"""Against waiting for ever; long, because the machine may be busy."""
ADDRESS_SPACE = 4 * 2**30
"""Bytes at which allocation fails, so that a header that asks for more cannot take the machine along."""
MEMORY = 600 * 2**20
"""Bytes resident at most, libraries included (about 100 MB)."""
BROKEN = ("exception", "crash", "hang", "memory", "noise")
KINDS = ("sound", "warned", "refused", *BROKEN)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one input."""

    kind: str
    """One of `KINDS`."""
    said: str
    """Warnings, the reason for the refusal, or what was broken."""
    cost_s: float = 0.0


def main() -> int:
    options = _options()
    recordings = seeds((SAMPLES, *options.more))
    verdicts: list[tuple[Damaged, Verdict]] = []
    with tempfile.TemporaryDirectory(prefix="audiocli-fuzz-") as folder:
        for number in range(options.first, options.first + options.count):
            one = damaged(number, recordings)
            verdict = attempt(one, Path(folder))
            verdicts.append((replace(one, content=b""), verdict))
            if verdict.kind in BROKEN and options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{number}-{one.name}").write_bytes(one.content)
    print("\n".join(table(verdicts)))
    return int(any(verdict.kind in BROKEN for _, verdict in verdicts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Damaged recordings for the decoders.")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--more", type=Path, action="append", default=[], help="a folder of recordings to damage, too")
    parser.add_argument("--keep", type=Path, help="a folder for inputs that broke a promise")
    return parser.parse_args()


def attempt(one: Damaged, folder: Path) -> Verdict:
    """Decode one input in a child, and judge how it ended."""
    path, report, noise = folder / f"input{Path(one.name).suffix}", folder / "report", folder / "noise"
    path.write_bytes(one.content)
    report.write_bytes(b"")
    noise.write_bytes(b"")
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _decode_alone(path, report, noise)
    _, status, usage = os.wait4(child, 0)
    verdict = _judged(status, report.read_text(), noise.read_bytes(), usage.ru_maxrss * 1024)
    return replace(verdict, cost_s=time.monotonic() - started)


def _judged(status: int, report: str, noise: bytes, peak: int) -> Verdict:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        kind = "hang" if number in (signal.SIGXCPU, signal.SIGALRM) else "crash"
        return Verdict(kind, signal.Signals(number).name)
    if os.WEXITSTATUS(status) or not report:
        return Verdict("crash", f"exit code {os.WEXITSTATUS(status)}")
    if noise:
        return Verdict("noise", noise[:200].decode(errors="replace"))
    if peak > MEMORY:
        return Verdict("memory", f"{peak / 2**20:.0f} MB")
    return Verdict(**json.loads(report))


def _decode_alone(path: Path, report: Path, noise: Path) -> None:
    """In the child: never returns, whatever happens, and runs no handler of the parent."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.setitimer(signal.ITIMER_REAL, WALL_S)
        terminal = os.open(noise, os.O_WRONLY | os.O_APPEND)
        os.dup2(terminal, 1)
        os.dup2(terminal, 2)
        report.write_text(json.dumps(asdict(decoded(path))))
    finally:
        os._exit(0)


def decoded(path: Path) -> Verdict:
    """The road a recording takes, to its end."""
    try:
        with open_audio(path) as reader:
            for block in reader:
                if block.dtype != np.float32 or not np.isfinite(block).all() or np.abs(block).max() > 1:
                    return Verdict("exception", f"not samples: {block.dtype}, {block.min()} to {block.max()}")
            return Verdict("warned" if reader.warnings else "sound", "; ".join(reader.warnings))
    except JobError as exc:
        one_line = str(exc) and "\n" not in str(exc) and "\r" not in str(exc)
        return Verdict("refused" if one_line else "exception", str(exc) if one_line else f"not one line: {exc!r}")
    except Exception as exc:  # the very thing that is looked for
        return Verdict("exception", f"{type(exc).__name__}: {exc}")


def table(verdicts: list[tuple[Damaged, Verdict]]) -> Iterator[str]:
    """A row for each kind of damage, a line for each broken promise, and the slowest input."""
    yield f"{'damage':20}{'inputs':>8}" + "".join(f"{kind:>11}" for kind in KINDS)
    for name in (*DAMAGES, "all"):
        kinds = Counter(verdict.kind for one, verdict in verdicts if name in ("all", one.damage))
        yield f"{name:20}{kinds.total():>8}" + "".join(f"{kinds[kind]:>11}" for kind in KINDS)
    for one, verdict in verdicts:
        if verdict.kind in BROKEN:
            yield f"input {one.number} ({one.name}, {one.damage}): {verdict.kind}: {verdict.said}"
    slowest, its = max(verdicts, key=lambda pair: pair[1].cost_s)
    yield f"{len({one.name for one, _ in verdicts})} recordings; slowest: {slowest.number}, {its.cost_s:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
