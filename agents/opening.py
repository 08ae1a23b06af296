"""From a store and a wish to an office: models, judge, tools and ledger, opened together and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import FORMS, Model, model_named
from dragoman.evals.gateway.prices import price_from
from dragoman.evals.judge.model import ModelReader
from dragoman.evals.validation import Validator
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.trails import Trails
from dragoman.tools.induction import Inducer
from dragoman.tools.patterns import Usage, usage_of
from dragoman.tools.toolbox import Desk, Toolbox
from dragoman.tools.workbench import Workbench

from .ahead import ask_ahead
from .chat import GatewayChat
from .gauge import Gauge, JudgeGauge, PatternGauge
from .models import is_induction
from .office import Office
from .researcher import Researcher
from .researchers.induction import InductionResearcher
from .researchers.language import LanguageResearcher

if TYPE_CHECKING:
    from .campaign import Means, Wish

PATTERN = "pattern"
"""The judge that executes the label's pattern."""
WORDS = 1500
"""Tokens of an answer at most."""


class Opened:
    """A store with the models of a wish, before its run is known."""

    def __init__(self, store: Store, wish: Wish, means: Means, say: Callable[[str], None] | None, recorded: str | None) -> None:
        """recorded: another run of the ledger whose replies are all that may be used; then no server is needed."""
        self.store, self.wish, self.means, self.say, self.recorded = store, wish, means, say, recorded
        self.models: dict[str, Model] = {}
        self._gateway: Gateway | None = None

    async def check(self) -> None:
        """Make the models and, unless a run is replayed, ask their servers. Raises UserError where one cannot be asked."""
        price = price_from(self.means.price) if self.means.price else None
        explainers = [spec for spec in (self.wish.explainer, self.wish.rival) if spec and not is_induction(spec)]
        for spec, other in (*((one, "induction") for one in explainers), (self.wish.judge, PATTERN)):
            if ":" not in spec and spec != PATTERN and not is_induction(spec):
                raise UserError(f"There is no {spec!r}: write {other}, or a model as {FORMS}.")
        for named in (self.wish.explainer, self.wish.judge, self.wish.rival, self.wish.arbiter):
            if named and named != PATTERN and not is_induction(named) and named not in self.models:
                self.models[named] = model_named(named, price=price, offline=self.recorded is not None)
        if is_induction(self.wish.judge):
            raise UserError("induction explains and cannot judge: give --judge pattern, or a model.")
        if self.wish.arbiter and (is_induction(self.wish.arbiter) or self.wish.arbiter == PATTERN):
            raise UserError(
                "An arbiter writes sentences: give a language model as --arbiter; without one code writes the verdict."
            )
        if self.recorded is None:
            for model in self.models.values():
                await model.check()

    @property
    def explainer(self) -> str:
        """The explainer as it is recorded."""
        return self._name(self.wish.explainer)

    @property
    def judge(self) -> str:
        """The judge as it is recorded."""
        return self._name(self.wish.judge)

    @property
    def rival(self) -> str | None:
        """The other side of a debate as it is recorded."""
        return self._name(self.wish.rival) if self.wish.rival else None

    @property
    def arbiter(self) -> str | None:
        """The arbiter of a debate as it is recorded."""
        return self._name(self.wish.arbiter) if self.wish.arbiter else None

    def _name(self, spec: str) -> str:
        return self.models[spec].name if spec in self.models else spec

    def spent(self) -> tuple[int, float]:
        """Tokens and dollars spent by the run so far."""
        return self._gateway.spent if self._gateway is not None else (0, 0.0)

    def ahead(self, office: Office) -> Callable[[Sequence[int]], Awaitable[None]]:
        """What asks the first questions of features in batches. Its office is open."""
        gateway, model = self._gateway, self.models.get(self.wish.explainer)
        assert gateway is not None
        return lambda features: ask_ahead(office, gateway, model, features, self.say)

    @asynccontextmanager
    async def office(self, run: str) -> AsyncIterator[Office]:
        """Everything that the steps of this run share."""
        store, wish, means = self.store, self.wish, self.means
        async with AsyncExitStack() as stack:
            trails = Trails(store.ledger.path)
            stack.callback(trails.close)
            self._gateway = await stack.enter_async_context(
                Gateway(
                    store.ledger,
                    run,
                    wish.seed,
                    means.budget,
                    means.reuse,
                    feature_budget=wish.each,
                    recorded=self.recorded,
                    patience=means.patience,
                    most=means.calls,
                    say=self.say,
                )
            )
            desk = Desk.of(Workbench(store))
            shared = _Shared(store, desk)
            gauge = self._gauge(shared)

            def toolbox(feature: int) -> Toolbox:
                def note(content: dict[str, Any]) -> None:
                    trails.add_note(run, feature, str(content.get("text", content)))

                return Toolbox(desk, run, feature, seed=wish.seed, allowed=wish.settings.tools, note=note)

            def neighbours(feature: int) -> list[int]:
                near = [store.id(one.key) for one in store.feature(feature).neighbours]
                return [one for one in near if one in shared.live]

            yield Office(
                run=run,
                seed=wish.seed,
                settings=wish.settings,
                ledger=store.ledger,
                trails=trails,
                researcher=self._researcher(wish.explainer, shared, gauge),
                gauge=gauge,
                toolbox=toolbox,
                key=lambda feature: str(store.key(feature)),
                neighbours=neighbours,
                rival=self._researcher(wish.rival, shared, gauge, "rival") if wish.rival else None,
                arbiter=self._language(wish.arbiter, gauge, "arbiter") if wish.arbiter else None,
            )

    def _gauge(self, shared: _Shared) -> Gauge:
        judge = self.wish.judge
        if judge == PATTERN:
            return PatternGauge(shared.validator)
        gateway, model = self._gateway, self.models[judge]
        assert gateway is not None
        reader = ModelReader(gateway, model)
        return JudgeGauge(self.store, reader, self.wish.seed)

    def _researcher(self, spec: str, shared: _Shared, gauge: Gauge, name: str = "labeler") -> Researcher:
        if is_induction(spec):
            inducer = Inducer(self.store.train_view(), shared.usage)
            return InductionResearcher(
                inducer,
                lambda feature: shared.validator.of(feature),  # functions, so that nothing leads on to what they read
                shared.usage,
                lambda text: shared.tokenize(text),
                self.store.tokens("train").vocabulary,
            )
        return self._language(spec, gauge, name)

    def _language(self, spec: str, gauge: Gauge, name: str) -> LanguageResearcher:
        chat = GatewayChat(gateway=self._gateway, model=self.models[spec], max_tokens=WORDS)
        return LanguageResearcher(chat, self.wish.settings, gauge.chance, name)


class _Shared:
    """Tables that several parts need, made once."""

    def __init__(self, store: Store, desk: Desk) -> None:
        self.store, self.desk = store, desk
        self.live = frozenset(store.features("live"))
        self._usage: Usage | None = None
        self._validator: Validator | None = None

    @property
    def usage(self) -> Usage:
        """How tokens are used on train."""
        if self._usage is None:
            self._usage = usage_of(self.store.tokens("train"))
        return self._usage

    @property
    def validator(self) -> Validator:
        """What validation says of patterns."""
        if self._validator is None:
            self._validator = Validator(self.store, self.usage)
        return self._validator

    def tokenize(self, text: str) -> Any:
        """A text as the subject reads it."""
        from dragoman.tools.prompt import Prompt

        return Prompt.from_text(self.desk.speaker, text)


@asynccontextmanager
async def opening(
    store: Store, wish: Wish, means: Means, say: Callable[[str], None] | None = None, recorded: str | None = None
) -> AsyncIterator[Opened]:
    """The models of a wish, their servers asked."""
    opened = Opened(store, wish, means, say, recorded)
    await opened.check()
    yield opened
