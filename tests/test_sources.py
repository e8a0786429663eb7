"""What `audiocli.sources` promises: every recording that was meant, once, under a safe name; nothing else is opened."""

from __future__ import annotations

import io
import os
import socket
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocli.errors import SourceError, UsageError
from audiocli.records import Job
from audiocli.sources import PART_BYTES, FetchLimits, collisions, expand, local

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX file names and pipes")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Recordings in folders, with what should not be taken for one."""
    for name in (
        "rec/2.wav",
        "rec/10.WAV",
        "rec/notes.txt",
        "rec/.hidden.wav",
        "rec/jan/a.mp3",
        "rec/jan/b.m4a",
        "rec/feb/a.mp3",
        "rec/.cache/c.wav",
        "empty/readme.md",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound of " + name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(inputs, **options):
    """(source, stem) of every Job, sources with forward slashes."""
    return [(job.source.replace(os.sep, "/"), job.stem) for job in expand(inputs, **options).jobs]


# Inputs to Jobs


def test_a_folder_gives_the_recordings_directly_inside_in_natural_order(tree):
    assert named(["rec"]) == [("rec/2.wav", "2"), ("rec/10.WAV", "10")]


def test_recursive_mirrors_the_tree_and_passes_over_what_is_hidden(tree):
    assert named(["rec"], recursive=True) == [
        ("rec/2.wav", "2"),
        ("rec/10.WAV", "10"),
        ("rec/feb/a.mp3", "feb/a"),
        ("rec/jan/a.mp3", "jan/a"),
        ("rec/jan/b.m4a", "jan/b"),
    ]


def test_a_pattern_the_shell_did_not_expand_is_expanded_and_mirrors_below_its_fixed_part(tree):
    assert named(["rec/*.wav"]) == [("rec/2.wav", "2")]
    assert named(["rec/**/*.mp3"]) == [("rec/feb/a.mp3", "feb/a"), ("rec/jan/a.mp3", "jan/a")]
    assert named(["*/jan/[ab].m*"]) == [("rec/jan/a.mp3", "rec/jan/a"), ("rec/jan/b.m4a", "rec/jan/b")]
    assert named([str(tree / "rec" / "*" / "b.*")]) == [(f"{tree.as_posix()}/rec/jan/b.m4a", "jan/b")]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tree):
    Path("rec/take[1].wav").touch()
    Path("rec/take1.wav").touch()
    assert named(["rec/take[1].wav"]) == [("rec/take[1].wav", "take[1]")]


def test_any_file_may_be_named_and_only_suffixes_of_recordings_are_cut_off(tree):
    assert named(["rec/notes.txt", "call.2024", "x/talk.v2.FLAC"]) == [
        ("rec/notes.txt", "notes.txt"),
        ("call.2024", "call.2024"),
        ("x/talk.v2.FLAC", "talk.v2"),
    ]


def test_one_file_named_in_several_ways_is_one_job(tree):
    assert named(["rec/2.wav", "rec/jan/../2.wav", str(tree / "rec/2.wav"), "rec"]) == [
        ("rec/2.wav", "2"),
        ("rec/10.WAV", "10"),
    ]


@posix
def test_a_link_to_a_file_already_named_is_no_second_job(tree):
    Path("link.wav").symlink_to("rec/2.wav")
    assert named(["rec/2.wav", "link.wav"]) == [("rec/2.wav", "2")]


@posix
def test_a_link_that_leads_in_a_circle_ends(tree):
    Path("rec/jan/loop").symlink_to("..", target_is_directory=True)
    assert len(named(["rec"], recursive=True)) == 5


def test_a_missing_file_stops_nobody_until_it_is_opened(tree):
    jobs = expand(["gone.wav", "rec/2.wav"]).jobs
    assert [job.source for job in jobs] == ["gone.wav", "rec/2.wav"]
    with pytest.raises(SourceError, match="^no such file$"), local(jobs[0].source):
        pass


