"""The timeline as a picture: a `Document` comes in, the bytes of a PNG go out, 1600 pixels wide, the time to the right.

Rows show where there is speech, music, sound and silence, what of it was transcribed, what is doubtful or was not
heard, and where the points of a summary stand. Equal documents give equal bytes with equal fonts and libraries. Third
party: matplotlib, imported when a picture is drawn, by its objects alone: no window, no state that others could share.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audiocli.writers.parts import title
from audiocli.writers.said import clock, line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from audiocli.records import Document, EventKind, Point, Summary

Stretch = tuple[float, float]
"""Start and end, in seconds of the source."""

WIDTH, HEIGHT, DPI = 12.8, 5.0, 125
"""Inches, and pixels an inch: 1600 by 625 pixels."""
LEFT, RIGHT, TOP, BOTTOM = 0.105, 0.975, 0.80, 0.155
"""Where the rows lie in the picture, as parts of it."""
FEWEST_ROWS = 4
"""Fewer rows are drawn as thin as so many, or a silent file would be one thick bar."""
BAR = 0.62
"""Part of its row that a bar fills."""
THINNEST = 1 / 700
"""Of the whole: a stretch that matters is drawn two pixels wide at least, however short it is …"""
FEW = 60
"""… unless there are more of its kind: together they are seen, and widened they would claim too much."""
MOST_CHUNKS = 48
"""Of more chunks only every second border is drawn, or every third …"""
MOST_NUMBERS = 24
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
"""Distances between ticks that clocks have."""
MOST_TICKS = 10
LENGTHS = (72, 56, 44, 34, 26, 20)
"""Characters of a name that are tried until it fits; of a longer one both ends are shown."""
NAME_WIDTH = 0.72
"""Part of the picture's width that a name may take."""

DOTS = (0, (2, 3))
"""matplotlib's name for a fine dotted line."""

INK, FAINT, GRID = "#1f2933", "#66727f", "#d9dee4"
DOUBTFUL, MISSED = "#e08a1e", "#c8323c"
WORDS = "#7f8fa3"

KINDS: Mapping[EventKind, tuple[str, str]] = {
    "speech": ("Speech", "#2f6db3"),
    "singing": ("Singing", "#b5518f"),
    "music": ("Music", "#7a55b5"),
    "sound": ("Sound", "#2e9a8f"),
    "tone": ("Tone", "#5d7c3a"),
    "setting": ("Setting", "#8a6d4b"),
    "silence": ("Silence", "#c3ccd6"),
}
"""Label and colour of each kind's row, from the top; a kind without events has none."""

MARKS: Mapping[str, tuple[str, str, str]] = {
    "key_points": ("key point", "o", "#2f6db3"),
    "decisions": ("decision", "D", "#2e9a8f"),
    "action_items": ("action item", "^", "#b5518f"),
    "open_questions": ("open question", "s", "#e08a1e"),
}
"""Field of a Summary → what its points are called, matplotlib's name for their mark, and its colour."""

FAMILIES = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "Hiragino Sans",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "PingFang SC",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)
"""Fonts of other scripts, for names that matplotlib's own cannot write; of these, those that are installed."""
OWN_FAMILY = "DejaVu Sans"
"""Comes with matplotlib."""


@dataclass(frozen=True, slots=True)
class _Bars:
    """Stretches of one colour."""

    stretches: tuple[Stretch, ...]
    colour: str
    hatched: bool = False
    thinnest: float = 0.0
    """Part of the whole time that the shortest is drawn over."""


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    bars: tuple[_Bars, ...]


