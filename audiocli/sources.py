"""What the user named becomes `Job`s, and a Job's source becomes a local file for as long as it is needed.

Paths, patterns, folders, lists, http(s) addresses and "-" come in; Jobs with safe output stems, or a path to read, go
out. What is wrong with the command line is a UsageError, what is wrong with one source a SourceError that leaves the
others alone. This room does not know whether a file holds sound, nor where outputs go.
"""

from __future__ import annotations

import base64
import glob
import hashlib
import http.client
import ipaddress
import os
import re
import socket
import stat
import sys
import tempfile
import time
import unicodedata
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, BinaryIO, TextIO
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from audiocli.errors import SourceError, UsageError
from audiocli.records import Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_UNCOMPRESSED = "aif|aifc|aiff|au|caf|ircam|rf64|snd|sph|voc|w64|wav|wave"
_LOSSLESS = "ape|dsf|flac|shn|tak|tta|wv"
_LOSSY = "aac|ac3|amr|awb|dss|dts|eac3|g722|gsm|mp1|mp2|mp3|mpc|mpga|oga|ogg|oma|opus|qcp|ra|spx|wma"
_CONTAINERS = "3ga|m4a|m4b|m4r|mka|weba"
_VIDEO = "3g2|3gp|asf|avi|flv|m2ts|m4v|mkv|mov|mp4|mpeg|mpg|mts|mxf|nut|ogv|rm|ts|vob|webm|wmv|wtv"
SUFFIX = re.compile(rf"\.({_UNCOMPRESSED}|{_LOSSLESS}|{_LOSSY}|{_CONTAINERS}|{_VIDEO})", re.IGNORECASE)
"""What is taken out of a folder, and cut off a name to make its stem. A file named by itself may be called anything."""
PART_BYTES = 200
"""UTF-8 bytes in one part of a stem: file systems allow 255, suffixes and a temporary name come on top."""
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever follows a dot."""
RESERVED = '<>:"|?*'
"""Characters a Windows file name cannot hold."""
SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Expansion:
    """What the inputs on the command line stand for."""

    jobs: tuple[Job, ...]
    """In the order they were named; inside a folder or a pattern in natural order; no file twice."""
    warnings: tuple[str, ...] = ()
    """Inputs that gave nothing and folders that could not be listed, one line each."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How much a source that is not a local file may cost before it is given up."""

    size: int = 4 * 2**30
    """Bytes."""
    timeout_s: float = 30.0
    """To connect, and between two pieces of the answer."""
    total_s: float = 3600.0


FETCH_LIMITS = FetchLimits()


# Inputs to Jobs


def expand(
    inputs: Sequence[str],
    *,
    recursive: bool = False,
    files_from: str | None = None,
    stdin: TextIO | None = None,
) -> Expansion:
    """Finds every recording that was meant.

    A folder gives the recordings directly inside it, with `recursive` also those below; hidden files and what has no
    suffix of a recording are passed over. A path that holds `*`, `?` or `[` and does not exist is a pattern, `**`
    included. files_from: a list of more inputs, one a line (or separated by NUL), "-" for standard input. A path that
    is missing still becomes a Job, whose opening fails: it must not stop the others.
    Raises UsageError if no Job is left, or if the list cannot be read.
    """
    listed = list(_listed(files_from, stdin or sys.stdin)) if files_from is not None else []
    if files_from == STDIN and STDIN in (*inputs, *listed):
        raise UsageError("standard input cannot be both the list of files and a recording")
    jobs: dict[str, Job] = {}
    warnings: list[str] = []
    for named in (*inputs, *listed):
        found = list(_found(named, warnings, recursive=recursive))
        if not found:
            warnings.append(_nothing(named, recursive=recursive))
        for job in found:
            jobs.setdefault(_identity(job.source), job)
    if not jobs:
        raise UsageError(
            "; ".join(warnings) or "no input: name a file, a folder, a pattern, an address, or - for stdin"
        )
    return Expansion(tuple(jobs.values()), tuple(warnings))


