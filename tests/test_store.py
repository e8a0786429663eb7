"""The store: what was put is found again, by every process and after every accident, and never costs a run."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocli.records import Reply, Request, Segment, Word
from audiocli.store import SCHEMA, Store, StoreInfo, decode, encode, key

ROOT = Path(__file__).resolve().parents[1]
POSIX = pytest.mark.skipif(os.name != "posix", reason="the accident is made with a POSIX call")

numbers = st.floats(allow_nan=False)
maybe_number, maybe_text = st.none() | numbers, st.none() | st.text()
words = st.builds(Word, numbers, numbers, st.text(), maybe_number)
segments = st.builds(
    Segment, numbers, numbers, st.text(), st.lists(words).map(tuple), maybe_text, maybe_number, maybe_text
)
replies = st.builds(
    Reply,
    text=st.text(),
    segments=st.lists(segments, max_size=4).map(tuple),
    tokens=st.integers(),
    stop=st.sampled_from(["end", "length"]),
    language=maybe_text,
    temperature=numbers,
    avg_logprob=maybe_number,
    no_speech_prob=maybe_number,
    compression_ratio=maybe_number,
    unreliable=maybe_text,
)


def reply(number: int) -> Reply:
    word = Word(0.0, 1.5, f" {number}", 0.25)
    return Reply(f"number {number}", (Segment(0.0, 1.5, f"number {number}", (word,)),), tokens=number)


PRELUDE = """
import sys
from pathlib import Path
from audiocli.records import Reply
from audiocli.store import Store
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own that runs `script`, with pipes for its standard streams."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(script), *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "replies.sqlite3"


# Replies


@settings(max_examples=50, deadline=None)
@given(replies)
def test_a_reply_comes_back_equal_from_its_text(reply: Reply) -> None:
    again = decode(encode(reply))
    assert again == reply
    assert repr(again) == repr(reply)  # types too: 1 == 1.0 == True


def test_a_number_that_is_not_one_comes_back() -> None:
    assert math.isnan(decode(encode(Reply("", avg_logprob=math.nan))).avg_logprob or 0)


def test_replies_are_found_by_the_next_run(path: Path) -> None:
    kept = {f"{number:064x}": reply(number) for number in range(1_500)}
    with Store(path) as store:
        store.put(kept)
    with Store(path) as store:
        assert store.get([*kept, "unknown"]) == kept
        assert store.get([]) == {}
        assert store.warnings == ()


def test_the_newer_reply_replaces_the_older(path: Path) -> None:
    with Store(path) as store:
        store.put({"a": reply(1)})
        store.put({"a": reply(2)})
        assert store.get(["a"]) == {"a": reply(2)}
        assert store.info().replies == 1


GOOD = encode(reply(1))


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"{",
        b"\xff\xfe\xff",
        b"[]",
        b"[" * 100_000,
        GOOD.replace('"tokens":1', '"tokens":true'),
        GOOD.replace('"tokens":1', '"tokens":"1"'),
        GOOD.replace('"tokens":1', '"tokens":1,"more":1'),
        GOOD.replace('"tokens":1,', ""),
        GOOD.replace('"temperature":0.0', '"temperature":' + "9" * 400),
        GOOD.replace('"stop":"end"', '"stop":"other"'),
        GOOD.replace('"end_s":1.5', '"end_s":null'),
        GOOD.replace('"speaker":null', '"speaker":{}'),
        7,
    ],
)
def test_a_row_that_is_not_a_reply_is_a_miss_and_goes(path: Path, row: Any) -> None:
    assert row != GOOD
    with Store(path) as store:
        store.put({"bad": reply(1), "good": reply(2)})
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE replies SET reply = CAST(? AS TEXT) WHERE key = 'bad'", (row,))
        assert store.get(["bad", "good"]) == {"good": reply(2)}
        assert store.info().replies == 1
        assert store.warnings == ()


def test_clear_removes_the_old_and_gives_room_back(path: Path) -> None:
    with Store(path) as store:
        store.put({f"old {number}": Reply("x" * 1000) for number in range(1000)})
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE replies SET created = created - 3600")
        store.put({"new": reply(1)})
        before = store.info()
        assert before.oldest is not None and before.newest is not None
        assert before.newest - before.oldest == pytest.approx(3600, abs=60)
        assert before.newest == pytest.approx(time.time(), abs=60)

        assert store.clear(older_than_s=1800) == 1000
        after = store.info()
        assert store.get(["new"]) == {"new": reply(1)}
        assert (after.path, after.replies, after.oldest) == (path, 1, before.newest)
        assert after.bytes < before.bytes / 10

        assert store.clear() == 1
        assert store.info().replies == 0 and store.info().oldest is None
        assert store.warnings == ()


