"""What the user calls a model leads to a folder that is whole, or to one line that says why not."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, options
from safetensors.torch import load_file, save_file

from audiocli import engines
from audiocli.engines.checkpoints import ALIASES, EMBEDDED_FOLDER, find, fingerprint
from audiocli.errors import ModelError
from audiocli.records import RATE, Reply, Request

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(random_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint to spoil."""
    return Path(shutil.copytree(random_folder, tmp_path / "mine"))


def edit(path: Path, **settings: Any) -> None:
    """Change a JSON file; None takes a setting out."""
    found = {**json.loads(path.read_text(encoding="utf-8")), **settings}
    path.write_text(json.dumps({name: value for name, value in found.items() if value is not None}), encoding="utf-8")


def refusal(folder: Path) -> str:
    """Why a folder is not loaded: one line."""
    with pytest.raises(ModelError) as caught:
        engines.blueprint(options("random", folder)).load()
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 3
    return message


# ---- names


@pytest.mark.parametrize("name", ["auto", "tiny.en", "whisper-tiny.en"])
def test_the_embedded_model_has_these_names(name: str) -> None:
    found = find(name, offline=True)
    assert (found.name, found.folder) == ("tiny.en", EMBEDDED_FOLDER)


@pytest.mark.parametrize(
    ("alias", "repository"),
    [
        ("small", "openai/whisper-small"),
        ("whisper-small", "openai/whisper-small"),
        ("large", "openai/whisper-large-v3"),
        ("turbo", "openai/whisper-large-v3-turbo"),
        ("whisper-large-v3-turbo", "openai/whisper-large-v3-turbo"),
        ("distil-large-v3", "distil-whisper/distil-large-v3"),
        ("qwen2-audio", "Qwen/Qwen2-Audio-7B-Instruct"),
        ("ultravox", "fixie-ai/ultravox-v0_5-llama-3_2-1b"),
        ("ultravox-8b", "fixie-ai/ultravox-v0_5-llama-3_1-8b"),
        ("voxtral", "mistralai/Voxtral-Mini-3B-2507"),
        ("qwen2.5-omni", "Qwen/Qwen2.5-Omni-7B"),
        ("qwen2.5-omni-3b", "Qwen/Qwen2.5-Omni-3B"),
        ("qwen3-asr", "Qwen/Qwen3-ASR-1.7B-hf"),
        ("granite-speech", "ibm-granite/granite-speech-3.3-2b"),
        ("phi4-multimodal", "microsoft/Phi-4-multimodal-instruct"),
    ],
)
def test_short_names_stand_for_hub_repositories(alias: str, repository: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"model '{alias}' \({repository}\) is not on this machine and --offline"):
        find(alias, model_dir=str(tmp_path), offline=True)


def test_every_whisper_of_the_reference_program_has_its_name_here() -> None:
    english = {f"{size}.en" for size in ("tiny", "base", "small", "medium")}
    large = {"large", "large-v1", "large-v2", "large-v3", "large-v3-turbo", "turbo"}
    assert {"tiny", "base", "small", "medium", *english, *large} <= set(ALIASES)


