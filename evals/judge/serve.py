"""A vLLM server of one's own on this machine, with the settings that judging wants."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from dragoman.store.errors import UserError

from .environment import Environment

HOST = "127.0.0.1"
BLOCK = {"gpu": 16, "cpu": 32}
"""Tokens in a block of the cache: a prefix is cached in whole blocks, so the smallest that vLLM takes loses the least."""
ALTERNATIVES = 20
"""Log-probabilities a token at most; digits and yes/no are read from these."""
GRACE = 15.0
"""Seconds that the server has to end by itself."""


@dataclass(frozen=True)
class ServeSettings:
    """What is served, and how."""

    model: str
    """Folder of a Hugging Face model, or the name of one in the local Hugging Face cache."""
    name: str | None = None
    """What the server calls it, and what scores record; None takes the last part of `model`."""
    port: int = 8000
    """On the loopback address; 0 takes a free one."""
    max_length: int | None = None
    """Tokens of prompt and reply together at most; None takes the model's own, on a CPU 4,096 at most."""
    cache: int = 2
    """GiB for the cache of keys and values on a CPU; on a GPU vLLM takes what is free."""
    parallel: int | None = None
    """Requests computed at the same time; None is 32 on a CPU and vLLM's own on a GPU."""
    extra: tuple[str, ...] = ()
    """Further arguments of `vllm serve`."""

    @property
    def served_name(self) -> str:
        """What the server calls the model."""
        return self.name or Path(self.model).name


class Server:
    """A vLLM server with everything it started; leaving the context ends all of it."""

    def __init__(self, settings: ServeSettings, environment: Environment, log: Path | None = None) -> None:
        """Start it; `wait` says when it answers. Raises UserError for a missing model and a port in use."""
        check_model(settings.model)
        self.settings = settings
        self.port = _free_port(settings.port)
        self.log = log or Path(tempfile.mkstemp(prefix=f"dragoman-vllm-{self.port}-", suffix=".log")[1])
        self.began = time.monotonic()
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                arguments(settings, environment, self.port),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **variables(settings, environment)},
                start_new_session=True,  # a Ctrl-C reaches us alone, and we end the whole group
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """What clients call, for example `http://127.0.0.1:8000/v1`."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def judge(self) -> str:
        """What `--judge` takes."""
        return f"vllm:{self.address}"

    def wait(self, patience: float = 900.0, say: Callable[[str], None] = lambda line: None) -> float:
        """Wait until it answers, and return the seconds since its start. `say` is told now and then what it is at.

        Raises UserError where it ends before that, or takes longer than `patience` seconds.
        """
        spoke = time.monotonic()
        while not self.healthy():
            self.check()
            now = time.monotonic()
            if now - self.began > patience:
                self.stop()
                raise UserError(f"vLLM did not answer within {patience:.0f} s; it was stopped, and its log is in {self.log}.")
            if now - spoke > 10:
                spoke = now
                say(f"vLLM is starting, {now - self.began:.0f} s: {self._at()}")
            time.sleep(0.3)
        return time.monotonic() - self.began

    def check(self) -> None:
        """Raise UserError, with the end of the log in it, if the server has ended."""
        code = self.process.poll()
        if code is not None:
            self.stop()
            raise UserError(f"vLLM ended {_how(code)}: {reason(_tail(self.log))}. Its log is in {self.log}.")

    def watch(self) -> None:
        """Stay until it ends. Raises UserError then."""
        while True:
            self.check()
            time.sleep(0.5)

    def healthy(self) -> bool:
        """Whether it answers now."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/health", timeout=2) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """End the server and all its children: politely, and after some seconds by force."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _at(self) -> str:
        """The last thing that it said, without the time and the process."""
        said = [line.split("] ", 1)[-1] for line in _tail(self.log).splitlines() if " INFO " in line]
        return said[-1][:100] if said else "loading its libraries"


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """SIGTERM and a closed terminal end what is inside just as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def arguments(settings: ServeSettings, environment: Environment, port: int) -> list[str]:
    """The command line of vLLM.

    The prefix cache is what makes judging cheap, and the server tells of every request how much came from it. A model's own
    sampling defaults are left out, since they would bend the probabilities.
    """
    given = [str(environment.program), "serve", settings.model, "--served-model-name", settings.served_name]
    given += ["--host", HOST, "--port", str(port), "--enable-prefix-caching", "--enable-prompt-tokens-details"]
    given += [
        "--block-size",
        str(BLOCK["cpu" if environment.cpu else "gpu"]),
        "--max-logprobs",
        str(ALTERNATIVES),
        "--generation-config",
        "vllm",
        "--seed",
        "0",
    ]
    given += ["--structured-outputs-config", json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})]
    length, parallel = settings.max_length, settings.parallel
    if environment.cpu:
        given += ["--dtype", "float32", "--enforce-eager"]
        length = length or min(4096, _own_length(settings.model) or 4096)
        parallel = parallel or 32
    if length:
        given += ["--max-model-len", str(length)]
    if parallel:
        given += ["--max-num-seqs", str(parallel)]
    return [*given, *settings.extra]


