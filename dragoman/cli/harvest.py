"""`dragoman harvest`: text through a model and its dictionaries into a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Json, Quiet


def harvest(
    store: Annotated[
        Path | None, typer.Argument(metavar="STORE", help="Folder to make the store in.", show_default=False)
    ] = None,
    model: Annotated[
        str, typer.Option(help="Hugging Face causal language model: a folder or a hub id.", show_default=False)
    ] = "",
    dictionary: Annotated[
        list[str] | None,
        typer.Option(
            help="Dictionary: a folder, file or hub id in any format that `dragoman dictionaries` lists, neurons:mlp.2 (the "
            "units of an MLP), or directions:FILE.safetensors@resid_post.2. May be repeated.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str,
        typer.Option(
            help="Text: .txt, .json, .jsonl, .parquet, a folder of them, or a Hugging Face dataset.", show_default=False
        ),
    ] = "",
    store_option: Annotated[Path | None, typer.Option("--store", help="The same as STORE.", show_default=False)] = None,
    window: Annotated[
        int | None, typer.Option(help="Tokens in a window. [default: the dictionary's, else 128]", show_default=False, min=2)
    ] = None,
    separator: Annotated[
        str | None, typer.Option(help="What separates documents in a text file. [default: a blank line]", show_default=False)
    ] = None,
    text_field: Annotated[str, typer.Option(help="Field of a JSON, JSONL, Parquet or dataset row that holds the text.")] = "text",
    limit_tokens: Annotated[int | None, typer.Option(help="Stop after so many tokens.", show_default=False, min=1)] = None,
    max_per_feature: Annotated[
        int | None,
        typer.Option(help="Store at most so many activations of a feature, a stratified sample.", show_default=False, min=1),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Windows in a forward pass. [default: chosen]", show_default=False, min=1)
    ] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu. [default: the best there is]", show_default=False)] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. [default: chosen]", show_default=False)] = None,
    include_special: Annotated[
        bool, typer.Option("--include-special", help="Keep special tokens that stand in the text.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run text through a model and its dictionaries into a store.

    The same command goes on where a killed one stopped. Activations, statistics, examples, logit effects and neighbours are
    stored with the text, so that everything after this needs no model.

    [bold]Examples[/bold]

        dragoman harvest S --model gpt2 --dictionary ./my-sae --text notes.txt

        dragoman harvest S --model ./babyllama --dictionary neurons:mlp.2 --text stories.json --limit-tokens 500000
    """
    from dragoman.logs import logging_to
    from dragoman.store.errors import UserError

    if (store is None) == (store_option is None):
        raise UserError("Say once where the store goes: `dragoman harvest STORE …` or `dragoman harvest --store STORE …`.")
    folder = store or store_option
    assert folder is not None
    for flag, value in (("--model", model), ("--dictionary", dictionary), ("--text", text)):
        if not value:
            raise UserError(f"Harvest needs {flag}: see `dragoman harvest --help` for examples.")
    from dragoman.tools.harvest import harvest as run

    with logging_to(folder, "harvest"):
        sealed = run(
            folder,
            model,
            dictionary or [],
            text,
            window=window,
            separator=separator,
            text_field=text_field,
            limit_tokens=limit_tokens,
            max_per_feature=max_per_feature,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            include_special=include_special,
            progress=not quiet,
        )
    manifest = sealed.manifest
    live = len(sealed.features("live"))
    if json:
        from .output import as_json

        as_json({"store": str(folder), "live": live, **manifest.model_dump(mode="json")})
        return
    from .output import console

    console().print(
        f"{folder}: {sum(manifest.tokens.values()):,} tokens of {sum(manifest.documents.values()):,} documents, "
        f"{manifest.activations:,} activations of {sealed.width:,} features, {live:,} of them live.\n"
        f"Next: dragoman label {folder}"
    )
