"""The door's other half: what a run says of itself on stderr while it goes, and when it is over.

In go the conductor's Progress and Outcomes, out come a bar, lines, or events as JSON. Nothing here decides anything.
Third party: rich, imported when something is drawn.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audiocli.pipeline import Outcome, Progress
    from audiocli.records import Document, Job

MOST_ROWS = 40
"""A closing table longer than this shows what went wrong, and counts the rest."""


def notice(kind: str, message: str) -> str:
    """A message for people in one line, whatever a file's name or a library has put into it."""
    from audiocli.writers.said import line

    return f"audiocli: {kind}: {line(message)}"


@dataclass(frozen=True, slots=True)
class _Account:
    """What is kept of an input that is done. Its Document is not: a long run would hold all it ever heard."""

    cells: tuple[str, str, str, str, str]
    """Its row of the closing table."""
    audio_s: float | None
    """None where there is no Document."""
    failed: bool
    doubtful: bool = False
    """Whether something in its result should not be trusted."""


class Quiet:
    """Says nothing but errors; the other watchers add to it."""

    def __init__(self) -> None:
        self._jobs: frozenset[Job] = frozenset()
        self._accounts: list[_Account] = []
        self._started = time.monotonic()
        self._cached_s = 0.0

    def warn(self, message: str) -> None:
        """Something worth knowing that stopped nothing."""

    @contextmanager
    def running(self, jobs: Sequence[Job]) -> Iterator[None]:
        self._jobs = frozenset(jobs)
        yield

    def progress(self, progress: Progress) -> None:
        if progress.cached:
            self._cached_s += progress.heard_s

    def finished(self, outcome: Outcome) -> None:
        self._count(outcome)
        for error in _errors(outcome):
            self._line(notice("error", error))

    def close(self) -> None:
        """The run is over."""

    def _count(self, outcome: Outcome) -> None:
        if outcome.job in self._jobs:  # an answer over all inputs is no input
            self._accounts.append(_account(outcome))

    def _line(self, text: str) -> None:
        print(text, file=sys.stderr)


class Lines(Quiet):
    """For logs: a line for what went wrong, a table at the end."""

    def warn(self, message: str) -> None:
        self._line(notice("warning", message))

    def finished(self, outcome: Outcome) -> None:
        super().finished(outcome)
        for warning in outcome.document.warnings if outcome.document else ():
            self.warn(f"{outcome.job.shown}: {warning}")

    def close(self) -> None:
        from rich.console import Console

        if self._accounts:
            console = Console(stderr=True, highlight=False)
            if shown := _worth_showing(self._accounts):
                console.print(_table(shown))
            console.print(self._summary(), soft_wrap=True)

    def _summary(self) -> str:
        took_s = max(time.monotonic() - self._started, 1e-3)
        lengths_s = [account.audio_s for account in self._accounts if account.audio_s is not None]
        audio_s, failed = sum(lengths_s), sum(account.failed for account in self._accounts)
        doubtful = sum(account.doubtful for account in self._accounts)
        parts = [f"{len(lengths_s)} of {len(self._accounts)} done"] + ([f"{failed} with errors"] if failed else [])
        parts += [f"{doubtful} with doubts"] if doubtful else []
        parts.append(f"{_clock(audio_s)} of audio in {_clock(took_s)} ({audio_s / took_s:.0f}× real time)")
        if self._cached_s:
            parts.append(f"{_clock(self._cached_s)} of speech from the cache")
        return " · ".join(parts)