@pytest.mark.parametrize(
    "name",
    [
        "smal",
        "Tiny.en",
        "",
        " ",
        "a/b/c",
        "./smal",
        "../a/b",
        "~nobody-of-this-name/x",
        "a" * 300,
        "a\0b",
        "https://x.y/z",
    ],
)
def test_a_name_that_is_nothing_is_refused_with_those_that_are_something(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        find(name)
    message = str(caught.value)
    assert message.startswith(f"no model {name!r}: not a folder, not a hub id (owner/name), and not one of ")
    assert all(known in message for known in ("tiny.en", "large-v3-turbo", "distil-large-v3", "qwen2-audio"))


def test_a_folder_is_named_by_its_last_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name in (str(folder), f"{folder}/", "."):
        assert find(name, offline=True).name == "mine"
    monkeypatch.setenv("HOME", str(folder.parent))
    assert find("~/mine").name == "mine"


def test_a_folder_with_the_name_of_an_alias_is_reached_by_its_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what stands around in the current folder would decide what a name means."""
    monkeypatch.chdir(folder.parent)
    folder.rename("small")
    assert find("./small").name == "small"
    with pytest.raises(ModelError, match="openai/whisper-small"):
        find("small", model_dir="nothing-here", offline=True)


# ---- folders


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json in it, so this is not a model folder"):
        find(str(tmp_path))


def test_weights_that_can_run_code_are_not_loaded(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weights": torch.zeros(1)}, folder / "pytorch_model.bin")
    assert refusal(folder) == f"{folder}: no *.safetensors in it; other weight formats can run code and are not loaded"


def test_nor_are_they_by_way_of_an_index(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "weights.bin")
    (folder / "model.safetensors").rename(folder / "decoy.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(weights, "weights.bin")}))
    assert refusal(folder) == f"{index}: names weights.bin; other weight formats can run code and are not loaded"


def test_weights_in_several_files_are_loaded(folder: Path, random_folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    files = {name: f"model-0000{1 + at % 2}-of-00002.safetensors" for at, name in enumerate(names)}
    for file in set(files.values()):
        part = {name: weights[name] for name in names if files[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    clip = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(1)).numpy()
    split, whole = (
        engines.blueprint(options("random", path)).load().generate([Request((clip,))])
        for path in (folder, random_folder)
    )
    assert split == whole
    (folder / "model-00002-of-00002.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    assert refusal(folder) == (
        f"{index}: names model-00002-of-00002.safetensors, which is not there; fetch the model again"
    )


def test_a_checkpoint_that_only_points_to_its_language_model_is_one(tmp_path: Path) -> None:
    """As Ultravox's do: a projector, and where the rest is."""
    config = {"model_type": "ultravox", "text_model_id": "someone/llama", "audio_model_id": "openai/whisper-tiny"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"multi_modal_projector.linear_1.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    assert find(str(tmp_path), offline=True).read_json("config.json") == config


def test_code_in_a_folder_is_not_run(folder: Path) -> None:
    witness = folder / "was-here"
    code = f"open({str(witness)!r}, 'w')\nclass Evil: pass\n"
    (folder / "evil.py").write_text(code)
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        kinds = ("AutoConfig", "AutoModel", "AutoModelForSpeechSeq2Seq", "AutoFeatureExtractor", "AutoProcessor")
        remote: dict[str, Any] = dict.fromkeys(kinds, "evil.Evil")
        edit(folder / name, auto_map={**remote, "AutoTokenizer": ["evil.Evil", "evil.Evil"]})
    (reply,) = engines.blueprint(options("random", folder)).load().generate([Request((torch.zeros(RATE).numpy(),))])
    assert isinstance(reply, Reply)
    assert not witness.exists()


# ---- broken ones


def test_an_unknown_type_of_model_is_refused_with_those_that_run(folder: Path) -> None:
    edit(folder / "config.json", model_type="parakeet")
    message = refusal(folder)
    assert message.startswith("model 'mine' is of type 'parakeet'; this version runs whisper, qwen2_audio, ultravox, ")
    edit(folder / "config.json", model_type=None)
    assert "is of type 'None'" in refusal(folder)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe{}", b'{"model_type": "whis'])
def test_a_config_that_is_no_json_is_refused(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    assert refusal(folder).startswith(f"{folder / 'config.json'}: cannot be read as JSON: ")


def test_a_config_that_is_no_object_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("[1]")
    assert refusal(folder) == f"{folder / 'config.json'}: expected a JSON object"


@pytest.mark.parametrize(
    ("file", "settings", "why"),
    [
        ("config.json", {"max_source_positions": "many"}, "its configuration cannot be used: could not convert"),
        ("config.json", {"d_model": "wide"}, "expected int, got str"),
        ("config.json", {"d_model": 128}, "weights are not there or not of the shape in config.json, such as"),
        ("config.json", {"decoder_layers": 3}, "24 weights are not there or not of the shape in config.json"),
        ("config.json", {"encoder_attention_heads": 5}, "divisible"),
        ("generation_config.json", {"lang_to_id": [7]}, "its configuration cannot be used"),
        ("generation_config.json", {"no_timestamps_token_id": None}, "take that of the model it was tuned from"),
        ("preprocessor_config.json", {"feature_size": 128}, "128 mel bins are extracted, and 80 are heard"),
    ],
)
def test_settings_that_do_not_fit_are_refused(file: str, settings: dict[str, Any], why: str, folder: Path) -> None:
    edit(folder / file, **settings)
    message = refusal(folder)
    assert message.startswith("model 'mine'")
    assert why in message


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("generation_config.json", "generation_config.json does not give Whisper's tokens"),
        ("tokenizer.json", "its tokenizer is missing, or of another model"),
        ("preprocessor_config.json", "feature extractor"),
    ],
)
def test_a_missing_file_is_named(file: str, why: str, folder: Path) -> None:
    (folder / file).unlink()
    assert why in refusal(folder)


@pytest.mark.parametrize("size", [100_000, 5, 0])
def test_weights_that_were_cut_off_are_refused(size: int, folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:size])
    assert refusal(folder).startswith(
        "model 'mine' cannot be loaded: SafetensorError: Error while deserializing header"
    )


def test_weights_that_were_never_fetched_are_refused(folder: Path) -> None:
    """What git leaves in their place without its large files."""
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    assert refusal(folder).startswith("model 'mine' cannot be loaded: SafetensorError")