def render_png(document: Document) -> bytes:
    """The picture of one recording, also of a silent or an empty one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # 0.4 s; only where a picture is asked for
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((LEFT, BOTTOM, RIGHT - LEFT, TOP - BOTTOM), facecolor="white")
    whole_s = max(document.duration_s, 1.0)
    rows = list(_rows(document))
    labels = [*(row.label for row in rows), *(["Summary"] if document.summary else [])]
    _frame(axes, labels, whole_s)
    if not labels:
        axes.text(0.5, 0.5, "nothing was heard", transform=axes.transAxes, color=FAINT, fontsize=12, ha="center")
    _chunks(axes, document, len(labels))
    for index, row in enumerate(rows):
        for bars in row.bars:
            _draw(axes, bars, index, whole_s)
    if document.summary:
        _points(axes, document.summary, len(rows), whole_s)
    _title(figure, document)
    _legend(figure, document)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=DPI, metadata={"Software": None})
    return written.getvalue()


def _rows(document: Document) -> Iterator[_Row]:
    """What was heard, kind by kind, and what became of it."""
    events = (*(document.analysis.timeline if document.analysis else ()), *document.events)
    for kind, (label, colour) in KINDS.items():
        stretches = _joined((event.start_s, event.end_s) for event in events if event.kind == kind)
        if stretches:
            yield _Row(label, (_Bars(stretches, colour, thinnest=0.0 if kind in ("speech", "silence") else THINNEST),))
    yield from _trust(document)


def _trust(document: Document) -> Iterator[_Row]:
    sure = _joined((one.start_s, one.end_s) for one in document.segments if one.unreliable is None)
    doubtful = _joined((one.start_s, one.end_s) for one in document.segments if one.unreliable is not None)
    if sure or doubtful:
        yield _Row("Words", (_Bars(sure, WORDS), _Bars(doubtful, DOUBTFUL, hatched=True, thinnest=THINNEST)))
    missed = _joined((gap.start_s, gap.end_s) for gap in document.gaps)
    if missed:
        yield _Row("Not heard", (_Bars(missed, MISSED, hatched=True, thinnest=THINNEST),))
    loud = _joined((gap.start_s, gap.end_s) for gap in document.loud)
    if loud and not document.analysis:  # whose timeline has a row for sounds
        yield _Row("Loud, no speech", (_Bars(loud, DOUBTFUL, thinnest=THINNEST),))


def _joined(stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """Ascending; what overlaps or touches is one, so that no bar is drawn twice."""
    joined: list[Stretch] = []
    for start_s, end_s in sorted(stretches):
        if joined and start_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_s))
        elif end_s > start_s:
            joined.append((start_s, end_s))
    return tuple(joined)


def _frame(axes: Axes, labels: Sequence[str], whole_s: float) -> None:
    """Rows from the top down, and the time as clocks show it."""
    lines = max(len(labels), FEWEST_ROWS)
    axes.set_xlim(0, whole_s)
    axes.set_ylim(lines - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels, color=INK, fontsize=10)
    step_s = next((step for step in STEPS_S if whole_s / step <= MOST_TICKS), STEPS_S[-1])
    ticks = range(0, int(whole_s) + 1, max(step_s, -(-int(whole_s / MOST_TICKS) // step_s) * step_s))
    axes.set_xticks(list(ticks), [clock(tick) for tick in ticks], color=FAINT, fontsize=9)
    axes.tick_params(axis="both", length=0, pad=6)
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for index in range(len(labels)):
        axes.axhspan(index - BAR / 2, index + BAR / 2, color="#f4f6f8", linewidth=0, zorder=0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _chunks(axes: Axes, document: Document, rows: int) -> None:
    """Where chunks begin, numbered as far as the numbers have room; one alone has no border."""
    if len(document.chunks) < 2:
        return
    line_every, number_every = (-(-len(document.chunks) // most) for most in (MOST_CHUNKS, MOST_NUMBERS))
    style: dict[str, Any] = {"color": FAINT, "linewidth": 0.7, "linestyle": DOTS, "zorder": 1.5}
    for chunk in document.chunks:
        if chunk.index and chunk.index % line_every == 0:
            axes.plot([chunk.start_s] * 2, [-0.5, rows - 0.5], **style)
        if chunk.index % number_every == 0:
            axes.text(chunk.start_s, -0.56, f" {chunk.index + 1}", color=FAINT, fontsize=7.5, va="bottom", ha="left")


def _draw(axes: Axes, bars: _Bars, index: int, whole_s: float) -> None:
    shortest_s = bars.thinnest * whole_s if len(bars.stretches) <= FEW else 0.0
    drawn = [(start_s, max(end_s - start_s, shortest_s)) for start_s, end_s in bars.stretches]
    style: dict[str, Any] = {"facecolor": bars.colour, "linewidth": 0, "zorder": 2, "snap": False}
    if bars.hatched:
        style |= {"hatch": "////", "edgecolor": "white"}
    axes.broken_barh(drawn, (index - BAR / 2, BAR), **style)


def _points(axes: Axes, summary: Summary, index: int, whole_s: float) -> None:
    """A mark for every point with a time; those in doubt are hollow. A time beyond the end is drawn at it."""
    for field, (_, mark, colour) in MARKS.items():
        for point in _timed(summary, field):
            at_s = min(max(point.start_s or 0.0, 0.0), whole_s)
            face = "white" if _doubted(point) else colour
            style: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": colour, "markersize": 8}
            axes.plot([at_s], [index], mark, clip_on=False, zorder=3, **style)


def _timed(summary: Summary | None, field: str) -> list[Point]:
    return [point for point in getattr(summary, field) if point.start_s is not None] if summary else []


def _doubted(point: Point) -> bool:
    return point.doubt is not None or point.found is False


def _title(figure: Figure, document: Document) -> None:
    """The recording's name as it is: no mathematics in it, and no character that no font here can write."""
    facts = " · ".join([clock(document.duration_s), *([document.language] if document.language else [])])
    style: dict[str, Any] = {"va": "center", "parse_math": False}
    figure.text(RIGHT, 0.915, line(facts), fontsize=10, color=FAINT, ha="right", **style)
    name = line(title(document))
    families = _families(name)
    name = _writable(name, families)
    shown = figure.text(LEFT, 0.915, name, fontsize=14, color=INK, family=families, **style)
    for length in LENGTHS:
        shown.set_text(_shortened(name, length))
        if shown.get_window_extent().width <= NAME_WIDTH * WIDTH * DPI:
            break


