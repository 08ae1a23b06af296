"""The nouns: what every other part of Dragoman speaks about. No torch, no database."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from . import display, pages

Split = Literal["train", "validation", "test"]
"""Which use a document is for. Explainers see train, choose by validation, and are scored on test."""
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ScoredOn = Literal["train", "validation", "test", "elsewhere"]
"""Where a score was measured; elsewhere: by another tool, on text that is not in the store."""

Stratum = Literal["top", "quantile", "random_active", "near_miss", "random_silent"]
"""How an example was chosen; evidence is never the top alone."""

Liveness = Literal["live", "rare", "dead"]
"""live: fires in at least 10 train, 5 validation and 10 test documents; dead: never fires on train; rare: between."""

HUMAN = "human"
"""The agent of labels that a person wrote; no model and no program has this name."""


class Record(BaseModel):
    """Base of all records: immutable, and strict about what it is given."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class FeatureKey(NamedTuple):
    """Address of a feature, written DICT/INDEX."""

    dictionary: str
    """Name of the dictionary inside the store."""
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    """Row of the feature in that dictionary."""

    def __str__(self) -> str:
        return f"{self.dictionary}/{self.index}"


class SubjectInfo(Record):
    """The language model a store was harvested from."""

    name: str
    """Folder name or hub id, as the user gave it."""
    family: str
    """Architecture family, for example `llama`."""
    layers: int
    """Number of transformer blocks."""
    d_model: int
    """Width of the residual stream."""
    vocabulary: int
    """Number of token ids."""
    weights_hash: str
    """SHA-256 over the weights files: two models of one name are told apart."""
    tokenizer_hash: str
    """SHA-256 over the tokenizer's files."""
    prepend_bos: bool
    """Whether a BOS token stands before every window; it is never stored or scored."""


class DictionaryInfo(Record):
    """One dictionary of a store."""

    name: str
    """Name inside the store, the DICT of DICT/INDEX."""
    source: str
    """Where it was loaded from: a folder, a hub id, `neurons:mlp.2`, `directions:FILE`."""
    format: str
    """File format, for example `saelens`, `neurons`, `directions`."""
    architecture: str
    """How it encodes, for example `topk`."""
    hook_in: str
    """Hook point it reads, for example `resid_post.2`."""
    hook_out: str
    """Hook point it writes; the same as `hook_in` except for transcoders."""
    width: int
    """Number of features."""
    offset: int
    """Global feature id of its feature 0; ids run over all dictionaries of the store."""
    weights_hash: str
    """SHA-256 of its weights."""
    variance_unexplained: float | None
    """Fraction of variance unexplained on the corpus at harvest; None where there is nothing to reconstruct."""


class Context(Record):
    """A window of tokens of one document; the unit of evidence."""

    id: int
    """Number of the context in its store."""
    document: int
    """Number of the document it was cut from."""
    split: Split
    """Split of that document."""
    ids: tuple[int, ...]
    """Token ids, without BOS, EOS and PAD."""
    strings: tuple[str, ...]
    """What each token contributes to the text; they concatenate to the window's text."""
    offsets: tuple[tuple[int, int], ...]
    """Character range of each token in the document."""


class Example(Record):
    """A context with the activations of one feature on it. A notebook shows it with the active tokens highlighted."""

    context: Context
    """The window."""
    values: tuple[float, ...]
    """Activation at each token, 0 where the feature is silent."""
    stratum: Stratum
    """How the example was chosen."""
    threshold: float
    """The feature fires where a value exceeds this."""
    scale: float
    """Train maximum of the feature: the value shown in full colour."""

    def __repr__(self) -> str:
        return display.example_line(self)

    __str__ = __repr__

    def __rich__(self) -> object:
        return display.example_rich(self)

    def _repr_html_(self) -> str:
        return display.example_html(self)


class TokenValue(NamedTuple):
    """A vocabulary entry with a number."""

    token: str
    """The token's text."""
    value: float
    """What the number is, the field that holds it says."""


class RelatedFeature(NamedTuple):
    """Another feature of the store with a measure of relatedness."""

    key: FeatureKey
    """Which feature."""
    value: float
    """Cosine of the decoder directions, or the Jaccard index of firing tokens."""


class TrainStats(Record):
    """Statistics of one feature from train rows only: what agents see."""

    max: float
    """Largest activation on train."""
    mean: float
    """Mean of the non-zero activations on train."""
    active: int
    """Train tokens with a non-zero activation."""
    density: float
    """Share of train tokens with a non-zero activation."""
    firing: int
    """Train tokens on which the feature fires (value above the threshold)."""
    firing_density: float
    """Share of train tokens on which the feature fires."""
    threshold: float
    """0.2 times the train maximum, fixed at harvest, rounded to single precision."""
    quantiles: tuple[float, ...]
    """Quantiles of the non-zero train activations at 0, .1, …, 1."""
    histogram: tuple[int, ...]
    """Counts of the non-zero train activations in 20 equal bins from 0 to the train maximum."""
    firing_contexts: int
    """Train contexts in which it fires."""
    top_tokens: tuple[TokenValue, ...]
    """Tokens with the largest mean activation on train (among those it is active on at least thrice)."""
    sampled: bool
    """Only a stratified sample of its activations is stored; statistics are exact all the same."""