def test_what_gives_nothing_is_a_warning_beside_others_and_an_error_alone(tree):
    expansion = expand(["empty", "rec/*.flac", "rec/2.wav"])
    assert len(expansion.jobs) == 1
    assert expansion.warnings == (
        "empty: no recording directly in this folder (--recursive looks below it)",
        "rec/*.flac: no file matches this pattern",
    )
    for inputs in (["empty"], ["rec/*.flac"], []):
        with pytest.raises(UsageError, match="empty: no recording|no file matches|no input"):
            expand(inputs)


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_reported(tree):
    Path("rec/jan").chmod(0)
    try:
        expansion = expand(["rec"], recursive=True)
    finally:
        Path("rec/jan").chmod(0o700)
    assert expansion.warnings == ("rec/jan: this folder cannot be listed: Permission denied",)


def test_a_list_gives_one_input_a_line(tree):
    text = "\ufeff# meetings\r\nrec/2.wav\r\n\n   \nrec/jan\n with blank.wav\n"
    Path("list.txt").write_bytes(text.encode())
    expected = ["rec/2.wav", "rec/jan/a.mp3", "rec/jan/b.m4a", " with blank.wav"]
    assert [source for source, _ in named([], files_from="list.txt")] == expected
    assert [source for source, _ in named([], files_from="-", stdin=io.StringIO(text[1:]))] == expected


def test_a_list_with_nul_takes_names_as_they_are(tree):
    text = "# not a comment.wav\0a\nb.wav\0\0rec/2.wav\0"
    stdin = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="ascii")
    sources = [source for source, _ in named(["first.wav"], files_from="-", stdin=stdin)]
    assert sources == ["first.wav", "# not a comment.wav", "a\nb.wav", "rec/2.wav"]


@posix
def test_a_listed_name_need_not_be_utf8(tree):
    raw = b"caf\xe9.wav"
    Path(os.fsdecode(raw)).write_bytes(b"sound")
    Path("list.txt").write_bytes(raw + b"\n")
    (job,) = expand([], files_from="list.txt").jobs
    with local(job.source) as path:
        assert path.read_bytes() == b"sound"
    assert job.stem == "caf_"


def test_a_list_that_cannot_be_read_or_that_reads_itself_is_refused(tree):
    with pytest.raises(UsageError, match=r"gone\.txt: the list of files cannot be read: No such file"):
        expand([], files_from="gone.txt")
    with pytest.raises(UsageError, match="both the list of files and a recording"):
        expand(["-"], files_from="-", stdin=io.StringIO("a.wav\n"))


# Stems


@pytest.mark.parametrize(
    ("url", "stem"),
    [
        ("https://example.org/talks/Day%201.mp3?key=2#t=3", "Day 1"),
        ("https://example.org/a%2Fb%2F..%2Fc.wav", "a_b_.._c"),
        ("https://example.org/", "example.org"),
        ("HTTP://example.org/get.php?id=1", "get.php"),
        ("https://example.org/..%00%0a", "..__"),
        ("https://[broken/a.mp3", "https___[broken_a.mp3"),
    ],
)
def test_an_address_is_named_after_its_path(url, stem):
    assert named([url])[0][1] == stem


def test_standard_input_has_a_name():
    assert expand(["-"]).jobs == (Job("-", "stdin"),)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("CON.wav", "_CON"),
        ("nul.tar.mp3", "_nul.tar"),
        ("com1.wav", "_com1"),
        ("console.wav", "console"),
        ("a\tb\x7f.wav", "a_b_"),
        ("dots. . .wav", "dots"),
        ("back\\slash.wav", "back_slash" if os.name == "posix" else "slash"),
        ("", "_"),
    ],
)
def test_a_stem_is_a_name_every_system_takes(tmp_path, monkeypatch, name, stem):
    monkeypatch.chdir(tmp_path)
    assert expand([name]).jobs[0].stem == stem


