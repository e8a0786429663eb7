"""What may not happen, whoever made the recording, its name, its address or the prompt: proven on the command line."""

from __future__ import annotations

import base64
import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiocli.audio import open_audio
from audiocli.records import RATE

SAMPLES = Path(__file__).parents[1] / "samples"
FAKE = ["--engine", "fake"]
HELLO = [(1.0, 1), (1.5, 2)]
TRAP = """
import os, socket

def refused(*arguments, **options):
    with open(os.environ["TRAP"], "a") as log:
        print(arguments, file=log)
    raise OSError("the network was used")

for name in ("connect", "connect_ex", "sendto", "bind"):
    setattr(socket.socket, name, refused)
for name in ("getaddrinfo", "gethostbyname", "create_connection"):
    setattr(socket, name, refused)
"""
"""Python runs a module of this name before anything else: every way onto the network is an error from then on."""


# The network


@pytest.fixture
def without_network(audiocli):
    """The command line with no network, and the file that tells who tried to use it."""
    folder = audiocli.folder / "trap"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(TRAP)
    audiocli.environment["PYTHONPATH"] = f"{folder}{':' if sys.platform != 'win32' else ';'}{SAMPLES.parent}"
    audiocli.environment["TRAP"] = str(folder / "log")
    return folder / "log"


@pytest.fixture
def remark(audiocli):
    """Ten seconds of real speech."""
    with open_audio(SAMPLES / "pauses.flac") as reader:
        soundfile.write(audiocli.folder / "remark.wav", next(iter(reader))[: 10 * RATE], RATE)
    return "remark.wav"


@pytest.mark.parametrize("offline", ["true", "false"])
def test_the_built_in_model_needs_no_network_and_asks_for_none(audiocli, without_network, remark, offline):
    tasks = ["--tasks", "transcribe,summarize,analyze"]
    run = audiocli("run", remark, *tasks, "-o", "out", "-f", "all", AUDIOCLI_OFFLINE=offline)
    assert (run.code, run.errors) == (0, [])
    document = json.loads((audiocli.folder / "out/remark.json").read_text())
    assert "recorder" in document["text"] and document["summary"] and document["analysis"]
    assert not without_network.exists(), without_network.read_text()


def test_the_trap_that_proves_this_springs(audiocli, without_network):
    run = audiocli("transcribe", "http://127.0.0.1:9/a.wav", *FAKE, AUDIOCLI_OFFLINE="false")
    assert run.code == 4 and "cannot be reached: the network was used" in run.errors[0]
    assert "9" in without_network.read_text()


@pytest.mark.parametrize("source", ["http://127.0.0.1:9/a.wav", "https://127.0.0.1:9/a.wav"])
def test_offline_not_even_a_name_is_looked_up(audiocli, without_network, source):
    run = audiocli("transcribe", source, *FAKE)
    assert run.code == 4 and "--offline forbids the network" in run.errors[0]
    assert not without_network.exists()


# Addresses and what they hold


class Handler(BaseHTTPRequestHandler):
    """Serves one recording to those who say the password, and sends others elsewhere."""

    def do_GET(self):  # the name is http.server's
        path = self.path.split("?")[0]
        self.server.asked.append((path, self.headers["Authorization"], self.headers["Host"]))
        if path == "/elsewhere":
            self.answer(302, Location=f"http://localhost:{self.server.server_address[1]}/open.wav")
        elif path == "/inwards":
            self.answer(302, Location="http://169.254.169.254/latest/meta-data/")
        elif path == "/missing.wav":
            self.answer(404)
        elif path == "/text.wav":
            self.answer(200, b"no sound at all, but text\n" * 50)
        elif path == "/open.wav" or self.headers["Authorization"] == PASSWORD:
            self.answer(200, self.server.recording)
        else:
            self.answer(401)

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


SECRETS = ("s3cret", "t0ken", base64.b64encode(b"user:s3cret!").decode())
PASSWORD = f"Basic {SECRETS[2]}"


