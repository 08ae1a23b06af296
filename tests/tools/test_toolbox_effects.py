"""Minimal contexts, attributions, searches and interventions of the toolbox against passes made by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from dragoman.store.errors import ToolError
from dragoman.store.hashing import seed_of
from dragoman.tools.subject import Subject
from dragoman.tools.toolbox import Desk, Toolbox, registry
from dragoman.tools.workbench import Workbench
from tests.support.benches import make_bench
from tests.tools.test_toolbox_leaks import HOSTILE
from tests.tools.test_toolbox_reading import alone

TEXT = "the cat sat on the mat and a dog ran"
FEATURE = "sae/3"


@pytest.fixture(scope="module")
def bench(tiny: Callable[[str], Subject], tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return make_bench(tmp_path_factory.mktemp("effects"), tiny("llama"))


@pytest.fixture(scope="module")
def box(bench: Workbench) -> Toolbox:
    return Toolbox(Desk.of(bench), "run", FEATURE, seed=3)


@pytest.fixture(scope="module")
def firing(bench: Workbench) -> str:
    """A text on which the feature fires, and needs more than the token itself."""
    for example in bench.train.examples(bench.store.id(FEATURE), "top", 40):
        text = "".join(example.context.strings)
        ids = bench.subject.tokenize(text).ids.tolist()
        values = alone(bench, FEATURE, ids)
        own = alone(bench, FEATURE, [ids[int(values.argmax())]])
        if values.max() > bench.threshold(FEATURE) >= own[0]:
            return text
    raise AssertionError("there is no such text")


def logits(bench: Workbench, ids: list[int], added: torch.Tensor | None) -> torch.Tensor:
    """The model's logits in float64 by a plain forward pass, with a vector added after its second block, not on BOS."""
    handle = None
    if added is not None:

        def hook(module: Any, args: Any, output: Any) -> Any:
            x = (output[0] if isinstance(output, tuple) else output).clone()
            x[:, 1:] += added
            return (x, *output[1:]) if isinstance(output, tuple) else x

        handle = bench.subject.blocks[1].register_forward_hook(hook)
    with torch.inference_mode():
        found: torch.Tensor = bench.subject.model(input_ids=torch.tensor([[1, *ids]])).logits[0, 1:].double()
    if handle is not None:
        handle.remove()
    return found


def test_a_minimal_set_suffices_and_nothing_smaller_does(bench: Workbench, box: Toolbox, firing: str) -> None:
    for others in ("cut", "delete"):
        data = box.call("minimal_context", {"text": firing, "others": others}).data
        ids = bench.subject.tokenize(firing).ids.tolist()
        threshold = bench.threshold(FEATURE)
        assert alone(bench, FEATURE, [ids[i] for i in data["kept"]])[-1] == pytest.approx(data["kept_value"], abs=1e-4)
        assert data["kept_value"] > threshold and data["kept"][-1] == data["position"] and data["proven"]
        kept = data["kept"]
        if len(kept) > 1:
            smaller = [kept[1:-1]] if others == "cut" else list(combinations(range(data["position"]), len(kept) - 2))
            for some in smaller[:200]:
                assert not alone(bench, FEATURE, [ids[i] for i in (*some, data["position"])])[-1] > threshold


def test_attributions_are_losses_and_gradients_add_up(bench: Workbench, box: Toolbox, firing: str) -> None:
    ids = bench.subject.tokenize(firing).ids.tolist()
    data = box.call("attribute_tokens", {"text": firing, "method": "delete"})
    for at, score in enumerate(data.data["scores"][: data.data["position"]]):
        row = ids[:at] + ids[at + 1 : data.data["position"] + 1]
        assert score == pytest.approx(data.data["value"] - float(alone(bench, FEATURE, row)[-1]), abs=1e-3)
    n = data.data["position"] + 1
    assert data.forwarded == len(ids) + (n - 1) * (n - 1)
    integrated = box.call("attribute_tokens", {"text": firing, "method": "integrated"})
    assert abs(integrated.data["gap"]) < 0.05 * abs(integrated.data["value"]) + 0.05 and integrated.forwarded > 32 * 3 * n


def test_a_search_stays_in_its_effort_and_repeats(box: Toolbox, bench: Workbench) -> None:
    first = box.call("search_inputs", {"length": 5, "effort": 200, "n": 2})
    assert first.data["forwards"] <= 200 + 12 and 200 < first.forwarded < 200 * 3 * 6 and len(first.data["texts"]) == 2
    assert first == box.call("search_inputs", {"length": 5, "effort": 200, "n": 2})
    for found in first.data["texts"]:
        assert float(alone(bench, FEATURE, found["ids"]).max()) == pytest.approx(found["value"], abs=1e-4)


