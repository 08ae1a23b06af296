"""The debate: two debaters hold rival labels of one feature, the dictionary settles, and code keeps the score.

    open → round → round → … → verdict

1. open: the two best living hypotheses, or the best one and the rival's own, where their figures on validation are close and
   nothing shows that they predict the same.
2. round: both sides propose inputs on which the labels differ, each predicts every one of them, the predictions are written
   down, the inputs are run. A side wins a point where its prediction held and the other, a different one, failed. Then each
   side may amend its label, concede, or offer one label for both, which the other has to accept.
3. verdict: written by code from the score, or by a language model that cites experiments.

It ends when somebody concedes, when both hold one label, after `Settings.debate_rounds`, and after two rounds in which the labels
predicted the same everywhere. A debater that refuses, or whose answer cannot be read, loses its turn and nothing else. Every
round can be repeated after a kill: it is planned from what earlier rounds showed, its questions are answered from the ledger,
and the ids of its rows hash their content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from dragoman.evals.gateway.calls import FeatureSpent
from dragoman.store.findings import Hypothesis

from . import claims, exchanges
from .answers import Claim, Turn
from .arbiter import verdict
from .board import Board, Case
from .choosing import ranked
from .gauge import Gauged
from .office import Office
from .researcher import Place, Researcher, Unable
from .standing import SEATS, Seat, Standing, other
from .state import LabelState, gauged
from .verdicts import status

QUIET = 2
"""Rounds in which the labels predict the same that end a debate."""
SPENT = "the feature's budget is spent"

Update = dict[str, Any]
"""What changes in a feature's state."""


class After(NamedTuple):
    """What the turns of a round lead to."""

    held: dict[Seat, str]
    """Ids of the labels."""
    new: list[Hypothesis]
    """Hypotheses that were made."""
    figures: dict[str, Gauged]
    """Theirs on validation."""
    conceded: tuple[Seat, ...]
    """Who gave up."""
    merged: bool
    """Whether both hold one label now."""
    turns: dict[str, Any]
    """The same for the trail."""


