"""JSON: a `Document` comes in, an object after `schema.json` goes out, with everything that is known of it.

Names follow the JSON of openai/whisper where that has one (`text`, `segments`, `start`, `end`, `words`, `word`,
`probability`, `language`), so that what reads those files reads these. Times are seconds. A change that could break a
reader gets a new number in `SCHEMA`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from audiocli.writers.said import whole

if TYPE_CHECKING:
    from audiocli.records import ChunkSpan, Coverage, Document, Gap, Provenance, Segment, Word
    from audiocli.writers.shape import Shape

SCHEMA = "audiocli/document/1"

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What JSON allows inside a string although terminals obey it or readers of lines split at it."""


def render(document: Document, shape: Shape) -> str:
    """Indented, for a file that people look into."""
    return _dump(document, indent=2)


def render_line(document: Document, shape: Shape) -> str:
    """One object on one line, for streams of documents."""
    return _dump(document, indent=None)


def to_dict(document: Document) -> dict[str, Any]:
    """The Document as plain lists and dicts in the order of the schema: seconds to the millisecond, no NaN."""
    return {
        "schema": SCHEMA,
        "source": document.source,
        "stem": document.stem,
        "duration": _rounded(document.duration_s),
        "language": document.language,
        "text": document.text,
        "segments": [_segment(index, segment) for index, segment in enumerate(document.segments)],
        "chunks": [_chunk(chunk) for chunk in document.chunks],
        "coverage": _coverage(document.coverage),
        "gaps": [_gap(gap) for gap in document.gaps],
        "loud": [_gap(gap) for gap in document.loud],
        "warnings": list(document.warnings),
        "provenance": _provenance(document.provenance),
    }


def _dump(document: Document, *, indent: int | None) -> str:
    dumped = json.dumps(to_dict(document), ensure_ascii=False, allow_nan=False, indent=indent)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", whole(dumped)) + "\n"


def _segment(index: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": index,
        "start": _rounded(segment.start_s),
        "end": _rounded(segment.end_s),
        "text": segment.text,
        "speaker": segment.speaker,
        "confidence": _probability(segment.confidence),
        "unreliable": segment.unreliable,
        "words": [_word(word) for word in segment.words],
    }


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": _rounded(word.start_s),
        "end": _rounded(word.end_s),
        "probability": _probability(word.confidence),
    }


def _chunk(chunk: ChunkSpan) -> dict[str, Any]:
    return {
        "id": chunk.index,
        "start": _rounded(chunk.start_s),
        "end": _rounded(chunk.end_s),
        "windows": list(chunk.windows),
    }


def _coverage(coverage: Coverage) -> dict[str, float]:
    return {
        "transcribed": _rounded(coverage.transcribed_s),
        "silence": _rounded(coverage.silence_s),
        "event": _rounded(coverage.event_s),
        "unreliable": _rounded(coverage.unreliable_s),
        "failed": _rounded(coverage.failed_s),
        "sum": _rounded(sum(astuple(coverage))),
        "share": _rounded(coverage.share),
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {"start": _rounded(gap.start_s), "end": _rounded(gap.end_s), "reason": gap.reason}


def _provenance(provenance: Provenance) -> dict[str, Any]:
    return {
        "audiocli": provenance.audiocli,
        "model": provenance.model,
        "revision": provenance.revision,
        "engine": provenance.engine,
        "task": provenance.task,
        # Not rounded: a threshold of 0.0004 must be found again. JSON has no infinity, so that becomes null.
        "settings": {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in provenance.settings.items()
        },
        "libraries": dict(provenance.libraries),
        "windows": provenance.windows,
        "retried": provenance.retried,
    }


def _rounded(value: float) -> float:
    return round(float(value), 3) + 0.0  # + 0.0 makes a zero of minus zero


def _probability(value: float | None) -> float | None:
    """None also for NaN: a mean over no tokens says nothing, and must not cost the file its result."""
    return None if value is None or not math.isfinite(value) else _rounded(value)