def _listed(files_from: str, stdin: TextIO) -> Iterator[str]:
    """Lines that are neither blank nor a comment; or what stands between NULs, if there is one (`find -print0`)."""
    try:
        text = _text(files_from, stdin)
    except OSError as exc:
        raise UsageError(f"{files_from}: the list of files cannot be read: {_line(exc)}") from exc
    if "\0" in text:
        yield from filter(None, text.split("\0"))
        return
    for line in text.split("\n"):
        entry = line.rstrip("\r")
        if entry.strip() and not entry.lstrip().startswith("#"):
            yield entry


def _text(files_from: str, stdin: TextIO) -> str:
    """File names are bytes that need not be UTF-8, so they are read as bytes where that is possible."""
    if files_from != STDIN:
        return Path(files_from).read_bytes().decode("utf-8-sig", "surrogateescape")
    buffer: BinaryIO | None = getattr(stdin, "buffer", None)
    return buffer.read().decode("utf-8-sig", "surrogateescape") if buffer else stdin.read()


def _found(named: str, warnings: list[str], *, recursive: bool) -> Iterator[Job]:
    if named == STDIN:
        yield Job(STDIN, "stdin")
    elif SCHEME.match(named):
        yield Job(named, _url_stem(named))
    elif os.path.isdir(named):  # noqa: PTH112  answers False to a NUL, where Path raises on Python 3.10
        root = Path(named)
        found = _recordings(root, warnings, recursive=recursive)
        yield from (Job(str(path), _stem(path.relative_to(root))) for path in found)
    elif glob.has_magic(named) and not os.path.lexists(named):
        fixed = _fixed(named)
        files = sorted(filter(os.path.isfile, glob.iglob(named, recursive=True)), key=_natural)  # noqa: PTH207
        yield from (Job(file, _stem(Path(os.path.relpath(file, fixed)))) for file in dict.fromkeys(files))
    else:
        yield Job(named, _stem(Path(Path(named).name)))


def _recordings(root: Path, warnings: list[str], *, recursive: bool) -> list[Path]:
    """Files in natural order; links to folders are not followed, so that none leads in a circle."""

    def unlisted(error: OSError) -> None:
        warnings.append(f"{error.filename}: this folder cannot be listed: {_line(error)}")

    found: list[Path] = []
    for folder, folders, files in os.walk(root, onerror=unlisted):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        paths = (Path(folder, name) for name in files if not name.startswith("."))
        found += [path for path in paths if SUFFIX.fullmatch(path.suffix) and path.is_file()]
    return sorted(found, key=lambda path: _natural(str(path.relative_to(root))))