def variables(settings: ServeSettings, environment: Environment) -> dict[str, str]:
    """Its environment: nothing is fetched, nothing is reported, everything stays on this machine."""
    quiet = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY")
    found = {**dict.fromkeys(quiet, "1"), "VLLM_HOST_IP": HOST, "PYTHONUNBUFFERED": "1"}
    path = os.pathsep.join([str(environment.program.parent), os.environ.get("PATH", "")])
    if environment.cpu:  # otherwise the first request waits a minute for a compiler, or fails where there is none
        found |= {"VLLM_CPU_KVCACHE_SPACE": str(settings.cache), "TORCH_COMPILE_DISABLE": "1"}
    return {**found, "PATH": path}


def check_model(model: str) -> None:
    """Raise UserError unless `model` is a folder with a model, or a model in the local Hugging Face cache."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        missing = [what for what, files in _PARTS.items() if not any(any(folder.glob(f)) for f in files)]
        if missing:
            raise UserError(f"{model} has no {missing[0]}: give the folder of a model in Hugging Face format.")
        return
    if folder.exists() or model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise UserError(f"There is no model folder {model}: give the folder of a model in Hugging Face format.")
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(model, "config.json"), str):
        raise UserError(
            f"{model} is neither a folder nor a model in the local Hugging Face cache: fetch it (hf download {model}), "
            "or give a folder."
        )


_PARTS = {
    "config.json": ("config.json",),
    "tokenizer": ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.*", "tokenizer_config.json"),
    "weights": ("*.safetensors", "*.bin", "*.gguf"),
}


def reason(log: str) -> str:
    """The sentence in a log that says what went wrong: the first error, since the later ones follow from it."""
    found = re.findall(r"\b([A-Z][A-Za-z]*(?:Error|Exception)): (\S.*)", log)
    told = [f"{kind}: {text}" for kind, text in found if not re.search(r"(?i)see (the )?(root cause|stack trace)", text)]
    if not told:
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        return lines[-1][:300].rstrip(".") if lines else "it said nothing"
    return re.sub(r"\s+", " ", told[0])[:300].rstrip(".")


def _own_length(model: str) -> int | None:
    """How many tokens the model itself takes, as its configuration says."""
    try:
        config = json.loads((Path(model).expanduser() / "config.json").read_text())
        return int(config["max_position_embeddings"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _free_port(port: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"Port {port} is in use: stop what runs there or give another with --port.") from error
        return int(probe.getsockname()[1])


def _how(code: int) -> str:
    if code == -signal.SIGKILL:
        return "because the system killed it, for want of memory perhaps"
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"


def _tail(log: Path, size: int = 200_000) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - size))
        return file.read().decode(errors="replace")


def _end_with_parent() -> None:
    """In the child: be told to end when the process that started it is gone, however it went (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
