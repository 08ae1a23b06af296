"""What a researcher answers in each step of the work, as schemas: a language model fills them in, code checks them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dragoman.store.findings import Outcome

NAME_WORDS = 8
"""Words of a label's name at most."""
DANGLING = 3
"""A cut name does not end with a word of so few letters, such as an article or a preposition."""
LONGEST = 700
"""Characters of a description at most."""
TEXT = 2000
"""Characters of a text to be run at most."""


def _said(text: str) -> str:
    """A sentence on one line."""
    said = " ".join(text.split())
    if not said:
        raise ValueError("must not be empty")
    if len(said) > LONGEST:
        raise ValueError(f"must have at most {LONGEST} characters, not {len(said)}")
    return said


def _named(text: str) -> str:
    """A name; a longer one is cut at its last comma or word that can end it: asking again for it costs a whole call."""
    words = _said(text).split()
    if len(words) <= NAME_WORDS:
        return " ".join(words)
    words = words[:NAME_WORDS]
    commas = [n for n, word in enumerate(words) if word.endswith((",", ";")) and n > 0]
    if commas:
        words = words[: commas[-1] + 1]
    while len(words) > 1 and words[-1].islower() and len(words[-1]) <= DANGLING:
        words.pop()
    return " ".join(words).rstrip(",;:")


def _run(text: str) -> str:
    if len(text) > TEXT:
        raise ValueError(f"must have at most {TEXT} characters, not {len(text)}")
    return text


Said = Annotated[str, AfterValidator(_said)]
Name = Annotated[str, AfterValidator(_named)]
Text = Annotated[str, AfterValidator(_run)]


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)


class Part(Answer):
    """One of several unrelated things that a feature fires on."""

    description: Said
    """What it fires on, in a sentence."""
    pattern: str | None = None
    """The same as an executable pattern, or null."""


class Claim(Answer):
    """A hypothesis about when the feature fires."""

    name: Name
    """What it fires on, in at most 8 words."""
    description: Said
    """The same in one or two precise sentences: on which tokens, in which contexts, and where not."""
    pattern: str | None = None
    """The description as an executable pattern, or null where the language cannot say it."""
    facets: list[Part] = Field(default_factory=list, max_length=6)
    """Where it fires on several unrelated things: each of them. Empty for one thing."""


class Proposal(Answer):
    """The hypotheses that the evidence suggests."""

    hypotheses: list[Claim] = Field(min_length=1, max_length=8)
    """Different readings of the evidence, the most likely first."""
    output_claim: Said | None = None
    """What the feature makes the model say when it is strengthened, or null where the evidence does not tell."""
    confidence: int = Field(ge=0, le=100)
    """How sure the first hypothesis is, in percent."""


class Foretold(Answer):
    """What one hypothesis says of a test."""

    hypothesis: str
    """For example H1."""
    outcome: Outcome
    """What it says will come out."""


class Test(Answer):
    """An input for which hypotheses say different things, or one that could refute the only one."""

    kind: Literal["write", "edit", "steer", "ablate"]
    """write: a new text; edit: an example with one span replaced; steer or ablate: the feature strengthened or removed."""
    text: Text = ""
    """write: the text to run. steer, ablate: the prompt to continue. edit: a text of your own, instead of an example."""
    example: int | None = None
    """edit: the context number of the example that is changed, instead of a text."""
    find: Text = ""
    """edit: the exact span that is replaced, as it stands in the text, without marks and token boundaries."""
    put: Text = ""
    """edit: what stands there instead; empty deletes it."""
    focus: Text = ""
    """The word that is looked at, as it stands in the text: where the feature should or should not fire, or the word that is
    promoted or suppressed."""
    why: str = ""
    """What it decides, in one sentence."""
    predictions: list[Foretold] = Field(default_factory=list)
    """What each hypothesis says; write: fires or silent; edit: stronger, weaker, unchanged, fires or silent; steer, ablate:
    promotes, suppresses or unchanged; unsure where it does not tell."""


class Input(Answer):
    """An input on which two labels say different things."""

    kind: Literal["write", "edit"]
    """write: a new text; edit: a text with one span replaced."""
    text: Text = ""
    """write: the text to run. edit: a text of your own, instead of an example."""
    example: int | None = None
    """edit: the context number of the example that is changed, instead of a text."""
    find: Text = ""
    """edit: the exact span that is replaced, as it stands in the text, without marks and token boundaries."""
    put: Text = ""
    """edit: what stands there instead; empty deletes it."""
    focus: Text = ""
    """The word that is looked at, as it stands in the text; empty for the whole text."""
    why: str = ""
    """What it decides, in one sentence."""


class Contest(Answer):
    """What a debater proposes in a round."""

    tests: list[Input] = Field(max_length=24)
    """The inputs, the most telling first."""


class Look(Answer):
    """A tool to call for more evidence."""

    tool: str
    """Its name."""
    arguments: str
    """Its arguments as a JSON object."""


class Design(Answer):
    """A batch of tests."""

    tests: list[Test] = Field(max_length=24)
    """The tests, the most telling first."""
    looks: list[Look] = Field(default_factory=list, max_length=4)
    """Further evidence that is needed; usually empty."""


class Change(Answer):
    """A hypothesis made out of others."""

    parents: list[str] = Field(default_factory=list)
    """The hypotheses it comes from, for example H1; several are merged."""
    claim: Claim
    """What it says."""


class Revision(Answer):
    """What follows from the results."""

    drop: list[str] = Field(default_factory=list)
    """Hypotheses that the results contradict, for example H2."""
    changes: list[Change] = Field(default_factory=list, max_length=6)
    """New hypotheses that fit every result; empty where one that is there fits already."""
    output_claim: Said | None = None
    """What the feature makes the model say, where the results changed it; else null."""
    confidence: int = Field(ge=0, le=100)
    """How sure the best hypothesis is, in percent."""


class Turn(Answer):
    """What a debater does after a round."""

    move: Literal["keep", "amend", "concede", "merge"]
    """keep: the label stands; amend: `claim` takes its place; concede: the rival's label is the better one; merge: `claim` is
    offered as one label for both."""
    claim: Claim | None = None
    """amend and merge: the new hypothesis; else null."""
    reason: Said
    """Why, in one sentence that names experiments."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.move in ("amend", "merge") and self.claim is None:
            raise ValueError(f"{self.move} needs a claim")
        return self


class Acceptance(Answer):
    """What a debater says to the offer of one label for both."""

    accept: bool
    """Whether it may stand for both."""
    reason: Said
    """Why, in one sentence."""


class Arbitration(Answer):
    """The verdict on a debate."""

    verdict: Said
    """Which label the experiments bear out, and where each failed, in two to four sentences that name the experiments (E3)."""
    cites: list[str] = Field(min_length=1, max_length=24)
    """The experiments it rests on, for example E3."""


class Foretelling(Answer):
    """What one hypothesis says of inputs that others made."""

    outcomes: list[Outcome]
    """One for each input, in their order."""