def test_weights_that_are_missing_are_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.decoder.layers.1.fc1.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert refusal(folder) == (
        "model 'mine' cannot be loaded: 1 weights are not there or not of the shape in config.json, "
        "such as model.decoder.layers.1.fc1.bias"
    )


def test_a_link_to_nothing_is_named(folder: Path) -> None:
    """As in a cache whose files were removed."""
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "gone")
    assert refusal(folder) == f"{folder / 'model.safetensors'}: cannot be read: No such file or directory"


def test_loading_says_nothing_but_through_the_error(folder: Path) -> None:
    """transformers would print a table of all weights that are wrong, and a bar of those it reads."""
    edit(folder / "config.json", decoder_layers=3)
    code = """
import sys
from audiocli import engines
from audiocli.errors import ModelError
try:
    engines.blueprint(engines.EngineOptions(model=sys.argv[1], device="cpu")).load()
except ModelError as exc:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("refused\n", "")


# ---- fingerprints


def append_a_byte(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(b" ")


def flip(at: int) -> Callable[[Path], None]:
    def flipped(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)

    return flipped


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("model.safetensors", append_a_byte),
        ("model.safetensors", flip(0)),
        ("model.safetensors", flip(5000)),
        ("model.safetensors", flip(-1)),
        ("config.json", append_a_byte),
        ("generation_config.json", append_a_byte),
        ("tokenizer.json", flip(1_000_000)),
        ("preprocessor_config.json", append_a_byte),
        ("chat_template.jinja", append_a_byte),
        ("tokenizer.model", append_a_byte),
        ("tekken.json", append_a_byte),
        ("adapter_model.safetensors", append_a_byte),
        ("adapter_config.json", append_a_byte),
        ("speech-lora/adapter_model.safetensors", append_a_byte),
        ("speech-lora/adapter_config.json", append_a_byte),
    ],
)
def test_the_fingerprint_changes_with_a_file(file: str, change: Callable[[Path], None], folder: Path) -> None:
    # one small file of weights that is sampled whole, as all blocks of a large one are
    save_file({"weight": torch.zeros(50_000)}, folder / "model.safetensors")
    before = fingerprint(folder)
    change(folder / file)
    assert fingerprint(folder) != before


def test_the_fingerprint_of_a_large_file_changes_with_its_training(folder: Path) -> None:
    before = fingerprint(folder)
    weights = {name: tensor + 1e-4 for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert fingerprint(folder) != before


def test_the_fingerprint_changes_with_the_size_alone(folder: Path) -> None:
    seen = set()
    for size in (10_000_000, 10_000_001):
        (folder / "model.safetensors").write_bytes(bytes(size))
        seen.add(fingerprint(folder))
    assert len(seen) == 2


def test_the_fingerprint_counts_files_and_their_names(folder: Path) -> None:
    seen = {fingerprint(folder)}
    shutil.copy(folder / "config.json", folder / "more.json")
    seen.add(fingerprint(folder))
    (folder / "more.json").rename(folder / "moore.json")
    seen.add(fingerprint(folder))
    assert len(seen) == 3
    (folder / "README.md").write_text("not part of the model")
    assert fingerprint(folder) in seen


def test_the_fingerprint_is_that_of_the_content_wherever_it_lies(folder: Path, random_folder: Path) -> None:
    assert fingerprint(folder) == fingerprint(random_folder)
    assert find(str(folder)).revision == f"sha256:{fingerprint(folder)[:16]}"


# ---- the hub

ASK = """
import sys
from audiocli.engines import checkpoints
from audiocli.errors import ModelError

if sys.argv[1] == "no sockets":
    def refuse(event, arguments):
        if event.startswith("socket.") and event != "socket.gethostname":
            print("network:", event, arguments)
            raise OSError(event)
    sys.addaudithook(refuse)
try:
    found = checkpoints.find(sys.argv[2], model_dir=sys.argv[3], offline=sys.argv[4] == "offline")
    print(found.revision, *sorted(str(path.relative_to(found.folder)) for path in found.folder.rglob("*.*")))
except ModelError as exc:
    print("refused:", exc)
