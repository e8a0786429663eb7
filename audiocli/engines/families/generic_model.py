"""An audio-LLM of many makers in memory: Requests in, Replies out.

The table in generic says what is particular to a type; how its prompts are laid out is in generic_inputs, how answers
are chosen in chat. Here the class is found, adapters are put on, and the language that a model writes before a
transcript is taken off. Third parties: torch, transformers; peft where a checkpoint brings an adapter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jinja2 import TemplateError
from transformers.models.auto import modeling_auto

from audiocli import languages
from audiocli.engines import EngineOptions
from audiocli.engines.checkpoints import Checkpoint
from audiocli.engines.families import generic_inputs as inputs
from audiocli.engines.families.chat import FEWEST_TOKENS, Chat, Manner
from audiocli.engines.families.generic import CAUTIOUS_S, UNKNOWN, Row, context_tokens, missing, row
from audiocli.engines.families.loading import loading, pretrained
from audiocli.errors import EngineError, ModelError, UsageError
from audiocli.records import RATE, Reply, Request, Task

LAYOUTS: dict[str, Callable[[Path, Row], Any]] = {
    "granite_speech": inputs.granite,
    "phi4_multimodal": inputs.phi4,
    "qwen2_5_omni": inputs.Thinker,
    "qwen2_5_omni_thinker": inputs.Thinker,
    "qwen3_omni_moe": inputs.Thinker,
    "qwen3_omni_moe_thinker": inputs.Thinker,
    "voxtral": inputs.Mistral,
}
"""How prompts are laid out, where not by a processor and its template."""
CLASSES = (
    modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING,
    modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    modeling_auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
    modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING,
)
"""Where transformers lists its audio-LLMs; the first that knows a type has its class."""
THINKERS = {
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
}
"""The part of an omni model that answers, by the type with or without its ending; what speaks is not loaded."""
WORDS: dict[Task, str] = {
    "transcribe": "Transcribe the speech, word for word.",
    "translate": "Translate the speech into English.",
}
"""What to ask where a request does not say it."""
GRANITE_WORDS: dict[Task, str] = {
    "transcribe": "can you transcribe the speech into a written format?",
    "translate": "can you translate the speech into English?",
}
GRANITE_SYSTEM = (
    "Knowledge Cutoff Date: April 2024.\nToday's Date: April 9, 2025.\n"
    "You are Granite, developed by IBM. You are a helpful AI assistant"
)
"""What its makers' examples ask it with. The day is that of their example: equal runs are to be equal."""
APART = "speech-lora"
"""Where Phi-4's adapter for speech lies."""
EARS = re.compile(r"audio|speech|vision|visual|encoder|projector|extend")
"""In the names of modules that hear or see: these keep their precision."""


class Generic:
    """See `audiocli.engines.families.Model`."""

    def __init__(self, checkpoint: Checkpoint, device: str, dtype: str, options: EngineOptions) -> None:
        """Raises ModelError where files are missing, broken, of another model, or hear less than they should."""
        config = checkpoint.read_json("config.json")
        self._type, self._row = str(config["model_type"]), row(config)
        self._context = context_tokens(config)
        with loading(checkpoint):
            self._layout = LAYOUTS.get(self._type, inputs.Processor)(checkpoint.folder, self._row)
            if self._row is UNKNOWN:
                _check_ear(self._layout)
            _check_adapter(checkpoint.folder, config)
            kind = _class(checkpoint.folder, self._type)
            exact = ears(kind, checkpoint.folder) if options.quantize else ()
            self._model = pretrained(kind, checkpoint.folder, device, dtype, options, exact=exact)
            self._adapted = _adapt(self._model, checkpoint.folder, config)
            advised = manner(checkpoint.read_json("generation_config.json"), self._layout.tokenizer, options.compile)
        self._pad_id = advised.pad_id
        heard = () if self._layout.audio_id is None else (int(self._layout.audio_id),)
        self._chat = Chat(
            self._model,
            self._layout.tokenizer,
            self._prepare,
            replace(advised, never_ids=heard),
            options.sampling,
            audio_tokens=self._audio_tokens,
            context=self._context,
        )

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        replies = self._chat.answer([self._worded(request) for request in requests])
        return [spoken(reply) for reply in replies] if self._type == "qwen3_asr" else replies

    def size(self, request: Request) -> int:
        return self._chat.size(self._worded(request))

    def kind(self, request: Request) -> Hashable:
        lengths = tuple(len(inputs.long_enough(clip)) for clip in request.clips)
        mixes = self._row.mixes and max(lengths, default=self._row.unit) >= self._row.unit
        return self._chat.kind(request), () if mixes else lengths

    def _worded(self, request: Request) -> Request:
        """With words where it has none, and the clips long enough to make a token."""
        clips = tuple(map(inputs.long_enough, request.clips))
        if self._type == "granite_speech":
            return replace(request, prompt=GRANITE_WORDS[request.task], system=GRANITE_SYSTEM, clips=clips)
        words = request.prompt or (WORDS.get(request.task, "") if clips else "")
        if request.initial_prompt and request.task != "answer":
            words = f"{words}\nThese words may occur: {request.initial_prompt.strip()}"
        return replace(request, prompt=words, clips=clips)

    def _prepare(self, requests: Sequence[Request]) -> Mapping[str, Any]:
        """What `generate` takes, on the model's device and in its precision."""
        if self._adapted:  # tuned to speech; text is for the language model as it was before
            self._model.enable_adapters() if requests[0].clips else self._model.disable_adapters()
        batch = inputs.together([self._row_of(request) for request in requests], self._pad_id)
        device, dtype = self._model.device, self._model.dtype
        return {
            name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for name, value in batch.items()
        }

    def _row_of(self, request: Request) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = self._layout(request)
        except (ArithmeticError, AttributeError, LookupError, TemplateError, TypeError, ValueError) as exc:
            raise EngineError(f"its prompt could not be laid out: {type(exc).__name__}: {exc}") from exc
        inputs.counted(self._row, request.clips, found["input_ids"], self._layout.audio_id)
        length = int(found["input_ids"].shape[1])
        if self._context and length + FEWEST_TOKENS > self._context:
            raise EngineError(f"a prompt of {length} tokens does not fit into the {self._context} of the model")
        return found

    def _audio_tokens(self, samples: int) -> int:
        return self._row.tokens(samples) if self._row.tokens else ceil(samples / RATE * self._row.tokens_per_s)