class Bar(Lines):
    """On a terminal: how far, how fast, how long still. Counted in bytes of input: durations are not known ahead."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._task: Any = None
        self._sizes: dict[Job, int] = {}
        self._shares: dict[Job, float] = {}
        self._audio_s: dict[Job, float] = {}

    @contextmanager
    def running(self, jobs: Sequence[Job]) -> Iterator[None]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._sizes = {job: _size(job) for job in jobs}
        columns = [
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}% {task.fields[speed]}"),
            TimeRemainingColumn(),
        ]
        console = Console(stderr=True)
        with super().running(jobs), Progress(*columns, console=console, transient=True) as self._bar:
            total = sum(self._sizes.values())
            self._task = self._bar.add_task(f"0/{len(jobs)}", total=total, speed="")
            yield
        self._bar = None

    def progress(self, progress: Progress) -> None:
        super().progress(progress)
        self._audio_s[progress.job] = max(self._audio_s.get(progress.job, 0.0), progress.position_s)
        if progress.duration_s:
            self._shares[progress.job] = min(progress.position_s / progress.duration_s, 1.0)
        self._draw()

    def finished(self, outcome: Outcome) -> None:
        if outcome.job in self._jobs:
            self._shares[outcome.job] = 1.0
        super().finished(outcome)
        self._draw()

    def _draw(self) -> None:
        took_s = max(time.monotonic() - self._started, 1e-3)
        self._bar.update(
            self._task,
            completed=sum(self._sizes.get(job, 1) * share for job, share in self._shares.items()),
            description=f"{len(self._accounts)}/{len(self._sizes)}",
            speed=f"{sum(self._audio_s.values()) / took_s:.0f}× real time",
        )

    def _line(self, text: str) -> None:
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            super()._line(text)


class Events(Quiet):
    """For programs: one JSON object a line on stderr."""

    def warn(self, message: str) -> None:
        self._event("warning", message=message)

    def progress(self, progress: Progress) -> None:
        super().progress(progress)
        self._event(
            "progress",
            source=progress.job.shown,
            position_s=progress.position_s,
            duration_s=progress.duration_s,
            cached=progress.cached,
        )

    def finished(self, outcome: Outcome) -> None:
        self._count(outcome)
        errors = _errors(outcome)
        duration_s = outcome.document.duration_s if outcome.document else None
        warnings = list(outcome.document.warnings) if outcome.document else []
        self._event(
            "failed" if errors else "done",
            source=outcome.job.shown,
            duration_s=duration_s,
            errors=errors,
            warnings=warnings,
        )

    def close(self) -> None:
        failed = sum(account.failed for account in self._accounts)
        took_s = round(time.monotonic() - self._started, 3)
        self._event("end", done=len(self._accounts) - failed, failed=failed, took_s=took_s)

    def _event(self, event: str, **fields: object) -> None:
        # ASCII, so that a name of any bytes survives any locale, and no line breaks inside one
        self._line(json.dumps({"event": event, **fields}))


def watcher(kind: str) -> Quiet:
    """kind: "auto" (a bar on a terminal, lines elsewhere), "bar", "json" or "off"."""
    if kind == "auto":
        return Bar() if sys.stderr.isatty() else Lines()
    return {"bar": Bar, "json": Events, "off": Quiet}[kind]()


def _errors(outcome: Outcome) -> list[str]:
    """What of an input was not heard although it should have been."""
    if outcome.error is not None:
        return [outcome.error]
    gaps = outcome.document.gaps if outcome.document else ()
    return [f"{outcome.job.shown}: {_clock(gap.start_s)}–{_clock(gap.end_s)} not heard: {gap.reason}" for gap in gaps]


def _worth_showing(accounts: Sequence[_Account]) -> Sequence[_Account]:
    """All of a few inputs, what went wrong of many, nothing of a single one that went well."""
    if 1 < len(accounts) <= MOST_ROWS:
        return accounts
    return [account for account in accounts if account.failed]


def _table(accounts: Sequence[_Account]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name, side in (("input", "left"), ("length", "right"), ("words", "right"), ("heard", "right"), ("", "left")):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    for account in accounts[:MOST_ROWS]:
        table.add_row(*(Text(cell) for cell in account.cells))
    if len(accounts) > MOST_ROWS:
        table.add_row(f"… and {len(accounts) - MOST_ROWS} more")
    return table


def _account(outcome: Outcome) -> _Account:
    from audiocli.writers.said import line

    name, document = line(Path(outcome.job.shown).name or outcome.job.shown), outcome.document
    if document is None:
        return _Account((name, "", "", "", "failed"), None, failed=True)
    length, words = _clock(document.duration_s), len(document.text.split())
    cells = (name, length, f"{words:,}" if words else "", f"{document.coverage.share:.0%}", _state(document))
    return _Account(cells, document.duration_s, failed=bool(document.gaps), doubtful=bool(_doubts(document)))


def _state(document: Document) -> str:
    """What there is to know of a result, in a few words; models that only take notes write down no words."""
    if document.gaps:
        return _counted(len(document.gaps), "gap")
    coverage = document.coverage
    if not (document.segments or coverage.transcribed_s or coverage.unreliable_s):
        return "no speech"
    warnings = [_counted(len(document.warnings), "warning")] if document.warnings else []
    return ", ".join(_doubts(document) + warnings) or "ok"


def _doubts(document: Document) -> list[str]:
    """What of it should not be trusted."""
    if document.coverage.unreliable_s:
        return [f"{document.coverage.unreliable_s:.0f} s unreliable"]
    summary = ["summary unreliable"] if document.summary and document.summary.unreliable else []
    return summary + (["answer unreliable"] if any(answer.unreliable for answer in document.answers) else [])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _size(job: Job) -> int:
    """Bytes of a local input; a middling guess for one that is yet to come over the network."""
    try:
        return max(Path(job.source).stat().st_size, 1)
    except OSError:
        return 1_000_000


def _clock(time_s: float) -> str:
    whole = round(time_s)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