def test_what_people_said_is_readable_by_the_owner_only(path: Path) -> None:
    with Store(path):
        if os.name == "posix":
            assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.exists()


def test_without_a_path_nothing_is_known_and_nothing_kept(tmp_path: Path) -> None:
    with Store(None) as store:
        store.put({"a": reply(1)})
        assert store.get(["a"]) == {}
        assert store.clear() == 0
        assert store.info() == StoreInfo(None, 0, 0, None, None)
        assert store.warnings == ()


def test_importing_the_store_loads_no_heavy_library() -> None:
    process = start("print({'numpy', 'torch'} & set(sys.modules))")
    assert process.communicate(timeout=60)[0].strip() == "set()"


# Several processes, and their end


def test_processes_write_and_read_at_once_without_loss(path: Path) -> None:
    script = """
    mine = int(sys.argv[2])
    sys.stdin.readline()
    with Store(Path(sys.argv[1])) as store:
        for n in range(150):
            store.put({f"{mine} {n}": Reply(f"{mine} {n}"), f"both {n}": Reply(f"both {n}")})
            assert store.get([f"{mine} {n}", f"both {n}"]).keys() == {f"{mine} {n}", f"both {n}"}
        assert store.warnings == (), store.warnings
    """
    processes = [start(script, path, mine) for mine in (1, 2, 3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) and process.returncode for process in processes] == [0, 0, 0]
    expected = {name: Reply(name) for kind in ("1", "2", "3", "both") for name in (f"{kind} {n}" for n in range(150))}
    with Store(path) as store:
        assert store.get(list(expected)) == expected


@POSIX
def test_a_killed_run_loses_nothing_that_was_put(path: Path) -> None:
    script = """
    with Store(Path(sys.argv[1])) as store:
        for n in range(1_000_000):
            store.put({str(n): Reply("x" * (n % 5_000), tokens=n)})
            print(n, flush=True)
    """
    process = start(script, path)
    assert process.stdout is not None
    for _ in range(300):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    count = 300 + len(process.stdout.readlines())
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    put = {str(n): Reply("x" * (n % 5_000), tokens=n) for n in range(count)}
    with Store(path) as store:
        assert store.get(list(put)) == put
        assert store.info().replies in (count, count + 1)  # the last may have been put and not told
        assert store.warnings == ()


def test_processes_that_meet_a_broken_store_set_it_aside_once(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    script = """
    sys.stdin.readline()
    with Store(Path(sys.argv[1])) as store:
        store.put({sys.argv[2]: Reply(sys.argv[2])})
        print(len(store.warnings))
    """
    processes = [start(script, path, name) for name in "abcd"]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sorted(told) == [0, 0, 0, 1]
    with Store(path) as store:
        assert store.get("abcd") == {name: Reply(name) for name in "abcd"}


# Damage


def a_store(path: Path, count: int = 200) -> None:
    with Store(path) as store:
        store.put({str(n): reply(n) for n in range(count)})


def cut(path: Path, size: int) -> None:
    a_store(path)
    with path.open("r+b") as file:
        file.truncate(size)


def version(path: Path, number: int) -> None:
    a_store(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version = {number}")


def another_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b"no database"), id="a few bytes"),
        pytest.param(lambda path: path.write_bytes(os.urandom(50_000)), id="random bytes"),
        pytest.param(lambda path: path.write_bytes(bytes(8192)), id="zeros"),
        pytest.param(lambda path: cut(path, 10_000), id="truncated"),
        pytest.param(lambda path: cut(path, 4096), id="truncated at a page"),
        pytest.param(lambda path: cut(path, 50), id="truncated in the header"),
        pytest.param(lambda path: version(path, SCHEMA + 1), id="newer"),
        pytest.param(lambda path: version(path, 0), id="older"),
        pytest.param(another_database, id="of another program"),
    ],
)
def test_a_file_that_is_no_store_is_set_aside_and_a_new_one_begun(path: Path, damage: Any) -> None:
    path.parent.mkdir()
    for number in (1, 2):
        damage(path)
        broken = path.read_bytes()
        with Store(path) as store:
            assert store.get(["0"]) == {}
            store.put({"0": reply(0)})
            assert store.get(["0"]) == {"0": reply(0)}
        (warning,) = store.warnings
        aside = path.with_name(f"replies.sqlite3.corrupt-{number}")
        assert str(path) in warning and aside.name in warning
        assert aside.read_bytes() == broken
        path.unlink()