def _legend(figure: Figure, document: Document) -> None:
    """Only what is in the picture and does not say itself what it is."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    if any(segment.unreliable is not None for segment in document.segments):
        handles.append(Patch(facecolor=DOUBTFUL, edgecolor="white", hatch="////", linewidth=0, label="unreliable"))
    shown = {field: _timed(document.summary, field) for field in MARKS}
    for field, (label, mark, colour) in MARKS.items():
        if shown[field]:
            handles.append(Line2D([], [], color=colour, marker=mark, linestyle="none", markersize=7, label=label))
    if any(_doubted(point) for points in shown.values() for point in points):
        hollow: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": FAINT, "markersize": 7}
        handles.append(Line2D([], [], marker="o", linestyle="none", label="in doubt", **hollow))
    if len(document.chunks) > 1:
        handles.append(Line2D([], [], color=FAINT, linewidth=0.9, linestyle=DOTS, label="chunk"))
    if handles:
        style: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": FAINT, "ncols": len(handles)}
        figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(LEFT - 0.006, 0.005), **style)


def _shortened(name: str, length: int) -> str:
    half = length // 2
    return name if len(name) <= length else f"{name[: half - 1]}…{name[-half:]}"


def _families(name: str) -> list[str]:
    """matplotlib's own font, and where it lacks a character of the name, what else is installed."""
    if all(map(_characters([OWN_FAMILY]).__contains__, name)):
        return [OWN_FAMILY]
    from matplotlib.font_manager import fontManager

    known = set(fontManager.get_font_names())
    return [OWN_FAMILY, *(family for family in FAMILIES if family in known)]


def _writable(name: str, families: Sequence[str]) -> str:
    """With a box for every character that none of the families has: matplotlib would warn of each."""
    known = _characters(families)
    return "".join(char if char in known else "\ufffd" for char in name)


def _characters(families: Sequence[str]) -> frozenset[str]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    paths = [findfont(FontProperties(family=family), fallback_to_default=False) for family in families]
    return frozenset(chr(code) for path in paths for code in get_font(path).get_charmap())