def test_a_prediction_is_explained_by_features_taken_away_one_by_one(bench: Workbench, box: Toolbox) -> None:
    ids = bench.subject.tokenize(TEXT).ids.tolist()
    result = box.call("explain_prediction", {"text": TEXT, "n": 30})
    clean = logits(bench, ids, None)[-1]
    best = int(clean.argmax())
    assert result.data["next"] == bench.subject.vocabulary[best]
    assert result.data["before"] == pytest.approx(float(clean.softmax(-1)[best]), rel=1e-3)
    shifts = [abs(row["shift"]) for row in result.data["features"]]
    assert shifts == sorted(shifts, reverse=True) and len(shifts) == min(30, result.data["active"])
    seen = 0
    for row in result.data["features"]:
        name, _, index = row["feature"].partition("/")
        if name != "sae":  # written where it was read: what is taken away is its value times its direction, on each token
            continue
        values = torch.tensor(alone(bench, row["feature"], ids))
        edited = logits(bench, ids, -values[:, None] * bench.dictionary("sae").directions[int(index)])[-1]
        shift = (edited - edited.mean())[best] - (clean - clean.mean())[best]
        assert row["shift"] == pytest.approx(float(shift), abs=2e-4)
        assert dict(map(tuple, row["places"])) == {
            at: pytest.approx(v, rel=1e-4) for at, v in enumerate(values.tolist()) if v > 0
        }
        seen += 1
    assert seen > 3
    few = box.call("explain_prediction", {"text": TEXT, "n": 2, "next": " park"})
    assert few.data["next"] == " park" and few.data["control"] is not None and len(few.data["features"]) == 2
    assert few == box.call("explain_prediction", {"text": TEXT, "n": 2, "next": " park"})


def test_a_steer_is_a_vector_added(bench: Workbench, box: Toolbox) -> None:
    prompts = ["the cat sat on", TEXT]
    result = box.call("steer", {"prompts": prompts, "strength": 2, "watch": [" park"]})
    direction = bench.dictionary("sae").directions[3]
    added = 2 * bench.maximum(FEATURE) * direction
    kls, shifts, total = [], [], 0
    for prompt in prompts:
        ids = bench.subject.tokenize(prompt).ids.tolist()
        total += len(ids)
        clean, steered = (logits(bench, ids, vector)[-1] for vector in (None, added))
        p, q = clean.log_softmax(-1), steered.log_softmax(-1)
        kls.append(float((p.exp() * (p - q)).sum()))
        shifts.append((steered - steered.mean()) - (clean - clean.mean()))
    shift = torch.stack(shifts).mean(0)
    assert result.data["kl"] == pytest.approx(np.mean(kls), rel=1e-3) and result.data["kl_max"] == pytest.approx(
        max(kls), rel=1e-3
    )
    best = shift.topk(8)
    assert [row["id"] for row in result.data["promoted"]] == best.indices.tolist()
    np.testing.assert_allclose([row["shift"] for row in result.data["promoted"]], best.values, rtol=1e-3)
    (park,) = bench.subject.tokenize_inside(" park")
    assert result.data["watched"][0]["id"] == park
    assert result.data["watched"][0]["shift"] == pytest.approx(float(shift[park]), rel=1e-3)
    assert result.forwarded == 4 * total and result.data["control"]["kl"] != result.data["kl"]
    assert result == box.call("steer", {"prompts": prompts, "strength": 2, "watch": [" park"]})
    other = Toolbox(Desk.of(bench), "run", FEATURE, seed=4).call("steer", {"prompts": prompts, "strength": 2})
    assert other.data["control"] != result.data["control"] and other.data["promoted"] == result.data["promoted"]


def test_an_ablation_subtracts_what_the_feature_writes(bench: Workbench, box: Toolbox, firing: str) -> None:
    ids = bench.subject.tokenize(firing).ids.tolist()[: bench.window]
    text = bench.subject.decode(ids)
    values = torch.from_numpy(alone(bench, FEATURE, ids))[None, :, None]
    added = -values * bench.dictionary("sae").directions[3]
    clean, edited = (logits(bench, ids, vector).log_softmax(-1) for vector in (None, added))
    kl = (clean.exp() * (clean - edited)).sum(-1)
    first = int((values[0, :, 0] >= 0).nonzero()[0, 0])
    result = box.call("ablate", {"texts": [text]})
    assert result.data["kl"] == pytest.approx(float(kl[first:].mean()), rel=2e-3)
    assert result.forwarded == 2 * len(ids) and result.read == 0
    stored = box.call("ablate", {})
    assert (
        stored.read == 4
        and stored.data["kl"] > 0
        and stored.forwarded
        == 2 * sum(len(example.context.ids) for example in bench.train.examples(bench.store.id(FEATURE), "top", 4))
    )