"""


def ask(model: str, cache: Path, *, sockets: bool, offline: bool, endpoint: str = "http://127.0.0.1:9") -> str:
    """What `find` does in a process of its own, where the hub's library has not read its environment yet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            ASK,
            "sockets" if sockets else "no sockets",
            model,
            str(cache),
            "offline" if offline else "online",
        ],
        cwd=ROOT,
        env={
            **kept,
            "HF_HOME": str(cache),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_offline_no_call_is_made(tmp_path: Path) -> None:
    assert ask("someone/model", tmp_path, sockets=False, offline=True) == (
        "refused: model 'someone/model' (someone/model) is not on this machine and --offline is set; "
        "download it where there is a network, or give a folder"
    )


@pytest.mark.parametrize("model", ["auto", "tiny.en", str(EMBEDDED_FOLDER)])
def test_what_is_here_is_found_without_a_call_and_without_being_told_to(model: str, tmp_path: Path) -> None:
    assert ask(model, tmp_path, sockets=False, offline=False).startswith("sha256:")


def test_a_hub_that_cannot_be_reached_is_told_from_a_model_that_is_not_there(tmp_path: Path) -> None:
    assert ask("small", tmp_path, sockets=True, offline=False).startswith(
        "refused: model 'small' (openai/whisper-small) is not here and the hub cannot be reached; download it where"
    )


@dataclass
class Hub:
    """A hub with one repository, and what was asked of it."""

    endpoint: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cuts_off: bool = False
    """Ends each file before its announced length."""


class HubHandler(http.server.BaseHTTPRequestHandler):
    """The few calls that a download of a snapshot makes."""

    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append(path)
        if path.startswith(f"/someone/model/resolve/{COMMIT}/"):
            self._send_file(path.removeprefix(f"/someone/model/resolve/{COMMIT}/"))
        elif path.startswith("/api/models/someone/model/tree/"):
            self._send_json([{"type": "file", "path": name, **self._described(name)} for name in self.hub.files])
        elif path.startswith("/api/models/someone/model"):
            siblings = [{"rfilename": name} for name in self.hub.files]
            self._send_json({"id": "someone/model", "sha": COMMIT, "siblings": siblings})
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _described(self, name: str) -> dict[str, Any]:
        return {"size": len(self.hub.files[name]), "oid": f"{len(name):040x}"}

    def _send_json(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send_file(self, name: str) -> None:
        self._send(self.hub.files[name], {"ETag": f'"{len(name):040x}"', "X-Repo-Commit": COMMIT})

    def _send(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for header, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            cut = self.hub.cuts_off and "ETag" in headers
            self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, *_: object) -> None:
        """The test asks `Hub.asked`."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    files = [
        *("config.json", "generation_config.json", "tokenizer.json", "vocab.txt", "chat_template.jinja"),
        *("tokenizer.model", "tekken.json"),
        *("model.safetensors", "model-00001-of-00002.safetensors", "model.fp32-00001-of-00002.safetensors"),
        *("pytorch_model.bin", "model.pt", "modeling_evil.py", "flax_model.msgpack", "README.md", "weights.pkl"),
        *("onnx/model.safetensors", "model.ckpt", "adapter_model.safetensors", "adapter_config.json"),
        *("speech-lora/adapter_model.safetensors", "speech-lora/adapter_config.json", "speech-lora/adapter_model.bin"),
        *("vision-lora/adapter_model.safetensors", "adapter_model.bin"),
    ]
    hub = Hub(files={name: b"{}" if name.endswith(".json") else name.encode() * 9 for name in files})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (HubHandler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_takes_what_is_loaded_and_nothing_that_can_run_code(hub: Hub, tmp_path: Path) -> None:
    wanted = {
        *("config.json", "generation_config.json", "tokenizer.json", "vocab.txt", "chat_template.jinja"),
        *("tokenizer.model", "tekken.json"),
        *("model.safetensors", "model-00001-of-00002.safetensors"),
        *("adapter_model.safetensors", "adapter_config.json"),
        *("speech-lora/adapter_model.safetensors", "speech-lora/adapter_config.json"),
    }
    revision, *files = ask("someone/model", tmp_path, sockets=True, offline=False, endpoint=hub.endpoint).split()
    assert (revision, set(files)) == (COMMIT, wanted)
    fetched = {path.partition(f"{COMMIT}/")[2] for path in hub.asked if "/resolve/" in path}
    assert fetched == wanted
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {
        ".json",
        ".txt",
        ".jinja",
        ".model",
        ".safetensors",
    } | {"", ".lock", ".metadata", ".TAG"}
    # once here, it needs no network
    hub.asked.clear()
    assert ask("someone/model", tmp_path, sockets=False, offline=True).split() == [revision, *files]
    assert hub.asked == []


def test_a_model_that_the_hub_does_not_have_is_refused(hub: Hub, tmp_path: Path) -> None:
    assert ask("someone/typo", tmp_path, sockets=True, offline=False, endpoint=hub.endpoint) == (
        "refused: model 'someone/typo' (someone/typo) is not on the hub, or not for all: "
        "then log in with 'hf auth login'"
    )


def test_a_download_that_breaks_off_is_refused_and_not_taken_for_a_model(hub: Hub, tmp_path: Path) -> None:
    hub.cuts_off = True
    message = ask("someone/model", tmp_path, sockets=True, offline=False, endpoint=hub.endpoint)
    assert message.startswith("refused: model 'someone/model' (someone/model) cannot be downloaded: ")
    offline = ask("someone/model", tmp_path, sockets=False, offline=True)
    assert offline.startswith("refused: "), "half a model is none"
