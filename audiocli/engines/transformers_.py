"""The engine in this process: models of the Hugging Face layout, run by torch.

In go Requests of any mix, out come Replies in the same order. It chooses model, device and precision, forms batches of
one kind and similar length that memory has room for, and survives running out of it. What is particular to a model type
is in `families`. Third parties: torch, imported by `load` and, where a GPU may be there, by `blueprint`; tokenizers,
when tokens are counted.
"""

from __future__ import annotations

import logging
import platform
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from audiocli.engines import Blueprint, EngineOptions, Limits, Sampling, check, checkpoints, families, memory
from audiocli.engines.checkpoints import Checkpoint
from audiocli.errors import EngineError, ModelError, UsageError
from audiocli.records import Reply, Request

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of a number."""
DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
SHORTAGES = ("out of memory", "can't allocate memory", "not enough memory")
"""Words of the RuntimeErrors by which torch reports want of memory where it has no class for it (CPU, MPS)."""
CODE = "1"
"""Raised when the same weights would answer differently than the last release did, so that stored replies expire."""
DECIDING = ("downsample", "quantize", "attention", "compile")
"""Options of chat models that an answer depends on, besides `sampling`. How many clips there are is in the request, and
the language model is a checkpoint of its own."""
ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
"""Kinds of attention that transformers knows; kernels from its hub are named by owner/name."""
PACKAGES = {
    "flash_attention_2": ("flash_attn", "flash-attn"),
    "flash_attention_3": ("flash_attn_interface", "flash-attn-3"),
}
"""Kinds of attention that need a package of their own: what it is imported as, and what installs it."""
BFLOAT16_SINCE = 8
"""Compute capability of the first GPUs that compute in bfloat16 (Ampere)."""

log = logging.getLogger(__name__)


def blueprint(options: EngineOptions) -> Blueprint:
    """Find the checkpoint, its family and where it will run.

    Raises ModelError for a model or package that cannot be found or run, UsageError for a device or precision that is
    not here, and for options that the model has no use for.
    """
    device = _device(options.device)
    checkpoint = _checkpoint(options, partial(_free, device))
    config = checkpoint.read_json("config.json")
    spec, family = families.of(config, checkpoint.name)
    families.refuse(spec, checkpoint.name, options)
    _refuse(options, device)
    dtype = _dtype(options.dtype, device, spec.gpu_dtype)
    parts = families.companions(family, checkpoint, options)
    limits = families.limits(family, checkpoint, config, options)
    batch_size = _batch_size(spec, device, options)
    room = _room(device, WIDTHS[dtype], [config, *(part.read_json("config.json") for part in parts)])

    def load() -> TransformersEngine:
        _set_threads(options.threads)
        return TransformersEngine(limits, family.load(checkpoint, device, dtype, options), batch_size, room)

    return Blueprint(
        engine="transformers",
        model=checkpoint.name,
        revision=checkpoint.revision,
        identity=_identity(spec, [checkpoint, *parts], device, dtype, options),
        limits=limits,
        batch_size=batch_size,
        settings={"device": device.split(":")[0], "dtype": dtype, **_settings(options, parts)},
        libraries={name: version(name) for name in _libraries(options)},
        load=load,
        family=str(config["model_type"]),
        count_tokens=_counter(checkpoint),
    )


class TransformersEngine:
    """See `audiocli.engines.Engine`."""

    def __init__(
        self,
        limits: Limits,
        model: families.Model,
        batch_size: int,
        room: Callable[[int], int] | None = None,
    ) -> None:
        """room: rows that there is memory for now, from the tokens of the longest; None where nobody can tell."""
        self.limits = limits
        self._model: families.Model | None = model
        self._batch_size = batch_size
        self._room = room
        self._most_tokens: int | None = None
        """Of a batch, rows times the longest of them; None until memory has run out once."""

    def generate(self, requests: Sequence[Request]) -> Sequence[Reply | Exception]:
        if self._model is None:
            raise ModelError("the engine was closed")
        check(requests, self.limits)
        sizes = list(map(self._model.size, requests))
        replies = self._too_large(sizes)
        for kind in self._kinds(requests, replies):
            for index, reply in self._batches(requests, kind, sizes):
                replies[index] = reply
        return [replies[index] for index in range(len(requests))]

    def close(self) -> None:
        self._model = None

    def _too_large(self, sizes: Sequence[int]) -> dict[int, Reply | Exception]:
        """Errors for the requests that the context has no room for: past its end a model answers nonsense."""
        most = self.limits.context_tokens
        return {
            index: EngineError(f"the question takes {size} tokens, audio and answer included; the model has {most}")
            for index, size in enumerate(sizes)
            if most is not None and size > most
        }

    def _kinds(self, requests: Sequence[Request], answered: Mapping[int, object]) -> list[list[int]]:
        """Indices of the requests that wait for an answer, those together that can share a batch."""
        assert self._model is not None
        kinds: dict[Hashable, list[int]] = {}
        for index, request in enumerate(requests):
            if index not in answered:
                kinds.setdefault(self._model.kind(request), []).append(index)
        return list(kinds.values())

    def _batches(
        self, requests: Sequence[Request], indices: list[int], sizes: Sequence[int]
    ) -> Iterator[tuple[int, Reply | Exception]]:
        """Ask in batches, the longest first; one that does not fit into memory is halved, and none so large follows."""
        waiting = sorted(indices, key=lambda index: (-sizes[index], -_samples(requests[index])))
        while waiting:
            rows = self._rows(sizes[waiting[0]])
            batch, waiting = waiting[:rows], waiting[rows:]
            answer = self._answer([requests[index] for index in batch])
            if isinstance(answer, list):
                yield from zip(batch, answer, strict=True)
            elif isinstance(answer, EngineError):
                yield from self._one_by_one(requests, batch, answer, sizes)
            elif len(batch) > 1:
                self._most_tokens = len(batch) // 2 * sizes[batch[0]]
                log.warning("out of memory with %d windows at once; going on with %d", len(batch), len(batch) // 2)
                waiting = batch + waiting
            else:
                yield batch[0], EngineError(f"out of memory even with one window at a time ({answer})")

    def _rows(self, longest: int) -> int:
        """How many rows to ask at once, of which the longest takes so many tokens."""
        rows = self._batch_size if self._room is None else min(self._batch_size, self._room(longest))
        return rows if self._most_tokens is None else max(1, min(rows, self._most_tokens // max(1, longest)))

    def _one_by_one(
        self, requests: Sequence[Request], batch: list[int], error: EngineError, sizes: Sequence[int]
    ) -> Iterator[tuple[int, Reply | Exception]]:
        """A batch was refused: whose fault it was shows when each is asked alone."""
        if len(batch) == 1:
            yield batch[0], error
            return
        for index in batch:
            yield from self._batches(requests, [index], sizes)

    def _answer(self, batch: list[Request]) -> list[Reply] | MemoryError | EngineError:
        """The model's replies, or what it said for want of memory, or why it would not."""
        import torch

        assert self._model is not None
        try:
            return self._model.answer(batch)
        except EngineError as exc:
            return EngineError(*exc.args)  # anew: what was raised holds the frames, and with them the attempt's tensors
        except (RuntimeError, MemoryError) as exc:
            if not _is_shortage(exc):
                raise
            shortage = MemoryError(str(exc).partition("\n")[0])
        # only here, as the exception held the frames, and with them the tensors of the attempt
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return shortage


