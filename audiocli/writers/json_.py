"""JSON: a `Document` comes in, an object after `schema.json` goes out, with everything that is known of it.

Names follow the JSON of openai/whisper where that has one (`text`, `segments`, `start`, `end`, `words`, `word`,
`probability`, `language`), so that what reads those files reads these. Times are seconds, other units end a name
(`loudness_lufs`). A change that could break a reader gets a new number in `SCHEMA`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from audiocli.writers.said import whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audiocli.records import (
        Analysis,
        Answer,
        ChunkSpan,
        Coverage,
        Document,
        Event,
        Facts,
        Gap,
        Note,
        Point,
        Provenance,
        Segment,
        Summary,
        Word,
    )
    from audiocli.writers.shape import Shape

SCHEMA = "audiocli/document/1"

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What JSON allows inside a string although terminals obey it or readers of lines split at it."""
_DEEPEST = 50
"""Lists and objects in one another that an answer's data may have: beyond it readers give up, and so does our own."""


def render(document: Document, shape: Shape) -> str:
    """Indented, for a file that people look into."""
    return dumped(to_dict(document), indent=2) + "\n"


def render_line(document: Document, shape: Shape) -> str:
    """One object on one line, for streams of documents."""
    return dumped(to_dict(document), indent=None) + "\n"


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
        "events": _events(document.events),
        "summary": _summary(document.summary) if document.summary else None,
        "analysis": _analysis(document.analysis) if document.analysis else None,
        "answers": [_answer(answer) for answer in document.answers],
        "chunks": [_chunk(chunk) for chunk in document.chunks],
        "coverage": _coverage(document.coverage),
        "gaps": [_gap(gap) for gap in document.gaps],
        "loud": [_gap(gap) for gap in document.loud],
        "warnings": list(document.warnings),
        "provenance": _provenance(document.provenance),
    }


def dumped(value: Any, *, indent: int | None) -> str:
    """JSON that UTF-8, terminals and readers of lines can take, without a line break at its end.

    Raises ValueError for NaN and infinity, which JSON does not have.
    """
    written = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", whole(written))


def data(answer: Answer) -> Any:
    """What an answer's text says as JSON; None where it is plain text, or no JSON that every reader would take."""
    if answer.format != "json":
        return None
    try:
        read = json.loads(answer.text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return read if _shallow(read, _DEEPEST) else None


def _finite(number: str) -> float:
    """Raises ValueError for NaN, Infinity and numbers as large: Python reads them, and could not write them."""
    if not math.isfinite(float(number)):
        raise ValueError(f"{number} is not a number in JSON")
    return float(number)


def _shallow(value: Any, room: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return room > 0 and all(_shallow(child, room - 1) for child in inner)


def _segment(index: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": index,
        "start": _rounded(segment.start_s),
        "end": _rounded(segment.end_s),
        "text": segment.text,
        "speaker": segment.speaker,
        "confidence": _number(segment.confidence),
        "unreliable": segment.unreliable,
        "words": [_word(word) for word in segment.words],
    }


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": _rounded(word.start_s),
        "end": _rounded(word.end_s),
        "probability": _number(word.confidence),
    }


def _events(events: Iterable[Event]) -> list[dict[str, Any]]:
    return [
        {
            "start": _rounded(event.start_s),
            "end": _rounded(event.end_s),
            "kind": event.kind,
            "text": event.text,
            "confidence": _number(event.confidence),
        }
        for event in events
    ]


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "method": summary.method,
        "unreliable": summary.unreliable,
        "overview": _points(summary.overview),
        "key_points": _points(summary.key_points),
        "decisions": _points(summary.decisions),
        "action_items": _points(summary.action_items),
        "open_questions": _points(summary.open_questions),
        "notes": _notes(summary.notes),
    }


def _points(points: Iterable[Point]) -> list[dict[str, Any]]:
    return [
        {
            "text": point.text,
            "start": _number(point.start_s),
            "end": _number(point.end_s),
            "who": point.who,
            "when": point.when,
            "quote": point.quote,
            "found": point.found,
            "doubt": point.doubt,
        }
        for point in points
    ]


def _notes(notes: Iterable[Note]) -> list[dict[str, Any]]:
    return [
        {
            "start": _rounded(note.start_s),
            "end": _rounded(note.end_s),
            "text": note.text,
            "speaker": note.speaker,
            "unreliable": note.unreliable,
        }
        for note in notes
    ]


def _analysis(analysis: Analysis) -> dict[str, Any]:
    return {
        "method": analysis.method,
        "facts": _facts(analysis.facts),
        "timeline": _events(analysis.timeline),
        "notes": _notes(analysis.notes),
    }


def _facts(facts: Facts) -> dict[str, Any]:
    return {
        "speech": _rounded(facts.speech_s),
        "speech_share": _rounded(facts.speech_share),
        "pauses": facts.pauses,
        "longest_pause": _rounded(facts.longest_pause_s),
        "loudness_lufs": _number(facts.loudness_lufs),
        "peak_dbfs": _number(facts.peak_dbfs),
        "clipped": _rounded(facts.clipped_s),
        "noise_floor_dbfs": _number(facts.noise_floor_dbfs),
        "snr_db": _number(facts.snr_db),
        "pitch_low_hz": _number(facts.pitch_low_hz),
        "pitch_median_hz": _number(facts.pitch_median_hz),
        "pitch_high_hz": _number(facts.pitch_high_hz),
        "words_per_minute": _number(facts.words_per_minute),
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "prompt": answer.prompt,
        "question": answer.question,
        "format": answer.format,
        "text": answer.text,
        "data": data(answer),
        "unreliable": answer.unreliable,
        "notes": _notes(answer.notes),
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
        "skipped": _rounded(coverage.skipped_s),
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
        "prompts": dict(provenance.prompts),
        "windows": provenance.windows,
        "retried": provenance.retried,
    }


def _rounded(value: float) -> float:
    return round(float(value), 3) + 0.0  # + 0.0 makes a zero of minus zero


def _number(value: float | None) -> float | None:
    """None also for NaN and infinity: a mean over no tokens, or the level of digital silence, says nothing."""
    return None if value is None or not math.isfinite(value) else _rounded(value)
