"""kill -9 at random moments of a campaign behind a real HTTP server: it ends as one that nobody disturbed."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dragoman.agents.replay import replay
from dragoman.evals.scoring import score
from dragoman.store.features import Store
from tests.agents.answering import ROOT, Held
from tests.agents.ledgers import left_by, outcomes, rows, spent
from tests.support.soak import FULL, record, table

FEATURES, KILLS = (100, int(os.environ.get("DRAGOMAN_SOAK_KILLS", "50"))) if FULL else (8, 3)
BUDGET = 40_000_000 if FULL else 5_000_000
CALLS = "SELECT count(*) FROM model_call WHERE status = 'settled'"


def command(path: Path, url: str, features: list[int]) -> list[str]:
    chosen = ",".join(map(str, features))
    flags = ["--rung", "experiments", "--rounds", "2", "--tests", "4", "--concurrency", "8", "--quiet"]
    flags += ["--features", chosen, "--explainer", f"vllm:{url}", "--budget-tokens", str(BUDGET)]
    return [sys.executable, "-m", "dragoman", "label", str(path), *flags]


def run_of(path: Path) -> str:
    ((run,),) = rows(path, "SELECT id FROM run WHERE kind = 'label'")
    return str(run)


def scores(path: Path) -> list[tuple[object, ...]]:
    score(path, workers=0, progress=False)
    return rows(path, "SELECT * FROM score ORDER BY id")


@pytest.mark.slow
@pytest.mark.soak
def test_killed_again_and_again_it_ends_as_an_undisturbed_one(organism: Path, tmp_path: Path) -> None:
    """One run, killed many times: the same rows at the end, no feature twice, no settled call again, the budget kept."""
    with Store.open(organism) as store:
        features = store.features("live")[:FEATURES]
    calm = tmp_path / "calm"
    shutil.copytree(organism, calm)
    with Held(delay=0.02) as server:
        begun = time.monotonic()
        assert subprocess.run(command(calm, server.url, features), cwd=ROOT).returncode == 0
        undisturbed = time.monotonic() - begun
    assert max(server.asked.values()) == 1
    run, expected = run_of(calm), left_by(calm, run_of(calm))
    ((whole,),) = rows(calm, CALLS)
    assert expected["label"] and expected["failure"] and outcomes(calm, run) == len(features)

    seed = random.SystemRandom().randrange(2**32)
    moments = random.Random(seed)
    left: list[tuple[object, ...]] = []
    last = list(server.asked)[-1]
    with Held(delay=0.02) as server:
        server.never = last  # so that no process ends before it is killed
        while len(left) < KILLS:
            low, high = len(left) * whole // KILLS, min((len(left) + 1) * whole // KILLS, whole - 1)
            process = subprocess.Popen(command(organism, server.url, features), cwd=ROOT)
            target, begun = moments.randrange(low, high), time.monotonic()
            while process.poll() is None and (rows(organism, CALLS) or [(0,)])[0][0] <= target:
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 0.05))
            process.kill()
            after = time.monotonic() - begun
            assert process.wait() == -9, "it ended before it was killed"
            assert spent(organism) <= BUDGET
            ((settled,),) = rows(organism, CALLS)
            ((reserved,),) = rows(organism, "SELECT count(*) FROM model_call WHERE status = 'reserved'")
            done = outcomes(organism, run)
            left.append((len(left) + 1, f"{after:.2f}", f"{settled} of {whole}", reserved, f"{done} of {len(features)}"))
        server.never = ""
        begun = time.monotonic()
        assert subprocess.run(command(organism, server.url, features), cwd=ROOT).returncode == 0
        rest = time.monotonic() - begun
    print(table(("kill", "after, s", "calls settled", "calls under way at kills", "features done"), left))
    found = left_by(organism, run)
    for name in expected:
        assert found[name] == expected[name], f"the rows of {name} differ"
    keys = rows(organism, "SELECT key FROM model_call WHERE status = 'settled' ORDER BY key")
    assert keys == rows(calm, "SELECT key FROM model_call WHERE status = 'settled' ORDER BY key"), "every call is settled once"
    ((reserved,),) = rows(organism, "SELECT count(*) FROM model_call WHERE status = 'reserved'")
    repeated = sum(server.asked.values()) - len(server.asked)
    assert repeated <= reserved, "what was sent twice had not been settled"
    assert sum(server.asked.values()) <= whole + reserved and spent(organism) <= BUDGET
    assert not rows(organism, "SELECT * FROM failure WHERE reason LIKE '%Error%'")
    assert scores(organism) == scores(calm)
    again = replay(organism, run, progress=False)
    assert again.differences == [] and again.features == len(features)
    if FULL:
        text = (
            f"{len(features)} features, a scripted model behind a real HTTP server of its own, 8 features in flight, hypotheses, "
            f"experiments and revisions: {whole} calls, {undisturbed:.1f} s undisturbed. One run, killed {KILLS} times in a row; "
            f"the command after the last kill took {rest:.1f} s. At the end labels, reasons, hypotheses, experiments, "
            "predictions with their verdicts, steps and `pattern` scores are those of the undisturbed run; every call is "
            f"settled once; {repeated} requests were sent a second time, of {reserved} that were under way at a kill; settled "
            f"and reserved tokens never were above the budget.\n\n"
        )
        head = ("kill", "after, s", "calls settled", "under way at kills so far", "features done")
        record("campaign", text + table(head, left) + f"\n\nMoments from seed {seed}.")
