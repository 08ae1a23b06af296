"""The page of the ladder benchmark: tables, and what they say."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dragoman.agents.ladder import Place
from dragoman.evals.statistics import Interval, Pairing, median_interval, paired, plain
from dragoman.store.records import Label
from tests.support.concepts import Named, family_of

R, ACCURACY = "simulation.r", "detection.balanced_accuracy"


@dataclass(frozen=True)
class Told:
    """What was measured."""

    documents: int
    """In the store."""
    fresh: int
    """Of the generator, beyond those."""
    named: Sequence[Named]
    """The features."""
    truth: str
    """Labeling run of the concepts said exactly."""
    induction: Sequence[Place]
    """Rungs with induction."""
    induction_parts: Sequence[Place]
    """The loop and the loop without each part."""
    oracle: Sequence[Place]
    """Rungs with the oracle."""
    oracle_parts: Sequence[Place]
    """Likewise."""
    values: Mapping[str, Mapping[str, Mapping[int, float]]]
    """Figures on test by labeling run, scorer and feature."""
    labels: Mapping[str, Mapping[int, Label]]
    """Labels by run and feature."""
    held: Mapping[str, tuple[int, int]]
    """Predictions of the truth and of other hypotheses that held, of those decided."""
    reached: Mapping[str, int]
    """How often the truth was proposed, chosen and so on."""
    debated: Mapping[str, int]
    """Features with a debate, by labeling run."""

    def median(self, run: str, figure: str) -> Interval:
        """Of a run over features."""
        return median_interval(np.array(list(self.values[run][figure].values())), np.random.default_rng(20))

    def minus(self, run: str, other: str, figure: str) -> Pairing:
        """One run minus another, by feature."""
        ours, theirs = self.values[run][figure], self.values[other][figure]
        both = [one.feature for one in self.named if one.feature in ours and one.feature in theirs]
        first, second = (np.array([side[feature] for feature in both]) for side in (ours, theirs))
        return paired(first, second, np.random.default_rng(21))

    def words(self, run: str) -> float:
        """Words of its labels, in the mean."""
        return float(np.mean([len(label.description.split()) for label in self.labels[run].values()]))

    def longer(self, run: str, other: str) -> Pairing:
        """By how many words its labels are longer."""
        both = sorted(self.labels[run].keys() & self.labels[other].keys())
        ours, theirs = (np.array([len(self.labels[name][f].description.split()) for f in both]) for name in (run, other))
        return paired(ours, theirs, np.random.default_rng(22))

    def changed(self, run: str, other: str) -> int:
        """Features with another rule, or with a label in one of the two only."""
        rules = [{f: label.pattern for f, label in self.labels[name].items()} for name in (run, other)]
        return sum(rules[0].get(one.feature) != rules[1].get(one.feature) for one in self.named)


def page(told: Told) -> str:
    """The page, the answer first."""
    blocks = [
        ["# What the rungs and the parts of the loop are worth"],
        answer(told),
        prose(
            f"""{len(told.named)} live features of the organism's dictionary, each close to a concept of the generator, from
            {families(told)} of its families; {told.documents:,} documents; test split; judge `pattern`, which **scores the rule,
            not the words**. Written by `make bench` (tests/benchmarks/test_ladder.py); `dragoman ladder` prints such tables for
            any store and model."""
        ),
        ["## Rungs"],
        prose(
            """Medians over features; differences are means of differences by feature; 95 % bootstrap intervals over features. A
            feature without a label counts as chance (r 0, balanced accuracy .5). *Words*: of a label, in the mean."""
        ),
        rungs(told, "Induction", told.induction),
        spent(told, "Induction", told.induction),
        rungs(told, "Scripted oracle", told.oracle),
        spent(told, "Scripted oracle", told.oracle),
        budget(told),
        debate(told),
        ["## Parts and tools"],
        prose(
            f"""The experiments rung with one thing taken away, minus the whole rung, by feature: below zero is what the part is
            worth. Means over {len(told.named)} features. *Changed*: features whose rule is another one then."""
        ),
        parts(told, "Induction", told.induction_parts),
        parts(told, "Scripted oracle", told.oracle_parts),
        reading(told),
        ["## Features"],
        prose(
            """Simulation r on test. *F1*: of the feature's firing against the concept, on validation. *Said exactly*: the
            concept's rule as the label. Bold: the label is the oracle's truth."""
        ),
        features(told),
        ["## How it was done"],
        how(told),
        ["## What the trails of the oracle say"],
        found(told),
        ["## What it does not show"],
        limits(told),
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def prose(text: str, first: str = "") -> list[str]:
    """A paragraph, or with a first mark an item of a list, in lines."""
    return textwrap.wrap(
        " ".join(text.split()),
        120,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def items(*texts: str) -> list[str]:
    """A list."""
    return [line for text in texts for line in prose(text, "- ")]


def place(places: Sequence[Place], name: str) -> Place:
    """A contestant by name."""
    return next(one for one in places if one.name == name)


def families(told: Told) -> int:
    """How many families the features are from."""
    return len({family_of(one.name) for one in told.named})


def shown(interval: Interval, form: str = ".3f") -> str:
    """A figure with its interval."""
    return f"{plain(interval.value, form)} {interval.text(form)}" if interval.n else "-"


def signed(interval: Interval, form: str = "+.3f") -> str:
    """A difference with its interval."""
    return shown(interval, form)


def tells(interval: Interval) -> str:
    """What an interval lets one say of a difference."""
    return "gains" if interval.low > 0 else "loses" if interval.high < 0 else "changes, by no more than chance would,"


def answer(told: Told) -> list[str]:
    """The page in two sentences."""
    one, loop, more = (place(told.oracle, name) for name in ("one-shot", "experiments", "one-shot, more evidence"))
    gain, richer = (told.minus(run.run, one.run, R).mean for run in (loop, more))
    fixed, untested, neither = (
        told.minus(place(told.oracle_parts, f"without {name}").run, loop.run, R).mean
        for name in ("refinement", "experiments", "experiments and matching")
    )
    first, second = (place(told.induction, name) for name in ("one-shot", "experiments"))
    bare = place(told.induction_parts, "without experiments").run
    r, accuracy = (told.minus(second.run, first.run, figure).mean for figure in (R, ACCURACY))
    longer = told.longer(second.run, first.run).mean
    return prose(
        f"""The loop lets a researcher whose first impression is wrong come to what is true: on the experiments rung a scripted
        oracle {tells(gain)} {signed(gain)} of simulation r on test over its one shot, where a one-shot prompt with more evidence
        {tells(richer)} {signed(richer)}; that rests on revisions (without them {signed(fixed)}), which experiments or rules
        matched on train provoke (without experiments {signed(untested)}, without both {signed(neither)}). `induction` has
        little left to win on these features (one shot {told.median(first.run, R).value:.2f} in the median): the rung changes r
        by {signed(r)} and balanced accuracy by {signed(accuracy)}, and of that r {signed(told.minus(bare, first.run, R).mean)}
        comes without any experiment, because r alone chooses among its rules there, and they grow longer
        ({signed(longer, "+.1f")} words)."""
    )


def debate(told: Told) -> list[str]:
    """What the debate did."""
    said = []
    for who, places in (("induction", told.induction), ("the oracle", told.oracle)):
        loop, last = (place(places, name).run for name in ("experiments", "debate"))
        count = f"{told.debated[last]} of the {len(told.named)} features of {who}"
        said.append(f"{count} (labels it changed: {told.changed(last, loop)})")
    return prose(
        f"""**Debate.** There was one on {said[0]} and on {said[1]}. Two hypotheses of one researcher that are near each other on
        validation and still predict different things are rare here, and the choice stays with validation. Rivals that see a
        feature differently, such as a language model and induction, were not measured."""
    )


def rungs(told: Told, who: str, places: Sequence[Place]) -> list[str]:
    """How well each rung does."""
    first = places[0].run
    lines = [
        f"| {who} | labels | words | simulation r | minus one-shot | balanced accuracy | minus one-shot |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [(one.name, one.run) for one in places]
    if places is told.oracle:
        rows.append(("*the concept said exactly*", told.truth))
    for name, run in rows:
        cells = [f"{len(told.labels[run])}", f"{told.words(run):.1f}"]
        for figure in (R, ACCURACY):
            cells += [shown(told.median(run, figure)), "" if run == first else signed(told.minus(run, first, figure).mean)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def spent(told: Told, who: str, places: Sequence[Place]) -> list[str]:
    """What each rung costs."""
    lines = [
        f"| {who}, for one feature | model tokens | subject tokens | examples read | tools called |",
        "|---|---|---|---|---|",
    ]
    for one in places:
        counts = (one.spent.model, one.spent.forwarded, one.spent.read, one.spent.calls)
        lines.append(f"| {one.name} | {' | '.join(f'{count / len(told.named):,.0f}' for count in counts)} |")
    return lines


def budget(told: Told) -> list[str]:
    """What equal budget means."""
    one, loop, more = (place(told.oracle, name) for name in ("one-shot", "experiments", "one-shot, more evidence"))
    return prose(
        f"""**Equal budget.** Whoever spends model tokens gets a one-shot run with as much more evidence as the experiments cost.
        A stratum shows 20 examples at most, so that this run spends {more.spent.model / one.spent.model:.1f} times the tokens of
        the plain one, the experiments {loop.spent.model / one.spent.model:.1f} times: a single prompt cannot take up the whole
        budget, and the comparison is only as equal as that. Induction spends no model tokens and reads all of train on every
        rung, so that its rungs are equal in what they see of the corpus; they differ in the tokens run through the subject, and
        in the figure by which validation chooses among the same forms of its rule. *Examples read* are those shown as evidence,
        *tools called* those for evidence and experiments; rules matched on train before a revision are not counted."""
    )


def parts(told: Told, who: str, places: Sequence[Place]) -> list[str]:
    """What is lost without each part."""
    whole = places[0]
    n = len(told.named)
    lines = [
        f"| {who} | labels | changed | words | simulation r | balanced accuracy | subject tokens | tools called |",
        "|---|---|---|---|---|---|---|---|",
        f"| the whole rung | {whole.labeled} | | {told.words(whole.run):.1f} | {shown(told.median(whole.run, R))} | "
        f"{shown(told.median(whole.run, ACCURACY))} | {whole.spent.forwarded / n:,.0f} | {whole.spent.calls / n:,.0f} |",
    ]
    for one in places[1:]:
        differences = (signed(told.minus(one.run, whole.run, figure).mean) for figure in (R, ACCURACY))
        lines.append(
            f"| {one.name} | {one.labeled} | {told.changed(one.run, whole.run)} | {told.words(one.run):.1f} | "
            f"{' | '.join(differences)} | {one.spent.forwarded / n:,.0f} | {one.spent.calls / n:,.0f} |"
        )
    return lines


def reading(told: Told) -> list[str]:
    """What the tables of parts say."""
    said = []
    for who, places in (("induction", told.induction_parts), ("the oracle", told.oracle_parts)):
        whole, *less = places
        changes = {one.name: told.minus(one.run, whole.run, R).mean for one in less}
        clear = [f"{name} ({signed(change)})" for name, change in changes.items() if change.low > 0 or change.high < 0]
        same = [one.name for one in less if not told.changed(one.run, whole.run)]
        said.append(
            f"""For {who}, r differs by more than chance: {"; ".join(clear) or "nowhere"}. Not one rule changes:
            {", ".join(same) or "nowhere"}."""
        )
    return items(
        *said,
        """Neither of the two makes facets or output claims, and neither reads `feature_stats`, `example_groups` or
        `logit_effects`, which are shown to them: what those parts and tools are worth to a language model is not measured
        here. Tools that neither calls (edits, steering, searches and so on) are not taken away.""",
        """What experiments can add is bounded by how the label is chosen: the hypothesis that does best on validation becomes
        it, and experiments decide only between those within .01 of that. Their way to the label is a revision. Induction can
        revise only after experiments, so that taking away experiments, revisions, `top_examples` (from which it cuts its texts)
        or `activate` is one and the same to it.""",
    )


def features(told: Told) -> list[str]:
    """Simulation r of every feature."""
    runs = [place(places, name).run for places in (told.induction, told.oracle) for name in ("one-shot", "experiments")]
    lines = [
        "| feature | concept | family | F1 | induction: one-shot | experiments | oracle: one-shot | experiments | said exactly |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in sorted(told.named, key=lambda one: (family_of(one.name), one.feature)):
        values = [told.values[run][R].get(one.feature) for run in (*runs, told.truth)]
        cells = ["unscored" if value is None else f"{value:.2f}" for value in values]
        label, truth = told.labels[runs[-1]].get(one.feature), told.labels[told.truth][one.feature]
        if label is not None and label.description == truth.description:
            cells[3] = f"**{cells[3]}**"
        lines.append(f"| {one.feature} | {one.name} | {family_of(one.name)} | {one.f1:.2f} | {' | '.join(cells)} |")
    return lines


def how(told: Told) -> list[str]:
    """How it was done."""
    return items(
        f"""**Features.** Every live feature gets the concept of the generator (or the token before it, `next:`) that fits its
        firing best, F1 per token on validation. Those with an F1 of .75 are taken, two of a family at most, no concept twice;
        concepts that a single token names come last in their family. {families(told)} families have such features.""",
        """**Induction** proposes the four best forms of one grown rule, tests them on passages of train that it cuts and edits,
        and revises to the next form that contradicts the fewest results.""",
        f"""**The oracle** is a script behind a real HTTP server (tests/agents/oracle.py). It reads every prompt, and it knows the
        concept. Its one shot is a first impression, wrong on purpose: for every other feature the words marked hardest in the
        examples it is shown, one for every four examples, otherwise the whole kind of text. Among its hypotheses are a concept
        that is easily taken for the true one and, for half of the features, the truth, never as the first. Of the others it
        says the truth once everything that is left is contradicted: by a failed prediction, or by an F1 below .6 when its rule
        is matched on train. It cuts its tests from {told.fresh} documents of the generator that are in no split: with the
        concept, with the same word and without it, with what is taken for it. Its truth predicts what the generator's
        annotation says, its other hypotheses what their rules say.""",
        """**The truth's rule** is induced from the tokens that the generator marks with the concept, on train, its length chosen
        on validation by the same marks: no activation of a feature takes part. *The concept said exactly* is that rule as a
        label.""",
        """**The debate** is between the two best hypotheses of the same researcher, where their figures on validation are within
        .1 and their predictions have differed; otherwise a feature ends as on the experiments rung. Its winner becomes the label
        only where validation has it within .01 of the best.""",
    )


def found(told: Told) -> list[str]:
    """What the trails say of the oracle's experiments rung."""
    loop = place(told.oracle, "experiments").run
    (own, said), (others, all_others) = told.held["truth"], told.held["others"]
    count = {name: told.reached.get(name, 0) for name in (*told.reached, "proposed at once", "revised", "never said")}
    texts = [
        f"""{own:,} of {said:,} decided predictions of the truth held ({own / said:.0%}), and {others:,} of {all_others:,} of its
        other hypotheses ({others / all_others:.0%}).""",
        f"""The truth was among the first hypotheses of {count["proposed at once"]} features, came with a revision of
        {count["revised"]}, and was never said of {count["never said"]}, because a false hypothesis withstood what it was tested
        on. It became the label of {count["its own"]}, among them all {count["best on validation"]} for which validation put it
        first by more than .01.""",
        f"""Its labels minus the concepts said exactly: {signed(told.minus(loop, told.truth, R).mean)} of r.""",
    ]
    only = next((one for one in told.oracle_parts if "differ" in one.name), None)
    if only is not None:
        change = told.minus(only.run, loop, R).mean
        texts.append(
            f"""Tests chosen only where the hypotheses differ do not touch what all of them get wrong. An oracle that spends its
            whole batch on those, instead of half, {tells(change)} {signed(change)} of r (last line of its table)."""
        )
    return items(*texts)