class FeatureStats(TrainStats):
    """Statistics of one feature. Those of `TrainStats` come from train rows only; the others are for people, not for agents."""

    corpus_max: float
    """Largest activation on the whole corpus."""
    corpus_density: float
    """Share of all tokens with a non-zero activation."""
    corpus_firing_contexts: int
    """Contexts of the whole corpus in which it fires."""
    corpus_firing_documents: tuple[int, int, int]
    """Documents in which it fires, in train, validation and test."""
    liveness: Liveness
    """Whether it fires often enough to be scored."""
    dense: bool
    """Fires in more than half of all contexts: detection is then unscored."""


class Feature(Record):
    """A feature with everything the store knows without a model."""

    key: FeatureKey
    """Its address."""
    id: int
    """Its global id in the store."""
    stats: FeatureStats
    """Its statistics."""
    promoted: tuple[TokenValue, ...]
    """Tokens with the largest linear logit effect; empty where the hook point has none."""
    suppressed: tuple[TokenValue, ...]
    """Tokens with the smallest linear logit effect."""
    neighbours: tuple[RelatedFeature, ...]
    """Nearest features by decoder cosine."""
    coactive: tuple[RelatedFeature, ...]
    """Features that fire on the same train tokens, by Jaccard index."""

    def __repr__(self) -> str:
        return display.feature_line(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return display.feature_html(self)


class Facet(Record):
    """One of the things a polysemantic feature fires on."""

    description: str
    """What it fires on, in plain words."""
    pattern: str | None = None
    """The same as an executable pattern, where it can be written as one."""


class Label(Record):
    """What somebody says a feature means."""

    id: str
    """Hash of run, feature, and content."""
    feature: int
    """Global id of the feature."""
    run: str
    """The run it was made in."""
    name: str
    """At most eight words."""
    description: str
    """The explanation that is scored."""
    facets: tuple[Facet, ...] = ()
    """The separate things it fires on, where there are several."""
    pattern: str | None = None
    """Executable form of the description; None for labels in words only."""
    output_claim: str | None = None
    """What the feature makes the model say."""
    agent: str
    """Who made it, for example `induction`."""
    model: str | None = None
    """Language model behind the agent, if any."""
    evidence: tuple[int, ...] = ()
    """Ids of the train contexts it was made from (a bounded number, the most telling first)."""
    experiments: tuple[str, ...] = ()
    """Ids of the experiments it rests on."""
    prompt: str | None = None
    """Hash of the prompts that the model was given."""
    confidence: float | None = None
    """The score that its maker expects of it, from 0 to 1."""
    notes: str = Field(default="{}")
    """Further facts as a JSON object, such as figures on train and validation."""

    def _repr_html_(self) -> str:
        return pages.label_html(self)


class Score(Record):
    """One measurement of a label, or the reason why there is none."""

    label: str
    """Id of the label; for controls that have none, the name of the control and the feature."""
    feature: int
    """Global id of the feature."""
    run: str
    """The run it was measured in."""
    scorer: str
    """What was measured, for example `detection.auroc`, `simulation.r`."""
    judge: str
    """Who predicted, for example `pattern`."""
    contestant: str
    """`label`, or the control: `token_lookup`, `shuffled`."""
    split: ScoredOn
    """The split it was measured on."""
    value: float | None
    """The score; None when unscored."""
    low: float | None = None
    """Lower end of the 95 % bootstrap interval over documents."""
    high: float | None = None
    """Upper end."""
    n: int = 0
    """Number of contexts it was measured on."""
    unscored: str | None = None
    """Why there is no value: dead, rare, dense, constant truth, unreadable reply …"""
    flags: tuple[str, ...] = ()
    """Remarks a reader needs: `scores the rule, not the words`, `constant prediction`, `sampled`."""


class JudgeAnswer(Record):
    """What a judge answered to one question behind a score, beside the truth. No agent ever sees one."""

    run: str
    """The run it was asked in."""
    feature: int
    """Global id of the feature."""
    contestant: str
    """`label`, or the control."""
    score: str
    """`detection` or `fuzzing`."""
    item: int
    """Which question of that feature and score; the same question for every judge."""
    context: int
    """Number of the context that was shown."""
    truth: bool | None
    """Whether it fires, or the highlights are right; None where it is active below the threshold."""
    probability: float | None
    """Of yes; None where the answer could not be read."""
    way: str
    """How it was read."""
    unscored: str | None
    """Why it could not be read."""


class Failure(Record):
    """A step of a run that failed on a feature."""

    run: str
    """The run it happened in."""
    feature: int
    """Global id of the feature."""
    step: str
    """The step that failed."""
    reason: str
    """What went wrong, in one sentence."""


class Run(Record):
    """One run of labeling, scoring or a debate; its id is the hash of its resolved configuration."""

    id: str
    """Hash of the configuration."""
    kind: Literal["label", "score", "debate"]
    """What it does."""
    config: str
    """The resolved configuration as canonical JSON."""
    status: Literal["running", "done", "stopped"]
    """Where it stands."""