def test_a_long_name_is_shortened_so_that_it_stays_itself():
    stems = {expand(["ü" * 120 + ending + ".wav"]).jobs[0].stem for ending in ("a", "b")}
    assert len(stems) == 2
    assert all(len(stem.encode()) <= PART_BYTES for stem in stems)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_no_name_leads_out_of_the_output_folder(parts):
    name = "/".join(parts)
    for source in (name, f"https://example.org/{name}"):
        if set("*?[") & set(name) or set(name) <= set("./-"):  # patterns, folders and standard input
            continue
        stem = expand([source]).jobs[0].stem
        assert all(part.strip(". ") for part in stem.split("/"))
        assert all(len(part.encode()) <= PART_BYTES for part in stem.split("/"))
        assert not any(char < " " or char == "\\" for char in stem)
        assert not stem.startswith("/")


# Collisions


def test_two_inputs_for_one_output_are_refused_with_both_names_and_advice():
    jobs = expand(["a/x.wav", "b/X.mp3"]).jobs
    with pytest.raises(UsageError, match=r"^a/x\.wav and b/X\.mp3 would both be written to x: .*--recursive"):
        collisions(jobs)


@pytest.mark.parametrize(("one", "other"), [("straße", "STRASSE"), ("caf\u00e9", "cafe\u0301"), ("d/X", "D/x")])
def test_names_that_some_file_systems_hold_for_equal_collide(one, other):
    with pytest.raises(UsageError):
        collisions([Job("a", one), Job("b", other)])


def test_different_outputs_do_not_collide():
    collisions([Job("a", "x"), Job("b", "y"), Job("c", "x/y"), Job("d", "x.y")])


# Local sources


def test_a_file_is_used_where_it_is(tree):
    with local("rec/2.wav") as path:
        assert path == Path("rec/2.wav")


@pytest.mark.parametrize(("source", "message"), [("rec", "is a folder"), ("a\0b", "null"), ("x" * 300, "too long")])
@posix
def test_what_is_no_file_is_refused_in_one_line(tree, source, message):
    with pytest.raises(SourceError, match=message) as caught, local(source):
        pass
    assert "\n" not in str(caught.value)


@posix
def test_a_device_is_refused(tree):
    with pytest.raises(SourceError, match="is a device"), local(os.devnull):
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_says_so(tree):
    Path("rec/2.wav").chmod(0)
    with pytest.raises(SourceError, match="cannot be opened: permission denied"), local("rec/2.wav"):
        pass


@posix
def test_a_named_pipe_is_copied_and_the_copy_removed(tree):
    os.mkfifo("pipe.wav")
    writer = threading.Thread(target=lambda: Path("pipe.wav").write_bytes(b"x" * 100_000))
    writer.start()
    with local("pipe.wav") as path:
        assert path.read_bytes() == b"x" * 100_000
        assert path.suffix == ".wav"
    writer.join()
    assert not path.exists()


def test_standard_input_is_copied_and_the_copy_removed_also_after_an_error():
    with pytest.raises(ZeroDivisionError), local("-", stdin=io.BytesIO(b"sound")) as path:
        assert path.read_bytes() == b"sound"
        raise ZeroDivisionError
    assert not path.parent.exists()


def test_standard_input_that_is_too_large_or_closed_or_a_terminal_is_refused(monkeypatch):
    with pytest.raises(SourceError, match="too large: more than the 10 bytes allowed"):
        enter(local("-", stdin=io.BytesIO(bytes(11)), limits=FetchLimits(size=10)))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="standard input is closed"):
        enter(local("-"))


@posix
def test_a_terminal_is_not_waited_for():
    primary, secondary = os.openpty()
    try:
        with os.fdopen(secondary, "rb", buffering=0) as terminal, pytest.raises(SourceError, match="is a terminal"):
            enter(local("-", stdin=terminal))
    finally:
        os.close(primary)


def enter(context):
    with context as path:
        return path


