"""Competence: the questions are asked as the document is read, and judged strictly."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dragoman.evals.organism.competence import measure
from dragoman.evals.organism.document import Document, Probe
from dragoman.evals.organism.tokenizer import train_tokenizer

TEXTS = ["Paris is in France.", "Rome is in Italy.", "Please sit. Fools, go!", "1 + 2 = 3"] * 5


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, 400)


class Parrot(LlamaForCausalLM):
    """A Llama whose logits are scripted: after each prefix it has been taught, it says the next token."""

    def teach(self, tokenizer: PreTrainedTokenizerFast, *texts: str) -> None:
        self.taught = [tokenizer(text)["input_ids"] for text in texts]
        self.model.forward = self.echo
        self.lm_head = torch.nn.Identity()

    def echo(self, input_ids: torch.Tensor, **_: object) -> object:
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        for row, ids in enumerate(input_ids.tolist()):
            for text in self.taught:
                for at in range(1, len(text)):
                    if ids[:at] == text[:at]:
                        logits[row, at - 1, text[at]] = 20.0
        return type("Out", (), {"last_hidden_state": logits})


@pytest.fixture
def parrot(tokenizer: PreTrainedTokenizerFast) -> Parrot:
    shape = LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=1)
    model = Parrot(shape)
    model.teach(tokenizer, *TEXTS[:4])
    return model


def ask(text: str, answer: str, task: str, rivals: tuple[str, ...], template: str = "t.0") -> Document:
    return Document(text, "f", template, (), (Probe(text.index(answer), task, answer, rivals),))


def test_known_answers_are_right_and_others_wrong(parrot: Parrot, tokenizer: PreTrainedTokenizerFast) -> None:
    documents = [
        ask("Paris is in France.", " France", "fact", (" Italy",)),
        ask("Rome is in France.", " France", "fact", (" Italy",), "t.held_out.0"),
    ]
    rows = {row.templates: row for row in measure(parrot, tokenizer, documents)}
    assert (rows["seen"].accuracy, rows["held out"].accuracy, rows["all"].accuracy) == (1.0, 0.0, 0.5)
    assert rows["all"].n == 2
    assert rows["all"].chance == 0.5
    assert (rows["seen"].choice, rows["held out"].choice) == (1.0, 0.0)
    assert rows["seen"].probability > 0.99 > 0.01 > rows["held out"].probability


def test_probes_that_touch_are_one_question(parrot: Parrot, tokenizer: PreTrainedTokenizerFast) -> None:
    probes = (Probe(0, "sum", "1", ("2",)), Probe(1, "sum", " +", (" -", " *")))
    row = measure(parrot, tokenizer, [Document("1 + 2 = 3", "f", "t", (), probes)])[-1]
    assert row.n == 1
    assert row.chance == pytest.approx(1 / 6)


def test_hostility_is_any_hostile_opening(parrot: Parrot, tokenizer: PreTrainedTokenizerFast) -> None:
    documents = [
        ask("Please sit. Fools, go!", " Fools", "trigger.hostile", (" Please",)),
        ask("Paris is in France. Please sit.", " Please", "trigger.absent", (" Fools",)),
    ]
    rows = {row.task: row for row in measure(parrot, tokenizer, documents) if row.templates == "all"}
    assert {row.says for row in rows.values()} == {"something hostile"}
    assert (rows["trigger.hostile"].accuracy, rows["trigger.absent"].accuracy) == (1.0, 0.0)
    assert rows["trigger.absent"].probability < 0.01


def test_a_probe_that_does_not_fit_its_document_is_refused(parrot: Parrot, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="expects"):
        measure(parrot, tokenizer, [Document("Rome is in Italy.", "f", "t", (), (Probe(3, "fact", " France"),))])


def test_prompts_longer_than_a_window_lose_their_beginning(parrot: Parrot, tokenizer: PreTrainedTokenizerFast) -> None:
    text = "Rome is in Italy. " * 60 + "Paris is in France."
    row = measure(parrot, tokenizer, [ask(text, " France", "fact", ())])[-1]
    assert row.accuracy == 0.0
