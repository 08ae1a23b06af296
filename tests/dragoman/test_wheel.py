"""The wheel holds everything: installed elsewhere, without the repository, the command line works."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # Without isolation: the build needs setuptools alone, and the test needs no network.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_wheel_is_complete_and_runs_elsewhere(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    for part in ("store", "tools", "evals", "agents", "cli"):
        assert f"dragoman/{part}/__init__.py" in names
    shipped = [n for n in names if n.endswith(".safetensors")]
    assert len(shipped) >= 2, "model and dictionary are in the wheel"
    weights = sum(zipfile.ZipFile(wheel).getinfo(n).file_size for n in shipped)
    assert weights <= 12 * 2**20
    missing = [
        str(f.relative_to(ROOT))
        for part in ("store", "tools", "evals", "agents")
        for f in (ROOT / part).rglob("*")
        if f.is_file() and "__pycache__" not in f.parts and f"dragoman/{f.relative_to(ROOT)}" not in names
    ]
    assert not missing, f"not in the wheel: {missing}"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HF_HUB_OFFLINE": "1"}
    # What only an extra installs is made to be absent.
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['mcp', 'uvicorn', 'starlette'])); import dragoman; "
        "print(dragoman.__file__); "
        "from dragoman.cli import main; sys.argv = ['dragoman', *sys.argv[1:]]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "site") in done.stdout
    assert "harvest" in done.stdout
    done = subprocess.run([sys.executable, "-c", code, "mcp", "S"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.strip().endswith("pip install 'dragoman[mcp]'"), done
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "S"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.strip().endswith("pip install 'dragoman[web]'"), done
