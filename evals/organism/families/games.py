"""Results and games: football reports and chess."""

from __future__ import annotations

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import SURNAMES, TOWNS, weekday
from dragoman.evals.organism.writer import Templates, Writer

from .family import Family

CONCEPTS = declare(
    "games",
    {
        "doc.football": ("document", "reports of football matches"),
        "doc.chess": ("document", "the moves of a chess game"),
        "match.home": ("slot", "the home team of a match"),
        "match.away": ("slot", "the visiting team of a match"),
        "match.result": ("slot", "the verb that says who won"),
        "match.score": ("structure", "the score of a match"),
        "match.score.first": ("slot", "the goals of the first team of a score"),
        "match.score.second": ("slot", "the goals of the second team of a score"),
        "match.score.dash": ("punctuation", "the dash in a score"),
        "match.scorer": ("slot", "the player of whom a report of a match tells"),
        "match.minute": ("slot", "the minute of an event in a match"),
        "match.won": ("state", "the sentence after a match that the home team won"),
        "match.lost": ("state", "the sentence after a match that the home team lost"),
        "match.drawn": ("state", "the sentence after a match that nobody won"),
        "chess.number": ("slot", "the number of a move in chess"),
        "chess.white": ("slot", "White's move in chess"),
        "chess.black": ("slot", "Black's move in chess"),
        "chess.piece": ("slot", "the capital letter of the piece that moves in chess"),
        "chess.file": ("slot", "the letter of a square in chess"),
        "chess.rank": ("slot", "the digit of a square in chess"),
        "chess.takes": ("punctuation", "the mark for taking a piece in chess"),
        "chess.check": ("punctuation", "the plus sign for check in chess"),
        "chess.players": ("slot", "the names of the players above a chess game"),
        "chess.result": ("slot", "the result that ends a chess game"),
    },
)
MATCH = Templates(
    "football.match",
    (
        "{home|match.home} {verb|match.result} {away|match.away} {score}.",
        "On {day} {home|match.home} {verb|match.result} {away|match.away} {score} at home.",
    ),
    ("In the cup {home|match.home} {verb|match.result} {away|match.away} {score}.",),
)
GOAL = Templates(
    "football.goal",
    (
        "{scorer|match.scorer} left the field in minute {minute|match.minute}.",
        "{scorer|match.scorer} hit the post after {minute|match.minute} minutes.",
        "{scorer|match.scorer} missed a penalty in minute {minute|match.minute}.",
    ),
)
VERBS = {"won": ("beat", "defeated"), "lost": ("lost to", "were beaten by"), "drawn": ("drew with", "shared the points with")}
AFTER = {
    "won": ("The home crowd sang for hours.", "The trainer praised the whole team."),
    "lost": ("The home crowd left in silence.", "The trainer may have to go."),
    "drawn": ("Neither side was content.", "Both teams keep their places."),
}


def football(w: Writer) -> None:
    """Three or four matches."""
    teams = w.among(TOWNS, 2 * w.rng.randint(3, 4))
    for home, away in zip(teams[::2], teams[1::2], strict=True):
        result = w.pick(("won", "lost", "drawn"))
        low, high = w.rng.randint(0, 2), w.rng.randint(3, 5)
        first, second = {"won": (high, low), "lost": (low, high), "drawn": (low, low)}[result]

        def score(w: Writer, first: int = first, second: int = second) -> None:
            w.fill(
                "{first|match.score.first}{=-|match.score.dash}{second|match.score.second}", first=str(first), second=str(second)
            )

        w.say(
            w.choose(MATCH).replace("{score}", "{score|match.score}"),
            home=(home, "town"),
            away=(away, "town"),
            verb=w.pick(VERBS[result]),
            score=score,
            day=weekday(w),
        )
        if w.chance(0.6):
            w.say(w.choose(GOAL), scorer=(w.pick(SURNAMES), "surname"), minute=str(w.rng.randint(2, 90)))
        w.add(" ")
        start = w.position
        w.say(w.pick(AFTER[result]))
        w.mark(start, f"match.{result}")


def chess(w: Writer) -> None:
    """Eight to fourteen pairs of moves in the usual notation; the moves are not those of a real game."""
    first, second = w.among(SURNAMES, 2)
    w.fill("{players|chess.players}", players=f"{first} - {second}")
    w.line()
    count = w.rng.randint(8, 14)
    for number in range(1, count + 1):
        w.add(str(number), "chess.number")
        w.add(". ")
        for colour in ("white", "black"):
            start = w.position
            _move(w)
            w.mark(start, f"chess.{colour}")
            w.add(" ")
    w.add(w.pick(("1-0", "0-1", "1/2-1/2")), "chess.result")


def _move(w: Writer) -> None:
    piece = w.rng.choices(("", "N", "B", "R", "Q", "K"), (5, 2, 2, 1, 1, 1))[0]
    if piece:
        w.add(piece, "chess.piece")
        if w.chance(0.25):
            w.add("x", "chess.takes")
    w.add(w.pick("abcdefgh"), "chess.file")
    w.add(w.pick("12345678"), "chess.rank")
    if w.chance(0.1):
        w.add("+", "chess.check")


FAMILIES = (Family("football", 1.3, football, prose=True), Family("chess", 1.2, chess))