def _is_shortage(exc: RuntimeError | MemoryError) -> bool:
    """torch.OutOfMemoryError is a RuntimeError that says so, too."""
    return isinstance(exc, MemoryError) or any(words in str(exc) for words in SHORTAGES)


def _samples(request: Request) -> int:
    return sum(len(clip) for clip in request.clips)


def _checkpoint(options: EngineOptions, free: Callable[[], int | None]) -> Checkpoint:
    """The model asked for. "auto" gives way to the embedded one where its choice cannot be had.

    free: bytes that a GPU has for it, asked for "auto" only.
    """
    find = partial(checkpoints.find, model_dir=options.model_dir, offline=options.offline)
    if options.model != "auto":
        return find(options.model)
    width = WIDTHS.get(DTYPES.get(options.dtype, options.dtype), WIDTHS["bfloat16"])
    chosen = checkpoints.automatic(free(), width)
    try:
        return find(chosen)
    except ModelError as exc:
        if not (options.offline or isinstance(exc, checkpoints.NotHereError)):
            raise
        log.warning("%s; going on with the embedded %s", exc, checkpoints.EMBEDDED)
        return find(checkpoints.EMBEDDED)


def _free(device: str) -> int | None:
    """Bytes that a GPU has free for a large model; None where there is none, or one without bfloat16."""
    if not device.startswith("cuda"):
        return None
    import torch

    return memory.free_bytes(device) if torch.cuda.get_device_capability(device)[0] >= BFLOAT16_SINCE else None


def _refuse(options: EngineOptions, device: str) -> None:
    """What cannot be done here, before anything is read."""
    if options.compile and device == "cpu":
        raise UsageError("--compile is for GPUs: on a CPU it takes longer than it saves")
    if options.quantize and not (find_spec("bitsandbytes") and find_spec("accelerate")):
        raise ModelError(f"--quantize {options.quantize} needs bitsandbytes: pip install 'audiocli[quantize]'")
    if options.attention and options.attention not in ATTENTION and "/" not in options.attention:
        raise UsageError(
            f"no attention {options.attention!r}; choose from {', '.join(ATTENTION)}, or a kernel's hub id"
        )
    module, package = PACKAGES.get(options.attention or "", ("", ""))
    if module and not find_spec(module):
        raise ModelError(f"--attn {options.attention} is not installed: pip install {package}, or leave it out")


def _batch_size(spec: families.FamilySpec, device: str, options: EngineOptions) -> int:
    """Rows at most. One for 8 bits, as LLM.int8 looks for outliers in a whole batch: company would change answers."""
    if options.quantize == "8bit":
        return 1
    return options.batch_size or (spec.batch_cpu if device == "cpu" else spec.batch_gpu)


