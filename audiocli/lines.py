"""Conductor's desk: questions that wait for one engine.

In go Questions, and their answers are handed on the moment they are there: from the store at once, else with the batch
they are asked in. Every reply is kept before it is used, so that a killed run resumes. Knows the engine's seam and the
store; not what is asked, or of which recording.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from audiocli.engines import Blueprint, Engine
from audiocli.records import Reply, Request
from audiocli.store import Store, key


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A Request, and who waits for its answer."""

    request: Request
    answered: Callable[[Reply | Exception, bool], None]
    """Called once, with whether the answer was known from an earlier run."""


class Line:
    """What waits for one engine, which is loaded when the first question has to be asked."""

    def __init__(self, blueprint: Blueprint, store: Store) -> None:
        self.blueprint = blueprint
        self._store = store
        self._engine: Engine | None = None
        self._waiting: list[tuple[str, Question]] = []

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def put(self, question: Question) -> None:
        """Answer from the store at once, or let it wait for the next batch."""
        name = key(self.blueprint.identity, question.request)
        known = self._store.get([name])
        if name in known:
            question.answered(known[name], True)
        else:
            self._waiting.append((name, question))

    @property
    def full(self) -> bool:
        return len(self._waiting) >= self.blueprint.batch_size

    def ask(self) -> None:
        """Ask one batch, keep the replies, and hand them on."""
        if self._engine is None:
            self._engine = self.blueprint.load()
        size = self.blueprint.batch_size
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        replies = self._engine.generate([question.request for _, question in batch])
        pairs = list(zip(batch, replies, strict=True))
        self._store.put({name: reply for (name, _), reply in pairs if isinstance(reply, Reply)})
        for (_, question), reply in pairs:
            question.answered(reply, False)

    def close(self) -> None:
        """Let the engine go."""
        if self._engine:
            self._engine.close()