@contextmanager
def serving(recording):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.recording = [], recording
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web(audiocli, say):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        audiocli.environment.pop(name, None)
    audiocli.environment["AUDIOCLI_OFFLINE"] = "false"
    with serving(say(audiocli.folder / "talk", HELLO, 3.0).read_bytes()) as server:
        (audiocli.folder / "talk").unlink()
        yield server


def address(server, path, credentials="user:s3cret%21@"):
    return f"http://{credentials}127.0.0.1:{server.server_address[1]}{path}?key=t0ken"


def everything_left(folder, run):
    """All that a run wrote anywhere, names included, as one piece of bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = [str(path.relative_to(folder)).encode() for path in files]
    return b"\n".join([run.out.encode(), run.err.encode(), *names, *(path.read_bytes() for path in files)])


def test_credentials_open_the_address_and_are_in_no_output_log_or_store(audiocli, web):
    run = audiocli("transcribe", address(web, "/talk.wav"), *FAKE, "-o", "out", "-f", "all", "--verbose")
    assert (run.code, run.errors) == (0, [])
    document = json.loads((audiocli.folder / "out/talk.json").read_text())
    port = web.server_address[1]
    assert (document["text"], document["source"]) == ("w1 w2", f"http://127.0.0.1:{port}/talk.wav")
    assert web.asked == [("/talk.wav", PASSWORD, f"127.0.0.1:{port}")]
    left = everything_left(audiocli.folder, run)
    assert not [secret for secret in SECRETS if secret.encode() in left]


@pytest.mark.parametrize(
    "path", ["/missing.wav", "/text.wav", "/inwards", "no port", "nobody there", "broken", "twice", "elsewhere"]
)
def test_no_error_names_a_credential(audiocli, web, path):
    sources = {
        "no port": ["http://user:s3cret@127.0.0.1:port/a.wav?key=t0ken"],
        "nobody there": ["http://user:s3cret@127.0.0.1/a.wav?key=t0ken"],
        "broken": ["http://user:s3cret@[a/a.wav?key=t0ken"],
        "twice": ["http://user:s3cret@a/b.wav?key=t0ken", "http://user:s3cret@c/b.wav?key=t0ken"],
        "elsewhere": ["ftp://user:s3cret@a/b.wav?key=t0ken"],
    }.get(path) or [address(web, path)]
    for progress in ("bar", "json"):
        run = audiocli("transcribe", *sources, *FAKE, "-o", "out", "--progress", progress, "--verbose")
        assert run.code in (2, 4) and "Traceback" not in run.err
        assert not [secret for secret in SECRETS if secret in run.err + run.out]


def test_a_redirect_takes_no_password_along(audiocli, web):
    run = audiocli("transcribe", address(web, "/elsewhere"), *FAKE, "-f", "txt")
    assert (run.code, run.out) == (0, "w1 w2\n")
    assert [(path, said) for path, said, _ in web.asked] == [("/elsewhere", PASSWORD), ("/open.wav", None)]


def test_a_redirect_to_what_only_this_machine_reaches_is_not_followed(audiocli, web):
    run = audiocli("transcribe", address(web, "/inwards", ""), *FAKE)
    assert run.code == 4 and "redirects to a link-local address, which is not followed" in run.errors[0]


# Names


@pytest.mark.skipif(sys.platform != "linux", reason="names of any characters")
def test_whatever_inputs_are_called_outputs_stay_in_their_folder(audiocli, say):
    names = ["..\\up.wav", "CON.wav", "NUL.txt.wav", "aux", "....wav", "~.wav", "%2e%2e%2fup.wav", "a" * 251 + ".wav"]
    for name in names:
        say(audiocli.folder / "in" / name, HELLO, 3.0)
    (audiocli.folder / "in/circle").symlink_to(audiocli.folder / "in")
    inside = [f"in/{name}" for name in names]
    absolute = say(audiocli.folder / "absolute.wav", HELLO, 3.0)
    before = {path for path in audiocli.folder.rglob("*") if path.is_file()}
    run = audiocli("transcribe", *inside, "in", "in/../in/../absolute.wav", absolute, "-r", *FAKE, "-o", "out/deep")
    assert (run.code, run.errors) == (0, [])
    after = {path for path in audiocli.folder.rglob("*") if path.is_file()} - before
    new = {path for path in after if audiocli.folder / "cache" not in path.parents}
    assert {path.parent for path in new} == {audiocli.folder / "out/deep"}
    assert len(new) == 2 * (len(names) + 1)
    assert not [path for path in new if path.stem.split(".")[0].casefold() in ("con", "nul", "aux")]


def test_a_name_with_a_nul_in_a_list_costs_that_input_only(audiocli, say):
    say(audiocli.folder / "a.wav", HELLO, 3.0)
    listed = audiocli("transcribe", "--files-from", "-", *FAKE, "-f", "txt", stdin=b"a.wav\0no\nsuch.wav\0")
    assert (listed.code, listed.out, len(listed.errors)) == (4, "w1 w2\n", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any characters")
def test_a_name_that_is_markup_or_a_terminal_command_is_shown_not_obeyed(audiocli, say):
    name = "<img src=x onerror=alert(1)>\x1b]0;owned\x07[a](javascript:b).wav"
    say(audiocli.folder / name, HELLO, 3.0)
    run = audiocli("transcribe", f"./{name}", *FAKE, "-o", "out", "-f", "md,txt,vtt,srt,tsv")
    assert run.code == 0 and "\x1b" not in run.err
    for path in (audiocli.folder / "out").iterdir():
        written = path.read_text(encoding="utf-8")
        assert "\x1b" not in written and "\x07" not in written
        assert "<img" not in written
        assert "](javascript" not in written.replace("\\](", "") or path.suffix != ".md"


# Files that say more than they should


@pytest.mark.parametrize("command", ["prompts", "run"])
def test_a_prompt_file_that_would_run_code_is_refused_and_runs_none(audiocli, say, command):
    say(audiocli.folder / "a.wav", HELLO, 3.0)
    (audiocli.folder / "evil.yaml").write_text("name: !!python/object/apply:os.mkdir [owned]\nuser: x\n")
    what = ["prompts", "check", "evil.yaml"] if command == "prompts" else ["run", "a.wav", "--prompt", "evil.yaml"]
    run = audiocli(*what)
    assert (run.code, len(run.errors)) == (2, 1) and not (audiocli.folder / "owned").exists()


def test_settings_that_would_run_code_are_words_and_run_none(audiocli, say):
    say(audiocli.folder / "a.wav", HELLO, 3.0)
    (audiocli.folder / "audiocli.yaml").write_text("model: !!python/object/apply:os.mkdir [owned]\n")
    run = audiocli("transcribe", "a.wav")
    assert (run.code, len(run.errors)) == (3, 1) and not (audiocli.folder / "owned").exists()


def test_a_recording_that_points_to_other_files_reads_none_of_them(audiocli):
    secret = audiocli.folder / "secret.wav"
    soundfile.write(secret, np.full(3 * RATE, 0.5, np.float32), RATE)
    lists = {
        "a.m3u8": f"#EXTM3U\n#EXTINF:3,\n{secret}\n#EXT-X-ENDLIST\n",
        "b.mp3": f"ffconcat version 1.0\nfile '{secret}'\n",
        "c.wav": f"v=0\nm=audio 5004 RTP/AVP 0\nfile://{secret}\n",
        "d.mkv": f"<?xml version='1.0'?><MPD><BaseURL>file://{secret}</BaseURL></MPD>",
    }
    for name, content in lists.items():
        (audiocli.folder / name).write_text(content)
    run = audiocli("transcribe", *lists, *FAKE, "-f", "json")
    assert (run.code, run.out, len(run.errors)) == (4, "", len(lists))