def _room(device: str, width: int, configs: Sequence[Mapping[str, object]]) -> Callable[[int], int] | None:
    """How many rows the device has memory for. configs: the model's, and those of what it is put together with.

    The largest of them is the language model, which holds the cache.
    """
    if not device.startswith("cuda"):
        return None
    per_token = max(memory.kv_bytes(config, width) + memory.work_bytes(config, width) for config in configs)

    def rows(longest: int) -> int:
        free = memory.free_bytes(device)
        assert free is not None
        return memory.rows_that_fit(free, longest, per_token)

    return rows


def _identity(
    spec: families.FamilySpec, parts: Sequence[Checkpoint], device: str, dtype: str, options: EngineOptions
) -> str:
    """parts: the checkpoint, and those it is put together with."""
    chat = "sampling" in spec.takes
    own = [f"{name}={getattr(options, name)}" for name in DECIDING if getattr(options, name)]
    return "|".join(
        [
            "transformers",
            CODE,
            str(parts[0].read_json("config.json")["model_type"]),
            *(part.revision for part in parts),
            device.split(":")[0],
            dtype,
            *([repr(options.sampling), *own] if chat else [repr(options.fallback)]),
        ]
    )


def _settings(options: EngineOptions, parts: Sequence[Checkpoint]) -> dict[str, str | int | float | bool | None]:
    """What was asked for beyond the defaults, as results report it; checkpoints by their names, not where they lie."""
    plain = {
        name: value for name, value in families.asked(options).items() if name not in ("sampling", "language_model")
    }
    defaults = Sampling()
    sampling = {
        name: getattr(options.sampling, name)
        for name in Sampling.__dataclass_fields__
        if getattr(options.sampling, name) != getattr(defaults, name)
    }
    companions = {"companions": ", ".join(f"{part.name} ({part.revision})" for part in parts)} if parts else {}
    return {**plain, **sampling, **companions}


def _libraries(options: EngineOptions) -> tuple[str, ...]:
    return ("torch", "transformers", "bitsandbytes") if options.quantize else ("torch", "transformers")


def _counter(checkpoint: Checkpoint) -> Callable[[str], int]:
    """Tells how many tokens a text takes, marks in it taken for text. The tokenizer is read when first asked."""

    @cache
    def encoder() -> Callable[[str], int]:
        try:
            return _encoder(checkpoint.folder)
        except Exception as exc:  # of tokenizers' own, which have no root, or of transformers
            raise ModelError(f"model {checkpoint.name!r}: its tokenizer cannot be read: {exc}") from exc

    return lambda text: encoder()(text)


def _encoder(folder: Path) -> Callable[[str], int]:
    """By tokenizers alone where its file is there: transformers takes seconds to import."""
    file = folder / "tokenizer.json"
    if file.is_file():
        from tokenizers import Tokenizer

        fast = Tokenizer.from_file(str(file))
        fast.encode_special_tokens = True
        return lambda text: len(fast.encode(text, add_special_tokens=False).ids)
    from transformers import AutoTokenizer

    slow = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return lambda text: len(slow.encode(text, add_special_tokens=False))


def _device(asked: str) -> str:
    """The torch device to run on. "auto": the first of CUDA, MPS, CPU that is here."""
    if not DEVICES.fullmatch(asked):
        raise UsageError(f"no device {asked!r}; choose from auto, cpu, mps, cuda, or cuda:1 and the like")
    if asked == "cpu" or (asked == "auto" and not _accelerator_possible()):
        return "cpu"
    import torch

    here: dict[str, Callable[[], bool]] = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if asked == "auto":
        return next((name for name, available in here.items() if available()), "cpu")
    kind, _, number = asked.partition(":")
    if not here[kind]():
        raise ModelError(f"device {asked!r} is not available to torch {torch.__version__}; try --device cpu")
    if number and int(number) >= torch.cuda.device_count():
        raise ModelError(f"device {asked!r} is not here: torch sees {torch.cuda.device_count()} CUDA devices")
    return asked


def _accelerator_possible() -> bool:
    """Whether it is worth importing torch (a second and more) to ask it for a GPU."""
    system = platform.system()
    if system == "Linux":
        return Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists() or Path("/dev/dxg").exists()
    return system != "Darwin" or platform.machine() == "arm64"


def _dtype(asked: str, device: str, gpu_dtype: str) -> str:
    """The torch dtype's name. CPUs compute in float32: half precision is seldom faster there, and never exact."""
    if asked == "auto":
        return "float32" if device == "cpu" else gpu_dtype
    name = DTYPES.get(asked, asked)
    if name not in DTYPES.values():
        raise UsageError(f"no dtype {asked!r}; choose from auto, {', '.join(DTYPES)}")
    if name == "float16" and device == "cpu":
        raise UsageError("--dtype fp16 is for GPUs; on a CPU choose fp32 or bf16")
    return name


def _set_threads(threads: int | None) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)