class Debate:
    """Debates about the features of one run."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.settings = office.settings
        self.seated: Mapping[Seat, Researcher] = {"A": office.researcher, "B": office.rival or office.researcher}

    async def open(self, state: LabelState) -> Update:
        """Seat two rivals; where there are none the standing has ended already, with the reason.

        Raises FeatureSpent, before anything is written.
        """
        office = self.office
        board = office.board(state)
        living = [one for one in ranked(board.alive, board.figures) if one.side == "input"]
        update: Update = {"rung": "debate"}
        pair: tuple[Hypothesis, Hypothesis] | None = None
        reason = "there is only one hypothesis" if living else "there is no hypothesis"
        if living and office.rival is not None:
            found, reason, update = await self._rival(state, board, living[0])
            pair = (living[0], found) if found else None
            board = office.board({**state, **update})  # type: ignore[typeddict-item]  # keys of the state
        pairs = [pair] if pair else [] if office.rival else [(living[0], one) for one in living[1:]]
        for one, two in pairs:
            reason = self._no_rivals(board, one, two)
            if not reason:
                return {**update, **self.seat({**state, **update}, one, two)}  # type: ignore[typeddict-item]  # likewise
        standing = Standing(held={}, ended=f"no debate: {reason}")
        steps = office.step(state, "debate", {"debate": "none", "round": state.get("round", 0), "reason": reason})
        return {**update, "rung": state.get("rung", "experiments"), "debate": standing.model_dump(mode="json"), "steps": steps}

    def seat(self, state: LabelState, one: Hypothesis, two: Hypothesis) -> Update:
        """Seat those who hold these two labels; both are among the state's."""
        standing = Standing(held={"A": one.id, "B": two.id})
        names = {one.id, two.id}
        content = {
            "debate": "opened",
            "round": state.get("round", 0),
            "labels": standing.held,
            "held by": self._names(),
            "figures": {name: figure for name, figure in state.get("figures", {}).items() if name in names},
        }
        return {"debate": standing.model_dump(mode="json"), "steps": self.office.step(state, "debate", content)}

    async def round(self, state: LabelState) -> Update:
        """One round, to its score and the turns that follow."""
        office, settings = self.office, self.settings
        standing = Standing.model_validate(state["debate"])
        number = state.get("round", 0) + 1
        case = await office.case(state["feature"])
        now: LabelState = {**state, "round": number}
        before = exchanges.places(standing, office.board(state), settings.debate_rounds)
        unable: dict[str, str] = {}
        try:
            inputs = await exchanges.proposed(office, case, self.seated, before, number, unable)
            said = await exchanges.foretold(case, self.seated, before, inputs.experiments, number, unable)
        except FeatureSpent:
            return {"debate": standing.model_copy(update={"ended": SPENT}).model_dump(mode="json")}
        made = await exchanges.settled(office, case, inputs, said, standing.held)
        differed = exchanges.differ(said, before["A"].mine, before["B"].mine)
        points = {seat: standing.points[seat] + sum(one.point == seat for one in made) for seat in SEATS}
        standing = standing.model_copy(
            update={
                "points": points,
                "round": standing.round + 1,
                "quiet": 0 if differed else standing.quiet + 1,
                "exchanges": (*standing.exchanges, *made),
            }
        )
        board = office.board(now)
        seen = exchanges.places(standing, board, settings.debate_rounds)
        office.trails.judge({place.mine.id: status(board.verdicts_of(place.mine)) for place in seen.values()})
        ended = ""
        after = After(dict(standing.held), [], {}, (), False, {})
        if made:
            try:
                after = await self._turns(case, board, seen, number, unable)
            except FeatureSpent:
                ended = SPENT
        office.trails.propose(after.new)
        standing = standing.model_copy(update={"held": after.held, "conceded": after.conceded, "merged": after.merged})
        standing = standing.model_copy(update={"ended": ended or self._ended(standing)})
        content = {
            "debate": "round",
            "round": number,
            "of the debate": standing.round,
            "labels": before["A"].standing.held,
            "held by": self._names(),
            "experiments": [one.experiment for one in made],
            "exchanges": [one.model_dump(mode="json") for one in made],
            "refused": inputs.refused,
            "unable": unable,
            "score": points,
            "differed": differed,
            "turns": after.turns,
            "hypotheses": [one.id for one in after.new],
            "figures": {name: list(figure) for name, figure in after.figures.items()},
            "ended": standing.ended,
        }
        figures = {**gauged(state), **after.figures}
        gone = [held for held in before["A"].standing.held.values() if held not in after.held.values()]
        kept = [name for name in state.get("alive", []) if name not in gone]
        return {
            "debate": standing.model_dump(mode="json"),
            "round": number,
            "steps": office.step(state, "debate", content),
            "alive": [*kept, *(one.id for one in after.new if one.id in after.held.values())],
            "dropped": [*state.get("dropped", []), *gone, *(one.id for one in after.new if one.id not in after.held.values())],
            "figures": {name: list(figure) for name, figure in figures.items()},
            "done": [one.experiment for one in made],
        }

    async def verdict(self, state: LabelState) -> Update:
        """The verdict of a debate that has ended, written into the trail."""
        office = self.office
        standing = Standing.model_validate(state["debate"])
        case = await office.case(state["feature"])
        place = exchanges.places(standing, office.board(state), self.settings.debate_rounds)["A"]
        found = await verdict(office, case, place)
        content = {
            "debate": "verdict",
            "round": state.get("round", 0),
            **found._asdict(),
            "score": standing.points,
            "ended": standing.ended,
        }
        return {
            "steps": office.step(state, "debate", content),
            "favoured": standing.favoured,
            "ended": f"debate: {standing.ended}",
        }

    async def _rival(self, state: LabelState, board: Board, best: Hypothesis) -> tuple[Hypothesis | None, str, Update]:
        """The rival's own label, gauged; why there is none; what that changes in the state."""
        office, rival = self.office, self.office.rival
        assert rival is not None
        case = await office.case(state["feature"])
        try:
            proposal = await rival.propose(case, 1)
        except Unable as error:
            return None, f"the rival has no label: {error}", {"rung": "debate"}
        made = claims.debated(office, case.feature, board, state.get("round", 0), proposal.hypotheses[0], (), rival.name)
        known = claims.twin(board, made)
        if known is not None and known.id == best.id:
            return None, f"the rival says what {best.called} says", {"rung": "debate"}
        found = known or made
        alive = [*state.get("alive", []), *([] if found.id in state.get("alive", []) else [found.id])]
        dropped = [name for name in state.get("dropped", []) if name != found.id]
        figures = gauged(state)
        if known is None:
            figures[made.id] = await office.gauge.of(made, f"gauge/debate/{made.round}/{made.called}")
            office.trails.propose([made])
        kept = {name: list(figure) for name, figure in figures.items()}
        return found, "", {"rung": "debate", "alive": alive, "dropped": dropped, "figures": kept}

    def _no_rivals(self, board: Board, one: Hypothesis, two: Hypothesis) -> str:
        """Why two hypotheses are no rivals; empty where they are."""
        first, second = (board.figures.get(h.id) for h in (one, two))
        values = [None if figure is None else figure.value for figure in (first, second)]
        if (values[0] is None) != (values[1] is None):
            return f"only one of {one.called} and {two.called} has a figure on validation"
        if values[0] is not None and values[1] is not None and abs(values[0] - values[1]) > self.settings.rivalry:
            return f"{one.called} and {two.called} are too far apart on validation: {first}; {second}"
        if exchanges.differ(board.predictions, one, two) is False:
            return f"{one.called} and {two.called} predicted the same in every experiment"
        return ""

    async def _turns(self, case: Case, board: Board, places: Mapping[Seat, Place], number: int, unable: dict[str, str]) -> After:
        """What both sides do after the results of a round."""
        answers: dict[Seat, Turn] = {}
        for seat in SEATS:
            try:
                answers[seat] = await self.seated[seat].answer_debate(case, places[seat])
            except Unable as error:
                unable[f"{seat} answers"] = str(error)
        turns: dict[str, Any] = {seat: {"move": turn.move, "reason": turn.reason} for seat, turn in answers.items()}
        held = {seat: places[seat].mine.id for seat in SEATS}
        conceded = tuple(seat for seat in SEATS if seat in answers and answers[seat].move == "concede")
        offers: list[Seat] = [] if conceded else [seat for seat in SEATS if seat in answers and answers[seat].move == "merge"]
        new: list[Hypothesis] = []
        now = dict(places)
        for seat, turn in answers.items():
            if turn.move != "amend" or turn.claim is None:
                continue
            seen = Board(alive=board.alive, dropped=(*board.dropped, *new))
            made = self._made(case, seen, number, turn.claim, [places[seat].mine], seat)
            known = claims.twin(seen, made)
            turns[seat]["hypothesis"] = (known or made).id
            if known is not None:
                turns[seat]["said before"] = known.called
                continue
            new.append(made)
            held[seat] = made.id
            now[seat] = _holding(places[seat], made)
        figures = await self._gauge(new, number)
        merged = False
        for seat in offers:
            offer = answers[seat].claim
            assert offer is not None
            turns[seat]["offer"] = offer.description
            if merged:
                turns[seat]["answer"] = "nobody was asked: the other side's offer was accepted"
                continue
            accepted, why = await self._accepted(case, now[other(seat)], offer, unable)
            turns[seat] |= {"accepted": accepted, "answer": why}
            if accepted:
                seen = Board(alive=board.alive, dropped=(*board.dropped, *new))
                made = self._made(case, seen, number, offer, [places[s].mine for s in SEATS], seat)
                one = claims.twin(seen, made) or made
                if one is made:
                    new.append(made)
                    figures |= await self._gauge([made], number)
                turns[seat]["hypothesis"] = one.id
                held, merged = {"A": one.id, "B": one.id}, True
        return After(held, new, figures, conceded, merged, turns)

    async def _accepted(self, case: Case, place: Place, offer: Claim, unable: dict[str, str]) -> tuple[bool, str]:
        try:
            answer = await self.seated[place.seat].answer_merger(case, place, offer)
        except Unable as error:
            unable[f"{place.seat} answers the offer"] = str(error)
            return False, str(error)
        return answer.accept, answer.reason

    def _made(self, case: Case, board: Board, number: int, claim: Claim, parents: list[Hypothesis], seat: Seat) -> Hypothesis:
        return claims.debated(self.office, case.feature, board, number, claim, parents, self.seated[seat].name)

    async def _gauge(self, made: list[Hypothesis], number: int) -> dict[str, Gauged]:
        return {one.id: await self.office.gauge.of(one, f"gauge/debate/{number}/{one.called}") for one in made}

    def _ended(self, standing: Standing) -> str:
        names = self._names()
        if len(standing.conceded) == 2:
            return "both conceded"
        if standing.conceded:
            seat = standing.conceded[0]
            return f"{seat} ({names[seat]}) conceded"
        if standing.merged:
            return "both hold one label"
        if standing.quiet >= QUIET:
            return f"{standing.quiet} rounds in which the labels predicted the same"
        if standing.round >= self.settings.debate_rounds:
            return f"all {self.settings.debate_rounds} rounds"
        return ""

    def _names(self) -> dict[str, str]:
        return {seat: self.seated[seat].model or self.seated[seat].name for seat in SEATS}


def _holding(place: Place, label: Hypothesis) -> Place:
    """The same seat with the label that its holder has just amended to: an offer is weighed against that one."""
    alive = (*(one for one in place.board.alive if one.id != place.mine.id), label)
    return replace(place, mine=label, board=replace(place.board, alive=alive, dropped=(*place.board.dropped, place.mine)))