def limits(told: Told) -> list[str]:
    """What it does not show."""
    first, second = (place(told.induction, name).run for name in ("one-shot", "experiments"))
    bare = place(told.induction_parts, "without experiments").run
    gain, figure = told.minus(second, first, R).mean, told.minus(bare, first, R).mean
    return items(
        """How much a language model gains: the oracle's first impression is wrong by construction, and what it says when it is
        contradicted is true by construction. The loop is shown to let the truth through, no more. Its tokens are counted by the
        scripted server, about a token a word or mark.""",
        "Anything about words: the judge executes rules. A label whose words and rule part company is not found out here.",
        """Typical features: these are close to a concept, and their rules are easy (the one shot of induction has a median r of
        .81 over all live features, see [induction](induction.md)).""",
        """Small differences: one store, one seed, one draw of test contexts; the intervals are over features only.""",
        f"""That longer is better. One-shot induction takes the form with the best mean of r and balanced accuracy on validation,
        less a price a word; on the dearer rungs the figure is r alone. Its labels grow from {told.words(first):.1f} to
        {told.words(second):.1f} words in the mean ({signed(told.longer(second, first).mean, "+.1f")}). Of the change in r,
        {signed(gain)}, the other figure alone, with four forms to choose from and no experiment, brings {signed(figure)}; the
        rest, {signed(told.minus(second, bare, R).mean)}, comes with revisions, each of which puts one more form of the same rule
        before validation. It costs {signed(told.minus(second, bare, ACCURACY).mean)} of balanced accuracy.""",
    )