def test_an_ablation_stands_beside_random_directions_of_its_norm(bench: Workbench, box: Toolbox, firing: str) -> None:
    plain = box.call("ablate", {"texts": [firing], "at": "last", "watch": [" park"]})
    beside = box.call("ablate", {"texts": [firing], "at": "last", "watch": [" park"], "controls": 3})
    ids = bench.subject.tokenize(firing).ids.tolist()
    assert "controls" not in plain.data and {**beside.data, "controls": None} == {**plain.data, "controls": None}
    assert beside.forwarded == 4 * plain.forwarded == 8 * len(ids)
    values = torch.tensor(alone(bench, FEATURE, ids))
    direction = bench.dictionary("sae").directions[3]
    clean = logits(bench, ids, None)[-1].softmax(-1)
    seeds = [seed_of(3, bench.store.id(FEATURE), "ablate", n) % 2**31 for n in range(3)]
    for seed, control in zip(seeds, beside.data["controls"], strict=True):
        random = torch.nn.functional.normalize(torch.randn(len(direction), generator=torch.Generator().manual_seed(seed)), dim=0)
        moved = logits(bench, ids, torch.outer(values * direction.norm(), random))[-1].softmax(-1)
        assert control["kl"] == pytest.approx(float((clean * (clean / moved).log()).sum()), rel=1e-2, abs=1e-6)
        assert control["watched"][0]["before"] == plain.data["watched"][0]["before"]
    assert "3 random directions of the same norm: KL" in beside.text and "' park' p" in beside.text


def test_generated_text_is_what_the_model_says(bench: Workbench, box: Toolbox) -> None:
    result = box.call("generate_steered", {"prompts": ["the cat sat"], "strengths": [4], "tokens": 5})
    rows = result.data["continuations"]
    assert [(row["direction"], row["strength"]) for row in rows] == [("none", 0), ("feature", 4), ("random", 4)]
    ids = bench.subject.tokenize("the cat sat").ids.tolist()
    added = 4 * bench.maximum(FEATURE) * bench.dictionary("sae").directions[3]
    for row, vector in ((rows[0], None), (rows[1], added)):
        said = list(ids)
        for _ in range(5):
            said.append(int(logits(bench, said, vector)[-1].argmax()))
        assert bench.subject.decode(said).endswith(row["text"])
    assert result.forwarded == 2 * 3 * (len(ids) + 5)


def test_linear_effects_are_the_stored_ones(bench: Workbench, box: Toolbox) -> None:
    data = box.call("logit_effects", {"watch": [" park"]}).data
    stored = bench.store.feature(FEATURE)
    assert [text for text, _ in data["promoted"]] == [value.token for value in stored.promoted]
    np.testing.assert_allclose(
        [value for _, value in data["suppressed"]], [value.value for value in stored.suppressed], rtol=1e-4
    )
    w = bench.dictionary("sae").directions[3].double() * bench.subject.final_norm_weight().double()
    effects = bench.subject.unembedding().double() @ w
    (park,) = bench.subject.tokenize_inside(" park")
    assert data["watched"][0][1] == pytest.approx(float(effects[park] - effects.mean()), rel=1e-4)


def test_wrong_experiments_say_so(box: Toolbox) -> None:
    for name, arguments, says in (
        ("steer", {"prompts": ["the"], "watch": ["the cat"]}, "is not one token"),
        ("steer", {"prompts": ["the"], "strength": float("inf")}, '"strength" should be a finite number'),
        ("generate_steered", {"prompts": ["the cat " * 60], "strengths": [1]}, "takes at most"),
        ("ablate", {"texts": [" "] * 9}, "at most 8 items"),
    ):
        with pytest.raises(ToolError) as raised:
            box.call(name, arguments)
        assert says in str(raised.value)


def test_hostile_arguments_of_tools_that_need_a_model(box: Toolbox) -> None:
    calls: dict[str, dict[str, Any]] = {
        "ablate": {"texts": ["the cat"]},
        "steer": {"prompts": ["the cat"]},
        "generate_steered": {"prompts": ["the cat"], "strengths": [1], "tokens": 2},
        "logit_effects": {},
    }
    tried = failed = 0
    for name, arguments in calls.items():
        for argument in (*registry()[name].spec.schema["properties"], "split"):
            for value in HOSTILE:
                tried += 1
                try:
                    box.call(name, {**arguments, argument: value})
                except ToolError:
                    failed += 1
    assert tried > 250 and failed > 0.7 * tried
