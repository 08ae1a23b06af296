"""Training from text to files: formats, the stream, the log, going on after a kill, bad input."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from sae_lens import SAE
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.dictionaries import CrossLayerTranscoder, forward, load, load_all
from dragoman.tools.documents import Corpus
from dragoman.tools.subject import Subject
from dragoman.tools.train import train
from dragoman.tools.training.log import Logged
from dragoman.tools.training.settings import Settings
from dragoman.tools.training.stream import ActivationStream, Reading

ROOT = Path(__file__).parents[3]
WORDS = ["the", "cat", "sat", "on", "mat", "and", "dog", "ran", "to", "park"]
HOOKS = {
    "topk": ["resid_post.1"],
    "batchtopk": ["mlp_out.0"],
    "jumprelu": ["z.1"],
    "transcoder": ["mlp_in.1"],
    "skip-transcoder": ["mlp_in.2"],
    "cross-layer": [],
}
"""What each architecture reads here."""


def settings(architecture: str, **changes: Any) -> Settings:
    return Settings(architecture, **{"features": 48, "k": 4, "tokens": 200 * 128, "batch": 128, "dead_after": 5000, **changes})


@pytest.fixture(scope="module")
def subject(tiny: Callable[[str], Subject]) -> Subject:
    return tiny("llama")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 short documents, some longer than a window."""
    generator = random.Random(0)
    texts = [" ".join(generator.choices(WORDS, k=generator.randint(1, 60))) + f" {n}" for n in range(300)]
    path = tmp_path_factory.mktemp("text") / "texts.json"
    path.write_text(json.dumps(texts))
    return path


def captured(subject: Subject, text: Path, hooks: Sequence[str]) -> dict[str, Tensor]:
    """Activations of the first windows of some documents, BOS left out."""
    rows: dict[str, list[Tensor]] = {hook: [] for hook in hooks}
    for document in list(Corpus(str(text)))[:100]:
        found = subject.capture(torch.tensor([[1, *subject.tokenize(document.text).ids[:40].tolist()]]), hooks)
        for hook, x in found.items():
            rows[hook].append(x[0, 1:])
    return {hook: torch.cat(parts) for hook, parts in rows.items()}


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "jumprelu", "transcoder", "skip-transcoder"])
def test_what_is_written_loads_and_explains_in_raw_units(subject: Subject, text: Path, tmp_path: Path, architecture: str) -> None:
    (done,) = train(tmp_path, subject, text, HOOKS[architecture], settings(architecture), window=40)
    dictionary = load(str(tmp_path), subject)
    facts = dictionary.facts
    x = captured(subject, text, sorted({facts.hook_in, facts.hook_out}))
    target, back = x[facts.hook_out], forward(dictionary, x[facts.hook_in])
    unexplained = float((target - back).square().sum() / (target - target.mean(0)).square().sum())
    assert unexplained == pytest.approx(done.last.unexplained, rel=0.35, abs=0.03)
    assert unexplained < 0.5
    assert (facts.context_size, facts.prepend_bos, facts.hook_in) == (41, True, HOOKS[architecture][0])
    assert int((dictionary.encode(x[facts.hook_in]) > 0).sum()) == pytest.approx(len(target) * done.last.active, rel=0.3)
    torch.testing.assert_close(dictionary.directions.norm(dim=1), torch.ones(48), atol=1e-4, rtol=0)

    theirs = SAE.load_from_disk(tmp_path)
    z = facts.hook_in.startswith("z")  # sae-lens takes the heads one by one
    given = x[facts.hook_in].unflatten(1, (4, -1)) if z else x[facts.hook_in]
    torch.testing.assert_close(dictionary.encode(x[facts.hook_in]), theirs.encode(given), atol=1e-5, rtol=1e-5)
    if not z:
        torch.testing.assert_close(back, theirs.forward(given), atol=1e-4, rtol=1e-4)


def test_a_cross_layer_transcoder_loads_and_explains_every_layer(subject: Subject, text: Path, tmp_path: Path) -> None:
    (done,) = train(tmp_path, subject, text, [], settings("cross-layer"), window=40)
    parts: Any = load_all([str(tmp_path)], subject)
    whole = CrossLayerTranscoder(parts)
    assert whole.hooks_in == [f"mlp_in.{n}" for n in range(3)]
    x = captured(subject, text, [*whole.hooks_in, *whole.hooks_out])
    shares = []
    for hook, back in whole.forward(x).items():
        shares.append(float((x[hook] - back).square().sum() / (x[hook] - x[hook].mean(0)).square().sum()))
    assert sum(shares) / 3 == pytest.approx(done.last.unexplained, rel=0.35)
    assert max(shares) < 0.6


def test_several_hook_points_in_one_pass_give_what_each_gives_alone(subject: Subject, text: Path, tmp_path: Path) -> None:
    both = train(tmp_path / "both", subject, text, ["resid_post.1", "mlp_out.2"], settings("topk", tokens=2560), window=40)
    (alone,) = train(tmp_path / "alone", subject, text, ["mlp_out.2"], settings("topk", tokens=2560), window=40)
    assert [t.folder.name for t in both] == ["resid_post.1", "mlp_out.2"]
    assert weights(both[1].folder) == weights(alone.folder)
    assert weights(both[0].folder) != weights(alone.folder)


