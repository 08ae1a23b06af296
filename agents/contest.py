"""The labeler, its parts, one shot and the debate as contestants of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dragoman.evals.benchmark.entrants import Entry, Explained, Said, Spent, paid
from dragoman.evals.benchmark.suite import Trial
from dragoman.evals.gateway.budget import Budget
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.trails import Trails

from .campaign import Means, Wish, campaign
from .choosing import WORD
from .gauge import NO_READER
from .induction import Induction
from .ladder import MOST, spent
from .models import is_induction
from .settings import EVIDENCE, Parts, Settings

FORMS = "one-shot:MODEL, one-shot-x3:MODEL (three times the evidence), labeler:MODEL, labeler-PART:MODEL, debate:MODEL"
"""Names of contestants that are campaigns; MODEL may be induction."""


@dataclass(frozen=True)
class Campaigned:
    """A campaign of the labeler as a contestant."""

    name: str
    """What it is called."""
    explainer: str
    """`induction`, or a model by name."""
    settings: Settings
    """How the labeler works."""
    judge: str = "pattern"
    """Who says how well a hypothesis does on validation."""
    each: Budget = field(default_factory=Budget)
    """What one feature may spend."""
    means: Means = field(default_factory=Means)
    """What the run may spend."""

    def enter(self, trial: Trial, seed: int) -> Entry:
        """See `Entrant`. Raises what `campaign` raises."""
        wish = Wish(self.explainer, self.judge, trial.features, self.settings, seed, self.each)
        outcome = campaign(trial.store, wish, self.means, progress=False)
        run = outcome.run.id
        with Store.open(trial.store) as store:
            labels = {
                label.feature: Said(label.name, label.description, label.pattern, label.confidence)
                for label in store.ledger.labels(run=run)
            }
            missing = {feature: reason for feature, _, reason in store.ledger.failures(run) if feature not in labels}
            labels |= _words(store, run, missing)
            bill = paid(store, run)
        missing = {feature: reason for feature, reason in missing.items() if feature not in labels}
        took = spent(trial.store, run, trial.features)
        return Entry(labels, missing, replace(bill, forwarded=took.forwarded, read=took.read, calls=took.calls), run)


def _words(store: Store, run: str, missing: Mapping[int, str]) -> dict[int, Said]:
    """Words for which nothing speaks only because nobody read them: here the benchmark's judge does, or they are unscored."""
    trails, found = Trails(store.ledger.path), {}
    for feature, reason in missing.items():
        for one in trails.hypotheses(run, feature):
            if reason == f"{WORD} {one.called}: {NO_READER}":
                found[feature] = Said(one.name, one.description, None)
    trails.close()
    return found


def induction() -> Explained:
    """One induction a feature."""
    return Explained("induction", lambda store, usage: Induction(usage))


def entrant(name: str, judge: str, each: Budget, means: Means) -> Campaigned:
    """The campaign of this name. Raises UserError where there is none."""
    form, colon, model = name.partition(":")
    settings = _settings(form) if colon and model else None
    if settings is None:
        raise UserError(f"There is no contestant {name!r}: write {FORMS}.")
    return Campaigned(name, model, settings, "pattern" if is_induction(model) else judge, each, means)


def evened(names: Mapping[str, Spent]) -> list[str]:
    """Contestants to add, so that each one-shot has a row at the budget of the labeler of the same model.

    names: what each contestant spent. A one-shot that spends the rest of the labeler's model tokens on more evidence is added;
    none for induction, which reads all of train as it is.
    """
    found = []
    for name, dear in names.items():
        form, _, model = name.partition(":")
        cheap = names.get(f"one-shot:{model}")
        if form == "labeler" and cheap is not None and cheap.tokens and dear.tokens > 1.5 * cheap.tokens:
            found.append(f"one-shot-x{round(dear.tokens / cheap.tokens)}:{model}")
    return [name for name in found if name not in names]


def _settings(form: str) -> Settings | None:
    base = Settings(ladder=False)
    head, dash, tail = form.partition("-")
    if form in ("labeler", "debate"):
        return base.model_copy(update={"rung": "experiments" if form == "labeler" else "debate"})
    if form == "one-shot":
        return base.model_copy(update={"rung": "one-shot"})
    if form.startswith("one-shot-x") and form[10:].isdigit() and int(form[10:]) > 0:
        evidence = {stratum: min(MOST, n * int(form[10:])) for stratum, n in EVIDENCE.items()}
        return base.model_copy(update={"rung": "one-shot", "evidence": evidence})
    if head == "labeler" and dash and tail in Parts.model_fields:
        return base.model_copy(update={"rung": "experiments", "parts": Parts(**{tail: False})})
    return None
