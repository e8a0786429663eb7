"""Writers: a `Document` comes in, text or a picture in one of seven formats goes out, as a file whole or absent.

`FORMATS` is the table: a new format is one module with a `render` and one row here. This room knows names, folders and
how a file is written; what a format looks like is known by its own module only, and where a stem comes from by none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from audiocli.errors import OutputError, UsageError
from audiocli.writers import json_, markdown, picture, subtitles, text, tsv
from audiocli.writers.said import line
from audiocli.writers.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from audiocli.records import Document

__all__ = ["FORMATS", "Format", "Shape", "every", "paths", "render", "write"]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a Document. Rendered text ends in a line break, or is empty."""

    suffix: str
    render: Callable[[Document, Shape], str | bytes]
    """As a file; bytes for what is no text."""
    stream: Callable[[Document, Shape], str] | None
    """As one of many documents on standard output; None for what cannot stand there."""
    task: str | None = None
    """What "all" means it for; None: whatever the task is."""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "json": Format(".json", json_.render, json_.render_line),
        "md": Format(".md", markdown.render, markdown.render),
        "txt": Format(".txt", text.render, text.render),
        "srt": Format(".srt", subtitles.render_srt, subtitles.render_srt),
        "vtt": Format(".vtt", subtitles.render_vtt, subtitles.render_vtt),
        "tsv": Format(".tsv", tsv.render, tsv.render),
        "png": Format(".png", lambda document, shape: picture.render_png(document), None, task="analyze"),
    }
)
"""Name on the command line → format, in the order the help lists them."""


def every(task: str) -> tuple[str, ...]:
    """The names that "all" stands for: every format of text, and the picture where its timeline is part of the task.

    task: as `Provenance` has it, several joined by commas.
    """
    asked = {None, *(one.strip() for one in task.split(","))}
    return tuple(name for name, known in FORMATS.items() if known.task in asked)


def render(document: Document, name: str, shape: Shape) -> str:
    """The Document as it goes to standard output: JSON is one object on one line there.

    Raises UsageError for a name that is not in `FORMATS`, and for a format that is no text: several pictures in one
    stream could not be told apart, and a terminal would obey their bytes.
    """
    known = _format(name)
    if known.stream is None:
        raise UsageError(f"format {name!r} is a picture and cannot go to standard output; give a folder with -o")
    return known.stream(document, shape)


def paths(stem: str, names: Iterable[str], directory: Path) -> tuple[Path, ...]:
    """Where `write` would put the files of `stem`, so that work whose results exist can be skipped; touches nothing.

    stem: "/"-separated, without suffix; dots in it stay ("talk.v2" → talk.v2.json).
    Returns one path per different name, in their order.
    Raises OutputError for a stem that would leave `directory`, also by way of a link, UsageError for an unknown name.
    """
    suffixes = [_format(name).suffix for name in dict.fromkeys(names)]
    _check_inside(stem, directory)
    return tuple(directory / f"{stem}{suffix}" for suffix in suffixes)


def write(document: Document, names: Iterable[str], directory: Path, shape: Shape) -> tuple[Path, ...]:
    """One file per format at `directory/stem.suffix`, each replaced whole, so that no reader ever meets half of one.

    Folders are made as needed. Everything is rendered before the first file is touched.
    Raises OutputError, one line with the path, for whatever the file system refuses; UsageError for an unknown name.
    """
    names = tuple(dict.fromkeys(names))
    targets = paths(document.stem, names, directory)
    contents = [_bytes(_format(name).render(document, shape)) for name in names]
    for target, content in zip(targets, contents, strict=True):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, content)
        except OSError as exc:
            raise OutputError(f"{line(str(target))}: cannot be written: {exc.strerror or exc}") from exc
    return targets


def _bytes(rendered: str | bytes) -> bytes:
    return rendered.encode("utf-8") if isinstance(rendered, str) else rendered


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise UsageError(f"unknown output format {name!r}: choose from {', '.join(FORMATS)}")
    return FORMATS[name]


def _check_inside(stem: str, directory: Path) -> None:
    """Refuse a stem that names anything but a file below `directory`, once links are followed.

    The file itself may be a link: it is replaced, not followed.
    """
    shown = line(str(directory / stem))
    if "\0" in stem or Path(stem).anchor or not {"", ".", ".."}.isdisjoint([*stem.split("/"), *Path(stem).parts]):
        raise OutputError(f"{shown}: not a file below {line(str(directory))}: nothing is written outside it")
    # realpath rather than Path.resolve: the latter raises RuntimeError for a loop of links before Python 3.13.
    root, parent = Path(os.path.realpath(directory)), Path(os.path.realpath((directory / stem).parent))
    if not parent.is_relative_to(root):
        raise OutputError(f"{shown}: a link in its path leads out of {line(str(directory))}, to {line(str(parent))}")


def _replace(target: Path, content: bytes) -> None:
    """Write beside the target and rename over it: both lie on one file system, so the rename cannot stop halfway."""
    # A name of its own, not the target's with something added, which could be too long. Not tempfile: its files are
    # private to the user, results follow the umask.
    temporary = target.with_name(f".audiocli-{os.urandom(8).hex()}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:  # an interrupt must not leave it behind either
        temporary.unlink(missing_ok=True)
        raise
