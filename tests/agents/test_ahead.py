"""First questions in batches: the same run at half the price, also through a kill."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dragoman.agents import ahead
from dragoman.agents.campaign import Means
from dragoman.store.errors import UserError
from tests.agents.answering import MODEL, ROOT
from tests.agents.ledgers import left_by, rows
from tests.agents.running import live, run, run_of, scripted
from tests.dragoman.command import here
from tests.evals.gateway.server import ScriptedServer

pytestmark = pytest.mark.slow

BATCH = Means(batch=True, price="10,20")
RUN = """
import sys
from pathlib import Path
from dragoman.agents import ahead
from tests.agents.running import run
from tests.agents.test_ahead import BATCH
ahead.PATIENCE.update(poll=0.05, grace=0.05)
run(Path(sys.argv[1]), sys.argv[2], tuple(map(int, sys.argv[3].split(","))), BATCH)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "PATIENCE", {"poll": 0.05, "grace": 0.05})


def spec(server: ScriptedServer) -> str:
    return f"openai:{server.url}#{MODEL}"


def test_the_labeler_finds_the_replies_of_batches(organism: Path, tmp_path: Path) -> None:
    features = live(organism, 5)
    shutil.copytree(organism, tmp_path / "calm")
    with scripted() as server:
        calm = run(tmp_path / "calm", spec(server), features)
        alone = len(server.seen)
    with scripted() as server:
        outcome = run(organism, spec(server), features, BATCH)
        (batch,) = server.batches.batches.values()
        assert len(batch.calls) == len(features)
        assert len(server.seen) == alone, "no question was asked twice"
    assert outcome.run == calm.run and left_by(organism, outcome.run.id) == left_by(tmp_path / "calm", calm.run.id)
    share = "SELECT sum(cost) / sum(tokens) FROM model_call WHERE latency IS {} NULL"
    (((batched,),), ((single,),)) = rows(organism, share.format("")), rows(organism, share.format("NOT"))
    assert batched == pytest.approx(single / 2, rel=0.05)


def test_a_batch_is_picked_up_after_a_kill(organism: Path) -> None:
    features = live(organism, 5)
    with scripted() as server:
        server.batches.takes = 3600.0
        command = [sys.executable, "-c", RUN, str(organism), spec(server), ",".join(map(str, features))]
        process = subprocess.Popen(command, cwd=ROOT)
        begun = time.monotonic()
        while not rows(organism, "SELECT * FROM model_batch WHERE status = 'submitted'"):
            assert time.monotonic() - begun < 300 and process.poll() is None
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert not rows(organism, "SELECT * FROM label")
        with pytest.raises(UserError, match="run the same command with --batch"):
            run(organism, spec(server), features)
        server.batches.takes = 0.0
        for batch in server.batches.batches.values():
            batch.ready = 0.0
        run(organism, spec(server), features, BATCH)
        assert len(server.batches.batches) == 1
    assert rows(organism, "SELECT status, calls FROM model_batch") == [("read", 5)]
    assert len(rows(organism, "SELECT feature FROM label UNION SELECT feature FROM failure")) == 5
    settled = "SELECT count(*) - count(DISTINCT key), sum(status <> 'settled') FROM model_call WHERE run = ?"
    assert rows(organism, settled, run_of(organism)) == [(0, 0)]


def test_where_there_are_no_batches_it_is_said_at_once(organism: Path) -> None:
    with scripted() as server:
        with pytest.raises(UserError, match=r"^vllm:.* has no batch endpoint: leave out --batch, or use anthropic:MODEL or"):
            run(organism, server.url, live(organism, 2), BATCH)
        assert not server.seen
    refused = here("label", organism, "--batch", "--features", "2")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == "--batch asks a language model: name one as --explainer, or leave out --batch."