def overwrite(path: Path) -> None:
    """Spoil all but the first page, which is all that opening reads."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


def test_damage_that_two_find_late_is_set_aside_once(path: Path) -> None:
    a_store(path, 2_000)
    with Store(path) as first, Store(path) as second:
        overwrite(path)
        assert first.get(["0"]) == {}
        first.put({"0": reply(0)})
        assert second.get(["0"]) == {}
        assert second.get(["0"]) == {"0": reply(0)}
        assert (len(first.warnings), len(second.warnings)) == (1, 0)
    assert [file.name for file in path.parent.glob("*corrupt-?")] == ["replies.sqlite3.corrupt-1"]


def test_damage_that_is_found_late_sets_the_store_aside_too(path: Path) -> None:
    a_store(path, 2_000)
    with Store(path) as store:
        overwrite(path)
        assert store.get(["0"]) == {}
        store.put({"0": reply(0)})
        assert store.get(["0"]) == {"0": reply(0)}
        (warning,) = store.warnings
        assert "corrupt-1" in warning
    with Store(path) as store:
        assert store.get(["0"]) == {"0": reply(0)}


@POSIX
def test_a_store_set_aside_takes_its_log_along_and_its_users_do_not_disturb_the_new_one(path: Path) -> None:
    script = """
    import sqlite3
    store = Store(Path(sys.argv[1]))
    store.put({"a": Reply("a")})
    sqlite3.connect(sys.argv[1]).execute("PRAGMA user_version = 99")
    print(flush=True)
    sys.stdin.readline()
    store.put({"b": Reply("b")})
    assert store.get(["a", "b"]) == {"a": Reply("a"), "b": Reply("b")}
    store.close()
    """
    older = start(script, path)
    assert older.stdout is not None
    older.stdout.readline()
    with Store(path) as store:
        assert store.get(["a"]) == {}
        store.put({"c": reply(3)})
        older.communicate("\n", timeout=60)
        assert older.returncode == 0
        store.put({"d": reply(4)})
        assert len(store.warnings) == 1
    with Store(path) as store:
        assert store.get("abcd") == {"c": reply(3), "d": reply(4)}
        assert store.info().replies == 2
    aside = path.with_name(path.name + ".corrupt-1")
    assert path.with_name(aside.name + "-wal").stat().st_size > 0
    with closing(sqlite3.connect(aside)) as other:
        assert other.execute("SELECT COUNT(*) FROM replies").fetchone() == (2,)


# Where nothing can be stored


def is_off(store: Store) -> bool:
    """Nothing is known or kept, and one warning says so."""
    store.put({"a": reply(1)})
    (warning,) = store.warnings
    return store.get(["a"]) == {} and store.clear() == 0 and store.info().replies == 0 and "goes on without" in warning


def test_a_folder_that_cannot_be_made_turns_the_store_off(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Store(tmp_path / "file" / "cache" / "replies.sqlite3") as store:
        assert is_off(store)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even root can write to")
def test_a_folder_that_cannot_be_written_turns_the_store_off() -> None:
    with Store(Path("/proc/self/replies.sqlite3")) as store:
        assert is_off(store)


def test_a_folder_in_the_place_of_the_file_turns_the_store_off(path: Path) -> None:
    path.mkdir(parents=True)
    with Store(path) as store:
        assert is_off(store)


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_lock_that_outlasts_the_wait_turns_the_store_off(path: Path, lock: str) -> None:
    with Store(path, timeout_s=0.05) as store:
        store.put({"b": reply(2)})
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute(lock)
            assert is_off(store)
    with Store(path) as store:
        assert store.get(["a", "b"]) == {"b": reply(2)}


def test_a_lock_that_goes_in_time_costs_nothing(path: Path) -> None:
    script = """
    import sqlite3
    other = sqlite3.connect(sys.argv[1], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    print(flush=True)
    import time; time.sleep(0.3)  # the lock's length is what is tested
    other.execute("COMMIT")
    """
    with Store(path) as store:
        process = start(script, path)
        assert process.stdout is not None
        process.stdout.readline()
        store.put({"a": reply(1)})
        process.communicate(timeout=60)
        assert store.get(["a"]) == {"a": reply(1)}
        assert store.warnings == ()


@POSIX
def test_a_full_disk_turns_the_store_off_and_keeps_what_was_put(path: Path) -> None:
    script = """
    import resource
    with Store(Path(sys.argv[1])) as store:
        store.put({"first": Reply("x" * 1000)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # a write beyond it fails, as on a full disk
        for n in range(100):
            store.put({str(n): Reply("x" * 50_000)})
        assert store.get(["first", "0"]) == {}
        print(*store.warnings, sep="\\n")
    """
    process = start(script, path)
    told = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    assert len(told) == 1 and "goes on without" in told[0]
    with Store(path) as store:
        assert store.get(["first", "0"]) == {"first": Reply("x" * 1000), "0": Reply("x" * 50_000)}
        assert store.warnings == ()


# Keys

RAMP = np.arange(8, dtype=np.float32) / 8
REQUEST = Request((RAMP,))

OTHER: dict[Any, Any] = {
    "tuple[Waveform, ...]": (RAMP + 1,),
    "Task": "translate",
    "str": "Kowalczyk",
    "str | None": "Kowalczyk",
    "int | None": 7,
    "float": 0.4,
    "bool": True,
}
"""Another value for a field of each type; a new field of one of these needs nothing here."""


@pytest.mark.parametrize("field", fields(Request), ids=lambda field: field.name)
def test_every_field_of_a_request_changes_its_key(field: Field[Any]) -> None:
    assert key("model", replace(REQUEST, **{field.name: OTHER[field.type]})) != key("model", REQUEST)


def test_a_field_added_later_counts_without_being_named() -> None:
    @dataclass(frozen=True, eq=False)
    class Later(Request):
        budget: int | None = None

    assert len({key("model", Later((RAMP,), budget=budget)) for budget in (None, 0, 1)}) == 3


def test_the_engine_changes_the_key() -> None:
    assert key("model", REQUEST) != key("model 2", REQUEST)


def test_equal_requests_share_a_key_however_their_samples_lie_in_memory() -> None:
    spread = np.zeros(16, np.float32)
    spread[::2] = RAMP
    fixed = RAMP.copy()
    fixed.flags.writeable = False
    assert {key("model", Request((clip,))) for clip in (RAMP.copy(), spread[::2], fixed)} == {key("model", REQUEST)}


def test_the_border_between_clips_counts() -> None:
    layouts = [(RAMP,), (RAMP[:3], RAMP[3:]), (RAMP[:4], RAMP[4:]), (RAMP, RAMP[:0]), (RAMP[:0], RAMP), ()]
    assert len({key("model", Request(clips)) for clips in layouts}) == len(layouts)


def test_the_border_between_texts_counts() -> None:
    pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("abc", None), ("", "abc")]
    assert len({key(model, Request((RAMP,), initial_prompt=prompt)) for model, prompt in pairs}) == len(pairs)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(), maybe_text, st.booleans()), min_size=2, max_size=6, unique=True))
def test_different_requests_have_different_keys(made: list[tuple[str, str | None, bool]]) -> None:
    keys = {key(model, Request((RAMP,), initial_prompt=text, word_timestamps=flag)) for model, text, flag in made}
    assert len(keys) == len(made)


@pytest.mark.parametrize(
    "clip",
    [RAMP.astype(np.float64), RAMP.astype(np.int16), RAMP.astype(">f4"), RAMP.reshape(2, 4), RAMP.tobytes(), {1: 2}],
    ids=["float64", "int16", "big endian", "two dimensions", "bytes", "no array"],
)
def test_a_clip_that_is_no_waveform_is_refused(clip: Any) -> None:
    with pytest.raises(TypeError, match=r"float32 \(n,\)|canonical form"):
        key("model", Request((clip,)))


def test_keys_are_the_same_in_every_process_and_release() -> None:
    """Every key would change with this one, and all that users have stored be asked for anew."""

    @dataclass(frozen=True)
    class Question:  # of its own, so that a new field of Request leaves this test alone
        clips: tuple[Any, ...] = (RAMP, RAMP[:1])
        texts: tuple[str | None, ...] = ("Zoë", "", None)
        numbers: tuple[float, ...] = (0, -1, 0.1, True)

    question: Any = Question()
    assert key("tiny.en fp32", question) == "8cfcf6f661dd254d2631b5bfdbf0915edb37059492fe1590ff20370f06a62e45"
