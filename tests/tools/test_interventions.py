"""Interventions: generation with a cache, positions, bad input, means, what takes over, and how results look."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.tools.dictionaries import load
from dragoman.tools.dictionaries.coder import Recipe, make_coder
from dragoman.tools.interventions import (
    ALL,
    Positions,
    ablate,
    baseline,
    clamp,
    compare_strengths,
    generate,
    heads,
    layer,
    measure,
    neurons,
    random_direction,
    steer,
    takeover,
    unit_means,
)
from dragoman.tools.interventions.edits import Baseline, Edit, UnitEdit
from dragoman.tools.interventions.effects import one_token
from dragoman.tools.interventions.positions import left_padded, right_padded
from dragoman.tools.interventions.running import Intervention
from dragoman.tools.subject import Subject
from tests.tools.test_interventions_reference import D, F, Sae, cross_layer

Tiny = Callable[[str], Subject]
FAMILIES = ["gpt2", "gpt_neox", "gpt_neox_sequential", "llama", "mistral", "qwen3", "gemma2", "gemma3", "phi3", "olmo2"]
PROMPTS = ["the cat sat on the mat and the dog", "the park", "ran to the dog the cat"]


def sharpened(subject: Subject) -> Subject:
    """With logits far apart, so that the likeliest token does not hang on rounding, and no early end."""
    with torch.no_grad():
        subject.decoder.get_submodule(subject.family.final_norm).get_parameter("weight").mul_(4)
    subject.model.generation_config.eos_token_id = []
    return subject


@pytest.mark.parametrize("family", FAMILIES)
def test_with_a_cache_as_without_one(family: str, tiny: Tiny, tmp_path: Path) -> None:
    subject = sharpened(tiny(family))
    dictionary = Sae(tmp_path / "sae", "resid_post.1", "layer_norm").load(subject)
    plain = Sae(tmp_path / "plain", "resid_pre.1", exclude=range(0, 300, 3)).load(subject)
    edits: list[Edit] = [
        steer(dictionary, [9], 2.0, [2.0], Positions(3)),
        steer(plain, [4], 3.0, [2.0], Positions(-1, None)),
        ablate(plain, range(20), positions=Positions(1, 9)),
        clamp(cross_layer(), [3], 1.0, [1.0], Positions(exact=(0, -1))),
        heads(subject, 2, [1]),
    ]
    cached = generate(subject, PROMPTS, edits, tokens=12)
    assert [g.ids for g in cached] == [g.ids for g in generate(subject, PROMPTS, edits, tokens=12, cache=False)]
    alone = [generate(subject, [prompt], edits, tokens=12)[0].ids for prompt in PROMPTS]
    assert [g.ids for g in cached] == alone, "what stands beside a prompt does not matter"
    assert all(len(g.ids) == 12 for g in cached)
    assert [g.ids for g in cached] != [g.ids for g in generate(subject, PROMPTS, tokens=12)], "the edits must change something"


def test_generation_is_the_models_own(tiny: Tiny) -> None:
    for family in ("gpt2", "llama", "gemma2"):
        subject = sharpened(tiny(family))
        ids = [1, *subject.tokenize(PROMPTS[0]).ids.tolist()]
        with torch.inference_mode():
            theirs = subject.model.generate(torch.tensor([ids]), max_new_tokens=10, do_sample=False, pad_token_id=0)
        (ours,) = generate(subject, [PROMPTS[0]], tokens=10)
        assert list(ours.ids) == theirs[0, len(ids) :].tolist()
        decode = subject.tokenizer.backend_tokenizer.decode
        assert decode(ids[1:], skip_special_tokens=False) + ours.text == decode([*ids[1:], *ours.ids], skip_special_tokens=False)


def test_sampling_follows_its_seed_and_eos_ends_a_text(tiny: Tiny) -> None:
    subject = tiny("llama")
    one, same, other = (generate(subject, PROMPTS, tokens=15, temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert [g.ids for g in one] == [g.ids for g in same] != [g.ids for g in other]
    (alone,) = generate(subject, PROMPTS[:1], tokens=15, temperature=1.0, seed=1)
    assert alone.ids == one[0].ids
    subject.model.generation_config.eos_token_id = [one[0].ids[4]]
    (ended,) = generate(subject, PROMPTS[:1], tokens=15, temperature=1.0, seed=1)
    assert ended.ids == one[0].ids[: one[0].ids.index(one[0].ids[4])]


def test_comparing_strengths(tiny: Tiny, tmp_path: Path) -> None:
    subject = sharpened(tiny("llama"))
    dictionary = Sae(tmp_path / "sae", "resid_post.1").load(subject)
    found = compare_strengths(subject, steer(dictionary, [9], 1.0, [2.0]), PROMPTS[:2], [0, 1, 4], tokens=6, seed=3)
    rows = [(c.prompt, c.strength, c.direction) for c in found.continuations]
    each = [(0.0, "none"), (1.0, "feature"), (1.0, "random"), (4.0, "feature"), (4.0, "random")]
    assert rows == [(prompt, *row) for prompt in PROMPTS[:2] for row in each]
    edit = steer(dictionary, [9], 4.0, [2.0])
    (expected,) = generate(subject, PROMPTS[1:2], [edit], tokens=6)
    assert found.continuations[8].text == expected.text
    (control,) = generate(subject, PROMPTS[1:2], [random_direction(edit, 3)], tokens=6)
    assert found.continuations[9].text == control.text
    ids = [1, *subject.tokenize(PROMPTS[1]).ids.tolist(), *expected.ids]
    with torch.inference_mode():
        losses = (
            -subject.model(torch.tensor([ids]))
            .logits.double()
            .log_softmax(-1)[0, -7:-1]
            .gather(1, torch.tensor(expected.ids)[:, None])
        )
    assert found.continuations[8].surprise == pytest.approx(float(losses.mean()), rel=1e-4)
    assert "4 random" in repr(found) and "<table>" in found._repr_html_()


def test_positions() -> None:
    right = right_padded([5, 3], bos=True)
    columns = {
        "all": ["-01234", "-012.."],
        "1": ["..1...", "..1..."],
        "-1": [".....4", "...2.."],
        "0,-1": [".0...4", ".0.2.."],
        "1:3": ["..12..", "..12.."],
        "-2:": ["....34", "..12.."],
        ":-1": [".0123.", ".01..."],
    }
    for text, expected in columns.items():
        positions = Positions.parse(text)
        assert str(positions) == text
        positions.check(right)
        shown = ["".join("." if c in ".-" else "x" for c in row) for row in expected]
        assert ["".join("x" if m else "." for m in row) for row in positions.mask(right, 0, 6)] == shown
    assert Positions(bos=True).mask(right, 0, 6)[:, 0].all()
    left = left_padded([5, 3], bos=True, generated=4)
    whole = {text: Positions.parse(text).mask(left, 0, 10) for text in (*columns, "6", "2:7")}
    assert whole["all"].tolist() == [[c >= 1 for c in range(10)], [c >= 3 for c in range(10)]]
    assert whole["6"].nonzero()[1].tolist() == [7, 9] and whole["-1"].nonzero()[1].tolist() == [5, 5]
    for text, mask in whole.items():
        for offset in range(10):
            assert np.array_equal(Positions.parse(text).mask(left, offset, 10 - offset), mask[:, offset:])


def test_bad_input_is_one_clear_sentence(tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("llama")
    dictionary = Sae(tmp_path / "sae", "resid_post.1").load(subject)
    foreign = Sae(tmp_path / "foreign", "z.1", width=32).load(tiny("qwen3"))
    far = cross_layer(4)
    weights = {"W_enc": torch.ones(D, F), "W_dec": torch.ones(F, D), "b_enc": torch.ones(F), "b_dec": torch.ones(D)}
    backwards = make_coder("backwards", "resid_post.2", "mlp_out.0", Recipe("relu"), weights)
    edit, far_off = steer(dictionary, [9], 1.0, [2.0]), Positions(exact=(99,))
    text = "the cat sat"

    def cases() -> list[tuple[str, Callable[[], Any]]]:
        unit = UnitEdit(subject.check("mlp_hidden.1"), (1, 2), torch.zeros(3), "three values for two units")
        return [
            ("must be a finite number", lambda: steer(dictionary, [9], math.nan, [2.0])),
            ("must be a finite number", lambda: clamp(dictionary, [9], math.inf, [2.0])),
            ("must be a finite number", lambda: ablate(dictionary, [9], Baseline("mean", (math.nan,)))),
            ("no feature sae/40: sae has 0 to 39", lambda: ablate(dictionary, [40])),
            ("at least one feature", lambda: ablate(dictionary, [])),
            ("2 features need as many amounts; 1", lambda: steer(dictionary, [1, 2], 1.0, [2.0])),
            ("cannot be dropped, because it reconstructs only together", lambda: ablate(far, [1], keep_error=False)),
            ("layers 0 to 2", lambda: measure(subject, [ablate(far, [1])], [text])),
            ("comes before resid_post.2", lambda: measure(subject, [ablate(backwards, [1])], [text])),
            ("belongs to another model", lambda: measure(subject, [ablate(foreign, [1])], [text])),
            ("no head 1.4: layer 1", lambda: heads(subject, 1, [4])),
            ("layers 0 to 2", lambda: heads(subject, 7, [0])),
            ("no neuron 0.24", lambda: neurons(subject, 0, [24])),
            ("layers 0 to 2", lambda: layer(subject, 3)),
            ("has values of shape (3,); it must be (2,)", lambda: measure(subject, [unit], [text])),
            ("names no positions", lambda: Positions.parse("first")),
            (
                "Position 99 is out of range",
                lambda: measure(subject, [ablate(dictionary, [1], positions=far_off)], [text]),
            ),
            (
                "Positions 50: are out of range",
                lambda: measure(subject, [ablate(dictionary, [1], positions=Positions(50))], [text]),
            ),
            ("'logits' cannot be frozen", lambda: measure(subject, [edit], [text], freeze=["logits"])),
            ("is not one token", lambda: measure(subject, [edit], [text], chosen=["the cat sat"])),
            ("no token 300", lambda: measure(subject, [edit], [text], chosen=[300])),
            ("Text 1 has no tokens", lambda: measure(subject, [edit], [text, ""])),
            ("at least one text", lambda: measure(subject, [edit], [])),
            ("token id that", lambda: measure(subject, [edit], [[5, 300]])),
            ("takes at most 63", lambda: measure(subject, [edit], [[5] * 64])),
            ("0 tokens cannot be generated", lambda: generate(subject, [text], tokens=0)),
            ("when 62 more are to come", lambda: generate(subject, [text], tokens=62)),
            ("temperature nan", lambda: generate(subject, [text], temperature=math.nan)),
            ("keeps the error term", lambda: random_direction(ablate(dictionary, [1], keep_error=False), 0)),
            ("Strengths are compared of a steer", lambda: compare_strengths(subject, ablate(dictionary, [1]), [text], [1])),
        ]

    for message, call in cases():
        with pytest.raises(UserError) as caught:
            call()
            pytest.fail(message)
        assert message in str(caught.value) and str(caught.value).count("\n") == 0, (message, str(caught.value))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in subject.model.modules()), (
        "nothing stays behind"
    )
    with pytest.raises(UserError, match="use resid_pre"):
        Intervention(tiny("gpt_neox"), [ablate(load(f"{dictionary.facts.source}@resid_mid.1", tiny("llama")), [1])])


def test_nothing_stays_behind_and_packing_is_kept(tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("gpt2")
    dictionary = Sae(tmp_path / "sae", "resid_mid.1").load(subject)
    ids = torch.arange(3, 20)[None]
    before = subject.logits(ids)
    measure(subject, [ablate(dictionary, range(9))], ["the cat sat"], freeze=["attention", "norms"])
    generate(subject, ["the cat"], [steer(dictionary, [1], 5.0, [1.0])], tokens=3)
    assert torch.equal(subject.logits(ids), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks or "forward" in m.__dict__ for m in subject.model.modules())


def test_baselines_come_from_train_rows(synthetic_store: Store) -> None:
    train = synthetic_store.train_view()
    stats = [train.stats(feature) for feature in (0, 3)]
    tokens = len(train.tokens.ids)
    values = [train.activations(feature)[1].astype(np.float64) for feature in (0, 3)]
    over_all, over_active = (baseline(train, [0, 3], kind, "synthetic") for kind in ("mean", "mean active"))  # type: ignore[arg-type]
    np.testing.assert_allclose(over_all.amounts, [v.sum() / tokens for v in values], rtol=1e-5)
    np.testing.assert_allclose(over_active.amounts, [v.mean() for v in values], rtol=1e-5)
    assert baseline(train, [0, 3], "zero", "synthetic").amounts == (0.0, 0.0) and stats[0].max > 0
    assert "mean over all tokens" in str(over_all) and "train rows of synthetic" in str(over_all)


def test_means_of_units(tiny: Tiny, synthetic_store: Store) -> None:
    subject, train = tiny("llama"), synthetic_store.train_view()
    means = unit_means(subject, train, ["z.1", "mlp_out.0"], "synthetic", bos=True, tokens=200)
    table = train.tokens
    lengths = np.diff(table.starts)
    order = np.random.default_rng(0).permutation(len(lengths))
    rows, total = [], 0
    for row in order:
        rows.append([1, *table.ids[table.starts[row] : table.starts[row + 1]].tolist()])
        total += lengths[row]
        if total >= 200:
            break
    captured = [subject.capture(torch.tensor([row]), ["z.1", "mlp_out.0"]) for row in rows]
    for point, vector in means.vectors.items():
        expected = torch.cat([c[point][0, 1:] for c in captured]).double().mean(0)
        torch.testing.assert_close(vector.double(), expected, rtol=1e-4, atol=1e-5)
    assert f"{total} train tokens of synthetic" in means.source
    effects = measure(subject, [heads(subject, 1, [2], means), *layer(subject, 0, "mlp", means)], ["the cat sat"])
    assert "train tokens of synthetic" in effects.done[0] and effects.kl > 0


def test_what_takes_over(tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("gpt2")
    early, late = Sae(tmp_path / "early", "resid_post.0").load(subject), Sae(tmp_path / "late", "resid_post.2").load(subject)
    x = subject.tokenize("the cat sat on the mat").ids
    edit = ablate(early, range(10), positions=Positions(2))
    found = takeover(subject, [edit], ["the cat sat on the mat"], [early, late], chosen=[17], top=6)
    ids = torch.tensor([[1, *x.tolist()]])
    points = ["resid_post.0", "resid_post.2", "z.0", "z.1", "z.2"]
    clean = subject.capture(ids, points)
    with Intervention(subject, [edit]).active(right_padded([len(x)], True)):
        edited = subject.capture(ids, points)
    assert found.tokens == len(x) - 2
    change = (late.encode(edited["resid_post.2"][0, 3:]) - late.encode(clean["resid_post.2"][0, 3:])).mean(0)
    by_name = {c.feature: c for c in (*found.stronger, *found.weaker)}
    assert not any(name in by_name for name in (f"early/{f}" for f in range(10)))
    strongest = [c for c in found.stronger if c.feature.startswith("late/")]
    assert strongest and all(c.change == pytest.approx(float(change[int(c.feature[5:])]), rel=1e-3, abs=1e-5) for c in strongest)
    assert [c.change for c in found.stronger] == sorted((c.change for c in found.stronger), reverse=True)
    assert "0.0" not in {h.head for h in found.heads}, "the first layer's heads come before the edit"
    weight: Any = subject.blocks[2].get_submodule("attn.c_proj").weight
    for head in found.heads:
        if not head.head.startswith("2."):
            continue
        own = slice(4 * int(head.head[2:]), 4 * int(head.head[2:]) + 4)
        moved = (edited["z.2"] - clean["z.2"])[0, 3:, own] @ weight[own]
        assert head.moved == pytest.approx(float(moved.norm(dim=-1).mean()), rel=1e-3)
        final = clean["resid_post.2"][0, 3:].double()
        scale = (final.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        out = (edited["z.2"][0, 3:, own] @ weight[own]).double()
        out = (out - out.mean(-1, keepdim=True)) / scale * subject.final_norm_weight().double()
        unembedding = subject.unembedding().double()
        assert head.direct_after[0] == pytest.approx(float((out @ (unembedding[17] - unembedding.mean(0))).mean()), rel=1e-3)
    assert "stronger features" in repr(found) and "<table>" in found._repr_html_()
    gemma = takeover(tiny("gemma2"), [heads(tiny("gemma2"), 0, [1])], ["the cat sat"], chosen=[17])
    assert "0.1" in {h.head for h in gemma.heads} and all(h.direct_before == () for h in gemma.heads)


def test_results_are_escaped_and_bounded(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = tiny("llama")
    dictionary = Sae(tmp_path / "sae", "resid_post.1").load(subject)
    monkeypatch.setattr("dragoman.tools.interventions.effects.PER_TOKEN", 10)
    effects = measure(subject, [steer(dictionary, [1], 2.0, [1.0], ALL)], ["<script>alert(1)</script> the cat"] * 2)
    assert len(effects.per_token) == 10 and effects.left_out > 0
    shown = effects._repr_html_()
    assert "<script" not in shown and "&lt;" in shown
    assert "KL" in repr(effects) and "promoted" in repr(effects)


def test_a_token_is_found_where_the_tokenizer_begins_every_text_with_a_space() -> None:
    """Llama 2's tokenizer and its kin: the letter alone is the entry without the space."""
    vocabulary = {0: " ", 1: "l", 2: "a"}
    known = {letter: id for id, letter in vocabulary.items()}
    subject = cast(
        Subject,
        SimpleNamespace(
            vocabulary=vocabulary,
            tokenize=lambda text: SimpleNamespace(ids=np.array([known[letter] for letter in " " + text.removeprefix(" ")])),
        ),
    )
    assert one_token(subject, "l") == 1 and one_token(subject, "a") == 2
    for several in ("la", " l"):
        with pytest.raises(UserError, match="is not one token"):
            one_token(subject, several)