def _natural(text: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key by which `2.wav` comes before `10.wav`, and no two names are equal."""
    parts = re.split(r"([0-9]+)", text.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], text


def _fixed(pattern: str) -> str:
    """The folder a pattern starts from: its outputs mirror what lies below it."""
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return str(Path(*parts[:fixed]))


def _nothing(named: str, *, recursive: bool) -> str:
    if not os.path.isdir(named):  # noqa: PTH112
        return f"{named}: no file matches this pattern"
    where = "in this folder or below it" if recursive else "directly in this folder (--recursive looks below it)"
    return f"{named}: no recording {where}"


def _identity(source: str) -> str:
    """One name for one file, however many links lead to it."""
    return source if source == STDIN or SCHEME.match(source) or "\0" in source else os.path.realpath(source)


# Stems


def _stem(path: Path) -> str:
    reserved = RESERVED if os.name == "nt" else ""
    return "/".join(_safe(part, reserved) for part in (*path.parts[:-1], _bare(path.name)))


def _url_stem(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return _safe(url, RESERVED + "/")
    name = _bare(unquote(PurePosixPath(parts.path).name))
    return _safe(name or parts.hostname or "", RESERVED + "/")


def _bare(name: str) -> str:
    """Without the suffix of a recording; another dot is part of the name, as in `call.2024`."""
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if SUFFIX.fullmatch(suffix) else name


def _safe(part: str, reserved: str) -> str:
    """One part of a stem that every file system takes: no control characters, no device, not "..", not too long."""
    good = "".join("_" if unicodedata.category(char) in ("Cc", "Cs") or char in reserved else char for char in part)
    good = good.replace("\\", "_").rstrip(" .") or "_"
    if DEVICES.fullmatch(good):
        good = f"_{good}"
    whole = good.encode()
    if len(whole) <= PART_BYTES:
        return good
    mark = "-" + hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return whole[: PART_BYTES - len(mark)].decode(errors="ignore") + mark


def collisions(jobs: Iterable[Job]) -> None:
    """Refuses inputs that would write one output, before any time is spent.

    Stems are compared as macOS and Windows compare names: without case, accents composed.
    Raises UsageError naming both inputs.
    """
    taken: dict[str, Job] = {}
    for job in jobs:
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", job.stem).casefold())
        other = taken.setdefault(key, job)
        if other is not job:
            together = os.path.dirname(other.source) == os.path.dirname(job.source)  # noqa: PTH120  may be URLs
            hint = "rename one" if together else "give the folder that holds both, with --recursive"
            raise UsageError(
                f"{other.shown} and {job.shown} would both be written to {other.stem}: {hint}, or run them apart"
            )


# Sources to local files


@contextmanager
def local(
    source: str,
    *,
    offline: bool = False,
    limits: FetchLimits = FETCH_LIMITS,
    stdin: BinaryIO | None = None,
) -> Iterator[Path]:
    """A path that can be read, and read again, whatever the source is; what had to be copied is removed afterwards.

    Raises SourceError, one line without the source's name.
    """
    if source == STDIN:
        # unbuffered: were a read still waiting at the end of the process, the buffer's lock would abort Python there
        stream = stdin or getattr(getattr(sys.stdin, "buffer", None), "raw", None)
        if stream is None:
            raise SourceError("standard input is closed")
        if stream.isatty():
            raise SourceError("standard input is a terminal: pipe a recording into it, or name a file")
        with _spooled(stream, "", limits) as path:
            yield path
    elif SCHEME.match(source):
        with _fetched(source, limits, offline=offline) as path:
            yield path
    else:
        with _readable(source, limits) as path:
            yield path


@contextmanager
def _readable(source: str, limits: FetchLimits) -> Iterator[Path]:
    """A regular file is used where it is; a named pipe can be read but once, so it is copied."""
    path = Path(source)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SourceError("is a folder, not a recording")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise SourceError("is a device, not a recording")
        file = path.open("rb")
    except FileNotFoundError:
        raise SourceError("no such file") from None
    except SourceError:
        raise
    except (OSError, ValueError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        raise SourceError(f"cannot be opened: {reason.lower()}") from exc
    with file:
        if stat.S_ISREG(mode):
            yield path
            return
        with _spooled(file, path.suffix, limits) as copy:
            yield copy


@contextmanager
def _fetched(url: str, limits: FetchLimits, *, offline: bool) -> Iterator[Path]:
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise SourceError("not a valid address") from exc
    if parts.scheme not in ("http", "https"):
        raise SourceError("only http and https addresses can be fetched")
    if offline:
        raise SourceError("not fetched, because --offline forbids the network")
    suffix = PurePosixPath(parts.path).suffix
    with closing(_answer(url, limits)) as answer:
        expected = _announced(answer, limits)
        with _spooled(answer, suffix if SUFFIX.fullmatch(suffix) else "", limits, expected) as path:
            yield path


def _answer(url: str, limits: FetchLimits) -> http.client.HTTPResponse:
    host = urlsplit(url).hostname or "an address without a host"
    try:
        answer: http.client.HTTPResponse = _web().open(_request(url), timeout=limits.timeout_s)
    except SourceError:
        raise
    except urllib.error.HTTPError as exc:
        with exc:
            raise SourceError(f"{host} answers {exc.code} {_line(exc.reason)}") from exc
    except urllib.error.URLError as exc:
        raise SourceError(f"{host} cannot be reached: {_line(exc.reason)}") from exc
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise SourceError(f"{host} cannot be reached: {_line(exc)}") from exc
    return answer


def _request(url: str) -> urllib.request.Request:
    """Credentials go into a header that no redirect takes along.

    Left in the address, urllib would take them for a part of the host's name: look them up, and name them in errors.
    """
    parts = urlsplit(url)
    credentials, at, host = parts.netloc.rpartition("@")
    plain = urlunsplit(parts._replace(netloc=host))
    request = urllib.request.Request(  # noqa: S310  _Web speaks nothing but http and https
        quote(plain, safe="%/:=&?~#+!$,;'@()*[]"), headers={"User-Agent": "audiocli", "Accept-Encoding": "identity"}
    )
    if at:
        basic = base64.b64encode(unquote(credentials).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {basic}")
    return request


def _web() -> urllib.request.OpenerDirector:
    """Not `build_opener`, which would add file, ftp and data."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows http(s) only, never from an encrypted address to one in the clear, and never to this machine or its link.

    An address that the user names may be anywhere. One that a server names may not reach what only this machine does:
    services on its loopback, and those that clouds offer under 169.254.0.0/16 with the machine's own credentials.
    """

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            fp.close()
            raise SourceError(f"{req.host} redirects to a {scheme} address, which is not followed")
        nearer = _nearness(urlsplit(newurl).hostname) - _nearness(urlsplit(req.full_url).hostname)
        if nearer:
            fp.close()
            raise SourceError(f"{req.host} redirects to a {min(nearer)} address, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _nearness(host: str | None) -> set[str]:
    """Which addresses of a host only this machine reaches: loopback, link-local; none for one that is not known."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)} if host else set()
    except (OSError, UnicodeError):
        return set()
    addresses = [ipaddress.ip_address(one) for one in found]
    plain = [getattr(one, "ipv4_mapped", None) or one for one in addresses]
    loopback = {"loopback" for one in plain if one.is_loopback or one.is_unspecified}
    return loopback | {"link-local" for one in plain if one.is_link_local}


def _announced(answer: http.client.HTTPResponse, limits: FetchLimits) -> int | None:
    if answer.length is not None and answer.length > limits.size:
        raise SourceError(f"too large: {answer.length:,} bytes, of which {limits.size:,} are allowed")
    return answer.length


@contextmanager
def _spooled(stream: IO[bytes], suffix: str, limits: FetchLimits, expected: int | None = None) -> Iterator[Path]:
    """A temporary copy of a stream; the suffix is kept for formats that have nothing else to be known by."""
    with tempfile.TemporaryDirectory(prefix="audiocli-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, "source").with_suffix(suffix)
        with path.open("wb") as copy:
            try:
                size = _copied(stream, copy, limits)
            except TimeoutError as exc:
                raise SourceError(f"nothing arrived for {limits.timeout_s:g} s") from exc
            except (OSError, http.client.HTTPException) as exc:
                if isinstance(exc, SourceError):
                    raise
                raise SourceError(f"cannot be copied to the temporary folder: {_line(exc)}") from exc
        if expected is not None and size < expected:
            raise SourceError(f"the connection closed after {size:,} of {expected:,} bytes")
        yield path


def _copied(stream: IO[bytes], copy: IO[bytes], limits: FetchLimits) -> int:
    """Bytes copied. `read1` returns after what has arrived, so that a slow sender cannot outlast the total."""
    give_up = time.monotonic() + limits.total_s
    read = getattr(stream, "read1", stream.read)
    size = 0
    while block := read(2**16):
        size += len(block)
        if size > limits.size:
            raise SourceError(f"too large: more than the {limits.size:,} bytes allowed")
        if time.monotonic() > give_up:
            raise SourceError(f"given up after {limits.total_s:g} s, with {size:,} bytes received")
        copy.write(block)
    return size


def _line(reason: object) -> str:
    """An error's text without its number, on one line."""
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return " ".join(text.split()) or type(reason).__name__
