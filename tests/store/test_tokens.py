"""Token tables: flat arrays that agree with the contexts, and the exact text behind them."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.store.features import Store
from dragoman.store.records import SPLITS, Split
from dragoman.store.tokens import contributions
from tests.support.synthetic import make_rows


@pytest.mark.parametrize("split", SPLITS)
def test_a_token_table_holds_the_contexts_of_its_split(synthetic_store: Store, split: Split) -> None:
    rows = make_rows()
    wanted = [context for context in rows.contexts if context["split"] == split]
    table = synthetic_store.tokens(split)
    assert table.context_ids.tolist() == [context["context"] for context in wanted]
    assert table.document.tolist() == [context["document"] for context in wanted]
    assert table.ids.tolist() == [token for context in wanted for token in context["ids"]]
    assert table.char_start.tolist() == [start for context in wanted for start in context["starts"]]
    assert table.char_end.tolist() == [end for context in wanted for end in context["ends"]]
    assert table.row.tolist() == [row for row, context in enumerate(wanted) for _ in context["ids"]]
    assert table.position.tolist() == [position for context in wanted for position in range(len(context["ids"]))]
    assert np.array_equal(table.starts, np.concatenate([[0], np.cumsum([len(context["ids"]) for context in wanted])]))
    assert {str(array.dtype) for array in (table.ids, table.row, table.position, table.char_start, table.char_end)} == {"int32"}
    texts = {document["document"]: document["text"] for document in rows.documents}
    for row in (0, 1, table.n_contexts - 1):
        context = wanted[row]
        assert table.text(row) == texts[context["document"]][context["starts"][0] : context["ends"][-1]]
        assert "".join(table.strings(row)) == table.text(row)
        assert table.document_text(row) == texts[context["document"]]


def test_a_token_table_is_read_once(synthetic_store: Store) -> None:
    assert synthetic_store.tokens("test") is synthetic_store.tokens("test")


def test_activations_point_into_the_token_table(synthetic_store: Store) -> None:
    rows = make_rows()
    ids = {context["context"]: context for context in rows.contexts}
    for split in SPLITS:
        table = synthetic_store.tokens(split)
        for feature in (4, 17):
            flat, values = synthetic_store.activations(feature, split)
            assert np.all(np.diff(flat) > 0) and values.dtype == np.float32
            found = {
                (int(table.context_ids[table.row[i]]), int(table.position[i]), float(v))
                for i, v in zip(flat, values, strict=True)
            }
            wanted = {
                (a["context"], a["position"], a["value"])
                for a in rows.activations
                if a["feature"] == feature and ids[a["context"]]["split"] == split
            }
            assert found == wanted


def test_contributions_always_concatenate_to_the_text() -> None:
    text = "\U0001f600a  bc"
    assert contributions(text, [0, 0, 0, 1], [1, 1, 1, 2]) == ["\U0001f600", "", "", "a"], (
        "a character made of several tokens goes to the first"
    )
    assert contributions(text, [1, 4], [2, 6]) == ["a", "  bc"], "a blank that the tokenizer leaves out goes to the next token"
    assert contributions(text, [1, 1, 2], [3, 2, 4]) == ["a ", "", " "], "overlaps are shown once"
    assert contributions(text, [], []) == []


def test_rows_of_unknown_contexts_are_refused(synthetic_store: Store) -> None:
    train, test = synthetic_store.tokens("train"), synthetic_store.tokens("test")
    assert train.index.rows_of(train.context_ids[[3, 1]]).tolist() == [3, 1]
    for wrong in (int(test.context_ids[0]), -1, 10_000):
        with pytest.raises(KeyError, match="train split"):
            train.index.rows_of(np.array([wrong]))
