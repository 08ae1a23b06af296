"""`dragoman organism`: the small model that comes with the package, and what is true of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Seed

app = typer.Typer(
    no_args_is_help=True,
    help="The model organism: a small model whose text, and so the truth about every token, we made ourselves.",
)


@app.command()
def build(
    out: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder to write the model and its dictionaries to.", show_default=False)
    ],
    seed: Seed = 0,
) -> None:
    """Train the model and its dictionaries from a seed (about 40 minutes, on one core)."""
    from dragoman.evals.organism.build import build as run

    from .output import console

    run(out, seed=seed)
    console().print(f"{out}: model and dictionaries written.")


@app.command()
def competence(
    root: Annotated[
        Path | None, typer.Option(help="Folder that `build` wrote. [default: the shipped organism]", show_default=False)
    ] = None,
    documents: Annotated[int, typer.Option(help="Held-out documents to ask about.", min=1)] = 3000,
    seed: Seed = 7,
) -> None:
    """What the model can do, on held-out documents and templates, each figure beside its chance level."""
    from transformers import PreTrainedTokenizerFast

    from dragoman.evals.organism.competence import measure, table
    from dragoman.evals.organism.load import corpus_documents, organism_paths
    from dragoman.evals.organism.train import load_model

    from .output import console

    folder = organism_paths(root).model
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    console().print(table(measure(load_model(folder), tokenizer, corpus_documents(documents, seed))))


@app.command()
def truth(
    root: Annotated[
        Path | None, typer.Option(help="Folder that `build` wrote. [default: the shipped organism]", show_default=False)
    ] = None,
    documents: Annotated[int, typer.Option(help="Held-out documents to match on.", min=1)] = 3000,
    random_dictionary: Annotated[
        bool,
        typer.Option(
            "--random-dictionary",
            help="Train a dictionary on a model with random weights as well (some minutes), as one more control.",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the whole report here as JSON.", show_default=False)] = None,
    seed: Seed = 7,
) -> None:
    """Which concept each live feature matches best, with F1 and MCC per token on test, beside its controls."""
    from transformers import PreTrainedTokenizerFast

    from dragoman.evals.organism.build import random_dictionary as train_random
    from dragoman.evals.organism.load import corpus_documents, organism_paths
    from dragoman.evals.organism.sae import load_sae
    from dragoman.evals.organism.train import load_model
    from dragoman.evals.organism.truth import measure, save_report, tables

    from .errors import say
    from .output import console

    paths = organism_paths(root)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(paths.model)
    documented = corpus_documents(documents, seed)
    control = train_random(paths.model, progress=say) if random_dictionary else None
    model, sae = load_model(paths.model), load_sae(paths.sae)
    found = measure(model, tokenizer, sae, documented, random_sae=control, progress=say)
    if out:
        save_report(found, out)
    console().print(tables(found))


@app.command()
def circuits(
    root: Annotated[
        Path | None, typer.Option(help="Folder that `build` wrote. [default: the shipped organism]", show_default=False)
    ] = None,
    documents: Annotated[int, typer.Option(help="Held-out documents to ask about.", min=1)] = 3000,
    limit: Annotated[
        int, typer.Option(help="Probes of each task that are reported on, at most; a third as many are searched.", min=1)
    ] = 75,
    out: Annotated[Path | None, typer.Option(help="Write the figures here as JSON.", show_default=False)] = None,
    seed: Seed = 21,
) -> None:
    """Which heads and features carry indirect objects and induction: found on half of the documents, ablated on the rest."""
    import json
    from dataclasses import asdict

    from dragoman.evals.organism.circuits import measure, table
    from dragoman.evals.organism.corpus import generate
    from dragoman.evals.organism.load import corpus_documents, organism_paths
    from dragoman.tools.dictionaries import load
    from dragoman.tools.subject import Subject

    from .errors import say
    from .output import console

    paths = organism_paths(root)
    subject = Subject.load(paths.model)
    found = measure(
        subject,
        load(f"sae={paths.sae}", subject),
        corpus_documents(documents, seed),
        generate(seed, 200, split="train"),
        limit=limit,
        seed=seed,
        progress=say,
    )
    if out:
        out.write_text(json.dumps(asdict(found), indent=1) + "\n")
    console().print(table(found))


@app.command()
def kinds(
    root: Annotated[
        Path | None, typer.Option(help="Folder that `build` wrote. [default: the shipped organism]", show_default=False)
    ] = None,
    concept: Annotated[str, typer.Option(help="A concept that has kinds.")] = "bird",
    features: Annotated[int, typer.Option(help="Features of the finer dictionary, which is trained for this.", min=16)] = 6144,
    coarse: Annotated[
        int | None,
        typer.Option(help="Train a coarse dictionary of so many features. [default: the shipped one]", show_default=False),
    ] = None,
    hook: Annotated[
        str | None, typer.Option(help="Hook point of both. [default: the shipped dictionary's]", show_default=False)
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens it is trained on.", min=1)] = 2_000_000,
    batch: Annotated[int, typer.Option(help="Tokens in a step of training.", min=1)] = 4096,
    share: Annotated[
        float | None,
        typer.Option(help="Of the training documents, those that hold the concept. [default: as they come]", min=0, max=1),
    ] = None,
    documents: Annotated[int, typer.Option(help="Held-out documents to measure on.", min=1)] = 2000,
    seed: Seed = 31,
) -> None:
    """Whether one dictionary's feature for a concept falls apart into kinds in a finer one (minutes of training)."""
    from dragoman.evals.organism.coarse import kinds_table, measure, table
    from dragoman.evals.organism.load import corpus_documents, organism_paths
    from dragoman.store.errors import UserError
    from dragoman.tools.dictionaries import load
    from dragoman.tools.subject import Subject
    from dragoman.tools.training.settings import Settings

    from .errors import say
    from .output import console

    paths = organism_paths(root)
    subject = Subject.load(paths.model)
    shipped = load(f"sae={paths.sae}", subject)
    if hook not in (None, shipped.facts.hook_in) and coarse is None:
        raise UserError(f"The shipped dictionary is at {shipped.facts.hook_in}: give --coarse to train another one at {hook}.")
    found = measure(
        subject,
        shipped if coarse is None else Settings(features=coarse, k=8, tokens=tokens, batch=batch, seed=seed),
        corpus_documents(documents, seed),
        concept=concept,
        hook=hook or shipped.facts.hook_in,
        settings=Settings(features=features, k=16, tokens=tokens, batch=batch, seed=seed),
        training=max(1000, tokens // 80),
        share=share,
        seed=seed,
        progress=say,
    )
    console().print(kinds_table(found))
    console().print(table(found))