def weights(folder: Path) -> dict[str, bytes]:
    """Weights and configs of everything below a folder."""
    names = [f for f in sorted(folder.rglob("*")) if f.suffix in (".safetensors", ".yaml") or f.name == "cfg.json"]
    assert names
    return {str(f.relative_to(folder)): f.read_bytes() for f in names}


def test_the_seed_decides(subject: Subject, text: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tmp_path / name, subject, text, ["resid_post.1"], settings("topk", tokens=1280, seed=seed), window=40)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert weights(tmp_path / "a")["sae_weights.safetensors"] != weights(tmp_path / "c")["sae_weights.safetensors"]


# The stream


def batches(subject: Subject, text: Path, count: int, block_tokens: int = 1000, start: int = 0) -> list[dict[str, Tensor]]:
    """`count` batches; the first `start` are given by another stream, whose place is handed over."""
    reading = Reading(("resid_post.1",), window=40, block_tokens=block_tokens, windows=8)
    first = ActivationStream(subject, Corpus(str(text)), reading, batch=128, seed=0)
    given = [batch for _, batch in zip(range(start), first, strict=False)]
    second = ActivationStream(subject, Corpus(str(text)), reading, batch=128, seed=0, place=first.place, scales=first.scales)
    return given + [batch for _, batch in zip(range(count - start), second, strict=False)]


@pytest.mark.parametrize("start", [1, 7, 8, 80])
def test_a_stream_goes_on_from_its_place(subject: Subject, text: Path, start: int) -> None:
    whole, cut = batches(subject, text, 100), batches(subject, text, 100, start=start)
    for a, b in zip(whole, cut, strict=True):
        assert torch.equal(a["resid_post.1"], b["resid_post.1"])


def test_a_stream_gives_every_token_once_in_each_reading(subject: Subject, text: Path) -> None:
    """Of a text that fits into one block: all rows but the rest of a batch, in another order the second time."""
    total = sum(len(subject.tokenize(d.text).ids) for d in Corpus(str(text)))
    count = total // 128
    given = torch.cat([b["resid_post.1"] for b in batches(subject, text, 2 * count, 1 << 20)])
    first, second = given[: count * 128], given[count * 128 :]
    assert not torch.equal(first, second)
    rows = {tuple(row.tolist()) for row in first}
    assert len(rows) > 0.9 * len({tuple(row.tolist()) for row in given})
    assert abs(float(first.mean())) < 0.05
    assert float(first.square().sum(1).mean()) == pytest.approx(first.shape[1], rel=0.05)


# The log


def test_the_log_holds_the_course_of_the_training(subject: Subject, text: Path, tmp_path: Path) -> None:
    seen: list[Sequence[Logged]] = []
    (done,) = train(tmp_path, subject, text, ["resid_post.1"], settings("topk"), window=40, progress=seen.append)
    lines = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 201)) == [line[0].step for line in seen]
    assert lines[-1]["tokens"] == 200 * 128
    assert lines[-1]["unexplained"] < 0.5 * lines[0]["unexplained"]
    assert all(line["active"] == pytest.approx(4, abs=0.5) for line in lines)
    assert lines[-1]["unexplained"] == done.last.unexplained
    assert not (tmp_path / "checkpoint.safetensors").exists()


# Going on

SCRIPT = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from dragoman.tools.subject import Subject
from dragoman.tools.train import train
from dragoman.tools.training import checkpoint
from dragoman.tools.training.settings import Settings

folder, architecture, hooks, kills, seed = Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(), int(sys.argv[4]), int(sys.argv[5])
subject = Subject.load(folder / "model", "cpu")
settings = Settings(architecture, features=48, k=4, tokens=300 * 128, batch=128, dead_after=2000)

def start(out):
    child = os.fork()
    if child:
        return child
    train(out, subject, folder / "texts.json", hooks, settings, window=40, block_tokens=1000, checkpoint_seconds=0.0)
    os._exit(0)

began = time.monotonic()
assert os.waitpid(start(folder / "whole"), 0)[1] == 0
lasts = time.monotonic() - began
moments, steps = random.Random(seed), []
while len(steps) < kills:
    child = start(folder / "killed")
    time.sleep(moments.uniform(0, lasts / 2))
    if os.waitpid(child, os.WNOHANG) != (0, 0):
        if steps:
            break
        lasts *= 0.5  # it had ended: the machine is quicker than it was
        shutil.rmtree(folder / "killed")
        continue
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = checkpoint.read(folder / "killed", torch.device("cpu"))
    steps.append(found.facts["step"] if found else 0)