def manner(advised: Mapping[str, Any], tokenizer: Any, static_cache: bool) -> Manner:
    """Ends and padding as the checkpoint's generation settings have them, else as its tokenizer."""
    ends = advised.get("eos_token_id")
    ends = [tokenizer.eos_token_id] if ends is None else ends
    ends = ends if isinstance(ends, list) else [ends]
    if None in ends:
        raise ValueError("neither its generation settings nor its tokenizer tell what ends an answer")
    pad = next((one for one in (advised.get("pad_token_id"), tokenizer.pad_token_id) if one is not None), ends[0])
    penalty = float(advised.get("repetition_penalty") or 1.0)
    return Manner(tuple(map(int, ends)), int(pad), penalty, static_cache=static_cache)


def spoken(reply: Reply) -> Reply:
    """Qwen3-ASR says the language first: "language English<asr_text>And so it began." """
    before, mark, text = reply.text.partition("<asr_text>")
    if not mark:
        return reply
    name = before.strip().removeprefix("language").strip()
    try:
        return replace(reply, text=text.strip(), language=languages.code(name))
    except UsageError:  # "None", where it heard nobody speak, or a language without a code
        return replace(reply, text=text.strip())


def ears(kind: Any, folder: Path) -> list[str]:
    """Full names of the outermost modules that hear or see, found on a model without weights."""
    config = kind.config_class.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        names = [name for name, _ in kind(config).named_modules() if EARS.search(name.rpartition(".")[2])]
    return [name for name in names if not any(name.startswith(f"{outer}.") for outer in names)]


def _class(folder: Path, model_type: str) -> Any:
    """The class that answers. Raises ValueError where transformers has none."""
    if thinker := THINKERS.get(model_type.removesuffix("_thinker")):
        return getattr(transformers, thinker)
    config = transformers.AutoConfig.from_pretrained(folder, **inputs.HERE)
    for known in CLASSES:
        if type(config) in known:
            return known[type(config)]
    raise ValueError(f"transformers {transformers.__version__} has no model that answers for type {model_type!r}")


def _check_adapter(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise where a checkpoint was trained with an adapter for speech that is not there, or cannot be put on.

    Granite-Speech's lies beside the weights, Phi-4's in a folder of its own.
    """
    apart = (folder / APART).is_dir()
    for where, due in ((folder, config.get("has_lora_adapter")), (folder / APART, apart)):
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            if due and not (where / name).is_file():
                raise ValueError(f"its adapter for speech is not there: {(where / name).relative_to(folder)}")
    if apart and missing(["peft"]):
        raise ModelError("its adapter for speech needs peft: pip install peft")


def _adapt(model: Any, folder: Path, config: Mapping[str, Any]) -> bool:
    """Put on the adapter for speech, where there is one that transformers has not put on already."""
    if not (folder / APART).is_dir():
        return bool(config.get("has_lora_adapter"))
    model.load_adapter(str(folder / APART), adapter_name="speech")
    model.eval()
    return True


def _check_ear(layout: Any) -> None:
    """Raise ValueError where the end of a full window makes no difference: then it was cut off before."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, round(CAUTIOUS_S * RATE)).astype(np.float32)
    ended = noise.copy()
    ended[-RATE // 2 :] = 0
    one, other = (layout(Request((clip,), prompt=WORDS["transcribe"])) for clip in (noise, ended))
    if all(torch.equal(torch.as_tensor(one[name]), torch.as_tensor(other[name])) for name in one):
        raise ValueError(f"its processor cuts off audio before {CAUTIOUS_S:.0f} s, without a word")