# The web


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # the name is http.server's
        route = self.path.split("?")[0]
        getattr(self, "answer_" + route.split("/")[1].split(".")[0].replace("%20", "_"), self.answer_missing)()

    def answer_ok(self, body=b"sound" * 1000):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_two_words(self):
        self.answer_ok(b"blank")

    def answer_missing(self):
        self.send_error(404)

    def answer_angry(self):
        self.send_response(500, "Out of\tpatience")
        self.end_headers()

    def redirect(self, target):
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer_moved(self):
        self.redirect("/ok.mp3")

    def answer_file(self):
        self.redirect("file:///etc/passwd")

    def answer_ftp(self):
        self.redirect("ftp://127.0.0.1/a.wav")

    def answer_circle(self):
        self.redirect("/circle")

    def answer_endless(self):
        """Without a length: ends when the connection is closed."""
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(bytes(1000))

    def answer_cut(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"only this")

    def answer_stuck(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"begun")
        self.server.released.wait(5)

    def answer_drip(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.released.wait(0.05):
            self.wfile.write(b".")

    def handle(self):
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the client had enough

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.released = threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def web():
    with serving() as address:
        yield address


@pytest.fixture(autouse=True)
def temporary_files(tmp_path_factory, monkeypatch):
    """Fails the test if a temporary copy outlives it."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("route", ["/ok.mp3", "/moved", "/ok.mp3?key=1#t=2"])
def test_an_address_is_fetched_and_the_copy_removed(web, route):
    with local(web + route) as path:
        assert path.read_bytes() == b"sound" * 1000
        assert path.suffix == (".mp3" if "mp3" in route else "")
    assert not path.exists()


def test_an_address_with_a_blank_is_fetched(web):
    with local(f"{web}/two words") as path:
        assert path.read_bytes() == b"blank"


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ("/gone.mp3", r"^127\.0\.0\.1 answers 404 Not Found$"),
        ("/angry", r"^127\.0\.0\.1 answers 500 Out of patience$"),
        ("/file", r"answers 302 .*file:///etc/passwd' is not allowed"),
        ("/ftp", r"redirects to a ftp address, which is not followed"),
        ("/circle", r"answers 302 .*infinite loop"),
        ("/cut", r"^the connection closed after 9 of 1,000 bytes$"),
        ("/endless", r"^too large: more than the 20,000 bytes allowed$"),
    ],
)
def test_what_goes_wrong_on_the_web_is_one_line(web, route, message):
    with pytest.raises(SourceError, match=message) as caught:
        enter(local(web + route, limits=FetchLimits(size=20_000)))
    assert "\n" not in str(caught.value)


def test_a_length_beyond_the_limit_is_refused_before_it_is_fetched(web):
    with pytest.raises(SourceError, match="too large: 5,000 bytes, of which 100 are allowed"):
        enter(local(f"{web}/ok.mp3", limits=FetchLimits(size=100)))


@pytest.mark.parametrize(
    ("route", "limits", "message"),
    [
        ("/stuck", FetchLimits(timeout_s=0.2), "nothing arrived for 0.2 s"),
        ("/drip", FetchLimits(total_s=0.3), "given up after 0.3 s"),
    ],
)
def test_a_slow_sender_is_given_up(web, route, limits, message):
    started = time.monotonic()
    with pytest.raises(SourceError, match=message):
        enter(local(web + route, limits=limits))
    assert time.monotonic() - started < 3


def test_nobody_there_is_one_line():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match=r"^127\.0\.0\.1 cannot be reached: Connection refused$"):
            enter(local(f"http://127.0.0.1:{reserved.getsockname()[1]}/a.mp3"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("file:///etc/passwd", "only http and https"),
        ("ftp://127.0.0.1/a.wav", "only http and https"),
        ("s3://bucket/a.wav", "only http and https"),
        ("http://", "without a host"),
        ("http://[broken/a.mp3", "not a valid address"),
        ("http://127.0.0.1:port/a.mp3", "cannot be reached"),
    ],
)
def test_an_address_that_cannot_be_fetched_is_refused(source, message):
    with pytest.raises(SourceError, match=message):
        enter(local(source))


def test_offline_opens_no_connection():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.1)
        with pytest.raises(SourceError, match="--offline"):
            enter(local(f"http://127.0.0.1:{listener.getsockname()[1]}/a.mp3", offline=True))
        with pytest.raises(TimeoutError):
            listener.accept()
