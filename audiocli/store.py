"""Replies kept under the hash of what produced them, so that a killed run resumes and a repeated one is free.

In come an engine's identity with a Request, and Replies; out come keys, and the Replies that are known already. This
room does not know what an engine is, nor which replies are worth keeping: the conductor decides that.

The store is one SQLite file in write-ahead mode, on a local disk: several processes may use it at once, and what `put`
has returned from outlives a killed process. It is an aid and never a reason to fail: whatever is wrong with the file,
the disk or the folder, the run goes on without it and says so once, in `Store.warnings`.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from audiocli.records import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from audiocli.records import Request

SCHEMA = 1
"""`user_version` of the file. Any other is set aside rather than migrated: replies can be made again."""

_TABLE = "CREATE TABLE replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL, created REAL NOT NULL)"

_WAIT_S = 10.0
"""How long to wait for another process. Its slowest step is `clear`: 1 to 2 s for 10,000 replies with words (87 MB)."""

_T = TypeVar("_T")


def key(identity: str, request: Request) -> str:
    """Name a Reply by all that decides it: 64 hexadecimal digits, the same in every process.

    identity: model, revision, precision and whatever else of the engine changes its answers.
    Every field of the request counts, also one that is added later; clips count by their bytes.
    Raises TypeError for a clip that is not float32 (n,), and for a field of a type without a canonical form.
    """
    digest = hashlib.sha256()
    for part in _canonical((identity, request)):
        digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What `audiocli cache` shows."""

    path: Path | None
    replies: int = 0
    bytes: int = 0
    """On disk, with the write-ahead log."""
    oldest: float | None = None
    """When the oldest reply was put, in seconds since 1970; None where there is none."""
    newest: float | None = None


class Store:
    """The replies of earlier runs. Open it with `with`, and use it from the thread that opened it.

    path: the file; its folder is made if need be, readable by its owner only, since replies are what people said.
    None is a store that is off from the start: it knows nothing and keeps nothing.
    timeout_s: how long another process may keep the file locked before this run goes on without it.
    """

    def __init__(self, path: Path | None, *, timeout_s: float = _WAIT_S) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._warnings: list[str] = []
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        if path is not None:
            self._open(path)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong so far, one line each: set aside, or off for the rest of the run."""
        return tuple(self._warnings)

    def get(self, keys: Sequence[str]) -> dict[str, Reply]:
        """The replies known for `keys`, in their order; {} where the store is off. What cannot be read is removed."""
        return self._attempt(lambda connection: _get(connection, keys), {})

    def put(self, replies: Mapping[str, Reply]) -> None:
        """Keep `replies`, all or none, in place of older ones with the same keys; nothing where the store is off."""
        created = time.time()
        rows = [(name, encode(reply), created) for name, reply in replies.items()]
        self._attempt(lambda connection: _put(connection, rows), None)

    def info(self) -> StoreInfo:
        """How much is kept, and since when; zeros where the store is off."""
        return self._attempt(lambda connection: _info(connection, self.path), StoreInfo(self.path))

    def clear(self, older_than_s: float | None = None) -> int:
        """Remove the replies put at least this many seconds ago (None: all), give their room back, and count them."""
        before = math.inf if older_than_s is None else time.time() - older_than_s
        count = self._attempt(lambda connection: _delete_before(connection, before), 0)
        self._attempt(_shrink, None)
        return count

    def close(self) -> None:
        """Let go of the file; what was put is safe already."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _attempt(self, work: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        """The one place where the database may fail: then `otherwise`, and a store that is fresh or off."""
        if self._connection is None or self.path is None:
            return otherwise
        try:
            return work(self._connection)
        except sqlite3.ProgrammingError:
            raise  # our own mistake, such as use from another thread
        except sqlite3.Error as exc:
            self.close()
            if _is_damage(exc):
                self._open(self.path, damage=exc)
            else:
                self._turn_off(self.path, exc)
        return otherwise

    def _open(self, path: Path, damage: sqlite3.Error | None = None) -> None:
        """Open `path`, or set aside what is there and begin a new one.

        damage: what was found wrong with the file that was open until now. If it is no longer at `path`, another
        process has dealt with it, and the file there now is a sound one.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(path, self._timeout_s):
                if damage is not None and self._file == _file_id(path):
                    self._set_aside(path, damage)
                try:
                    self._connection = _connect(path, self._timeout_s)
                except sqlite3.DatabaseError as exc:
                    if not _is_damage(exc):
                        raise
                    self._set_aside(path, exc)
                    self._connection = _connect(path, self._timeout_s)
                self._file = _file_id(path)
        except (sqlite3.Error, OSError) as exc:
            self.close()
            self._turn_off(path, exc)

    def _set_aside(self, path: Path, reason: Exception) -> None:
        aside = _set_aside(path)
        self._warnings.append(f"{path}: {reason}; it was set aside as {aside.name} and a new store begun")

    def _turn_off(self, path: Path, reason: Exception) -> None:
        self._warnings.append(f"{path}: {reason}; this run goes on without stored replies")


def encode(reply: Reply) -> str:
    """A Reply as JSON text, in ASCII; exact, so that `decode` gives an equal one."""
    return json.dumps(asdict(reply), separators=(",", ":"))


def decode(text: str | bytes) -> Reply:
    """The Reply that `encode` wrote. Raises ValueError where a field is missing, unknown or of another type."""
    try:
        reply: Reply = _restore(Reply, json.loads(text))
    except (RecursionError, OverflowError) as exc:
        raise ValueError(f"not a reply: {exc}") from exc
    return reply