assert os.waitpid(start(folder / "killed"), 0)[1] == 0
print(json.dumps(steps))
"""
KILLED = [("topk", "resid_post.1 mlp_out.2"), ("jumprelu", "z.0"), ("cross-layer", "")]
KILLS = 12 if os.environ.get("DRAGOMAN_SOAK") == "full" else 3


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize(("architecture", "hooks"), KILLED)
def test_killed_runs_end_with_the_same_bytes(subject: Subject, text: Path, tmp_path: Path, architecture: str, hooks: str) -> None:
    subject.model.save_pretrained(tmp_path / "model")
    subject.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "texts.json").write_bytes(text.read_bytes())
    seed = random.SystemRandom().randrange(2**32)
    print(f"kill moments from seed {seed}")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), architecture, hooks, str(KILLS), str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    steps = json.loads(ran.stdout.splitlines()[-1])
    print(f"killed with checkpoints at steps {steps}")
    assert steps
    assert weights(tmp_path / "whole") == weights(tmp_path / "killed")
    for whole in sorted((tmp_path / "whole").rglob("training.jsonl")):
        killed = tmp_path / "killed" / whole.relative_to(tmp_path / "whole")
        assert courses(whole) == courses(killed)


def courses(log: Path) -> list[dict[str, Any]]:
    return [{**json.loads(line), "seconds": None} for line in log.read_text().splitlines()]


class Stopped(Exception):
    """Raised in the middle of a run."""


def stopped_run(out: Path, subject: Subject, text: Path, **changes: Any) -> None:
    def stop(lines: Sequence[Logged]) -> None:
        if lines[0].step == 30:
            raise Stopped

    with pytest.raises(Stopped):
        train(out, subject, text, ["resid_post.1"], settings("topk", **changes), window=40, checkpoint_seconds=0, progress=stop)


def test_other_settings_do_not_go_on_unless_fresh(subject: Subject, text: Path, tmp_path: Path) -> None:
    stopped_run(tmp_path, subject, text)
    with pytest.raises(UserError, match="another settings: use the same settings to go on, another folder, or --fresh"):
        train(tmp_path, subject, text, ["resid_post.1"], settings("topk", k=5), window=40)
    (done,) = train(tmp_path, subject, text, ["resid_post.1"], settings("topk", k=5, tokens=1280), window=40, fresh=True)
    assert done.last.step == 10
    assert len((tmp_path / "training.jsonl").read_text().splitlines()) == 10


def test_a_finished_run_is_given_back_at_once(subject: Subject, text: Path, tmp_path: Path) -> None:
    small = settings("topk", tokens=1280)
    first = train(tmp_path, subject, text, ["resid_post.1"], small, window=40)
    before = {f: f.stat().st_mtime_ns for f in tmp_path.iterdir() if not f.name.startswith(".")}
    assert train(tmp_path, subject, text, ["resid_post.1"], small, window=40) == first
    assert {f: f.stat().st_mtime_ns for f in before} == before


def test_a_damaged_checkpoint_is_refused(subject: Subject, text: Path, tmp_path: Path) -> None:
    stopped_run(tmp_path, subject, text)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"checkpoint.safetensors is damaged .* begin again with --fresh"):
        train(tmp_path, subject, text, ["resid_post.1"], settings("topk"), window=40)


# Bad input

BAD: list[tuple[str, list[str], dict[str, Any], str]] = [
    ("topk", [], {}, "Say which hook point the dictionary reads"),
    ("topk", ["resid_post.9"], {}, "has layers 0 to 2"),
    ("topk", ["nowhere.1"], {}, "Unknown hook point 'nowhere.1'"),
    ("topk", ["resid_post.1", "resid_post.1"], {}, "resid_post.1 is named twice"),
    ("transcoder", ["resid_post.1"], {}, "A transcoder reads the input of an MLP, such as mlp_in.1"),
    ("cross-layer", ["mlp_in.0"], {}, "leave --hook out"),
    ("topk", ["resid_post.1"], {"window": 64}, "A window of 64 tokens is not possible"),
    ("topk", ["resid_post.1"], {"block_tokens": 100}, "A block of 100 tokens is smaller than a batch of 128"),
]


@pytest.mark.parametrize(("architecture", "hooks", "more", "says"), BAD, ids=[case[3][:30] for case in BAD])
def test_bad_input_is_one_sentence(
    subject: Subject, text: Path, tmp_path: Path, architecture: str, hooks: list[str], more: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        train(tmp_path / "out", subject, text, hooks, settings(architecture), **more)
    assert not (tmp_path / "out").exists()


def test_a_text_of_less_than_a_batch_is_refused(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("the cat sat on the mat")
    with pytest.raises(UserError, match="fewer than one batch of 128: give more text or lower --batch"):
        train(tmp_path / "out", subject, tmp_path / "short.txt", ["resid_post.1"], settings("topk"), window=40)


def test_a_folder_with_something_else_is_not_touched(subject: Subject, text: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for fresh in (False, True):
        with pytest.raises(UserError, match=r"holds notes.txt and no training run: give a new folder"):
            train(tmp_path, subject, text, ["resid_post.1"], settings("topk"), window=40, fresh=fresh)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_training_that_diverges_says_so(subject: Subject, text: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Training diverged before step 2: .* Lower --rate"):
        train(tmp_path, subject, text, ["resid_post.1"], settings("topk", rate=float("1e38"), warmup=1), window=40)