def _canonical(value: object) -> Iterator[bytes | memoryview]:
    """Bytes that two values share only if they are equal: each part tells its type and its length."""
    match value:
        case None:
            yield b"n"
        case bool():
            yield b"b%d" % value
        case int():
            yield from _sized(b"i", b"%d" % value)
        case float():
            yield from _sized(b"f", value.hex().encode())
        case str():
            yield from _sized(b"s", value.encode("utf-8", "surrogatepass"))
        case tuple() | list():
            yield b"t%d:" % len(value)
            for item in value:
                yield from _canonical(item)
        case _ if is_dataclass(value):
            yield from _sized(b"d", type(value).__name__.encode())
            yield from _canonical([(field.name, getattr(value, field.name)) for field in fields(value)])
        case _:
            yield from _sized(b"a", _samples(value))


def _sized(tag: bytes, content: bytes | memoryview) -> Iterator[bytes | memoryview]:
    size = content.nbytes if isinstance(content, memoryview) else len(content)
    yield b"%b%d:" % (tag, size)
    yield content


def _samples(clip: Any) -> bytes | memoryview:
    """The bytes of a clip, not copied where they lie in one piece; through the buffer, so without numpy."""
    try:
        view = memoryview(clip)
    except TypeError:
        raise TypeError(f"a {type(clip).__name__} has no canonical form, so it cannot be part of a key") from None
    if view.format != "f" or view.ndim != 1:
        raise TypeError(f"a clip must be float32 (n,), not {view.format!r} with shape {view.shape}")
    return view if view.c_contiguous else view.tobytes()


def _restore(hint: Any, value: Any) -> Any:
    """`value`, as JSON gave it, as the type `hint` asks for; ValueError where it is not one."""
    if type(value) is hint:
        return value
    if is_dataclass(hint):
        return _restore_record(hint, value)
    origin, args = _parts(hint)
    if origin in (Union, UnionType):
        (inner,) = (arg for arg in args if arg is not NoneType)
        return None if value is None else _restore(inner, value)
    if origin is tuple and isinstance(value, list):
        return tuple([_restore(args[0], item) for item in value])
    if origin is Literal and value in args:
        return value
    if hint is float and type(value) is int:
        return float(value)
    raise ValueError(f"{value!r} is not {hint}")


def _restore_record(record: Any, value: Any) -> Any:
    hints = _hints(record)
    if not isinstance(value, dict) or value.keys() != hints.keys():
        raise ValueError(f"not the fields of {record.__name__}: {value!r}")
    return record(**{name: _restore(hint, value[name]) for name, hint in hints.items()})


@cache
def _hints(record: Any) -> dict[str, Any]:
    return get_type_hints(record)


@cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(hint), get_args(hint)


class _ForeignError(sqlite3.DatabaseError):
    """A sound SQLite file, but not a store of this schema."""


def _is_damage(exc: sqlite3.Error) -> bool:
    """Whether the file itself is at fault. SQLite's codes for that are the ones the module maps to the bare class."""
    return type(exc) in (sqlite3.DatabaseError, _ForeignError)


@contextmanager
def _alone(path: Path, timeout_s: float) -> Iterator[None]:
    """One process at a time opens a store or sets it aside, or one would rename the file that another has just begun.

    The lock is SQLite's own on an empty file: it works on every system and ends with the process that holds it.
    """
    lock_path = path.with_name(f"{path.name}.lock")
    with closing(sqlite3.connect(lock_path, timeout=timeout_s, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield


def _connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """Open or begin a store. Raises _ForeignError for other databases, sqlite3.Error for what cannot be used."""
    connection = sqlite3.connect(path, timeout=timeout_s, isolation_level="IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")]
        if (version, tables) not in ((SCHEMA, [_TABLE]), (0, [])):
            raise _ForeignError(f"not a store of version {SCHEMA} (found version {version})")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # in this mode safe against a kill; only power loss costs
        if not tables:
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLE}; PRAGMA user_version = {SCHEMA}; COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _file_id(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _set_aside(path: Path) -> Path:
    """Rename a store to the first free `<name>.corrupt-<n>`, with its log: a new store must never replay it."""
    names = (path.with_name(f"{path.name}.corrupt-{n}") for n in range(1, 1_000_000))
    aside = next(name for name in names if not name.exists())
    path.rename(aside)
    with suppress(FileNotFoundError):
        _log(path).rename(_log(aside))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)  # an index of the log, made anew when it is read
    return aside


def _get(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Reply]:
    found, unreadable = {}, []
    for name in keys:
        # as bytes: text that is not UTF-8 would raise here, and cost the whole store instead of one row
        row = connection.execute("SELECT CAST(reply AS BLOB) FROM replies WHERE key = ?", (name,)).fetchone()
        if row is None:
            continue
        try:
            found[name] = decode(row[0])
        except ValueError:
            unreadable.append((name,))
    if unreadable:
        with connection:
            connection.executemany("DELETE FROM replies WHERE key = ?", unreadable)
    return found


def _put(connection: sqlite3.Connection, rows: Sequence[tuple[str, str, float]]) -> None:
    with connection:
        connection.executemany("INSERT OR REPLACE INTO replies (key, reply, created) VALUES (?, ?, ?)", rows)


def _info(connection: sqlite3.Connection, path: Path | None) -> StoreInfo:
    row = connection.execute("SELECT COUNT(*), MIN(created), MAX(created) FROM replies").fetchone()
    size = 0
    for file in (path, _log(path)) if path is not None else ():
        with suppress(FileNotFoundError):  # another process that closes last takes the log away
            size += file.stat().st_size
    return StoreInfo(path, replies=row[0], bytes=size, oldest=row[1], newest=row[2])


def _delete_before(connection: sqlite3.Connection, before: float) -> int:
    with connection:
        return connection.execute("DELETE FROM replies WHERE created <= ?", (before,)).rowcount


def _shrink(connection: sqlite3.Connection) -> None:
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
