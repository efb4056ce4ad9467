"""The commands by which others can rely on a release: sign and card."""

from __future__ import annotations

from typing import Annotated

import typer

from tamis.pipelines.cli.messages import Json, ReleaseName, print_json, print_output, user_errors
from tamis.transforms.core.errors import RunError

app = typer.Typer()


@app.command()
def sign(
    release: ReleaseName,
    key: Annotated[str, typer.Option(metavar="KEY.pem", help="A private ed25519 key in PEM, without a password.")],
    as_json: Json = False,
) -> None:
    """Sign a release: every byte of it, its recipe and the releases before it.

    `openssl genpkey -algorithm ed25519 -out key.pem` makes a key, and `openssl pkey -in key.pem -pubout
    -out public.pem` what others need for `tamis verify --key public.pem`."""
    with user_errors(as_json):
        from tamis.transforms.provenance.signatures import sign as sign_release

        path, identifier = sign_release(release, key)
        print_output({"signature": path, "key": identifier}, [f"signed by the key {identifier[:16]}: {path}"], as_json)


@app.command()
def card(
    release: ReleaseName,
    croissant: Annotated[bool, typer.Option("--croissant", help="Croissant 1.1, as JSON-LD.")] = False,
    eu_ai_act: Annotated[
        bool, typer.Option("--eu-ai-act", help="The facts that the EU's summary of training content asks for, as Markdown.")
    ] = False,
    datarubrics: Annotated[
        bool, typer.Option("--datarubrics", help="The dimensions of DataRubrics with their levels and evidence, as Markdown.")
    ] = False,
) -> None:
    """Print a card of a release: what is in its corpus, and what it was made from. Without an option,
    the README.md that Hugging Face shows."""
    with user_errors(False):
        if croissant + eu_ai_act + datarubrics > 1:
            raise RunError("name one card: --croissant, --eu-ai-act or --datarubrics")
        from tamis.pipelines.cards.corpus_facts import corpus_facts
        from tamis.pipelines.cards.croissant import croissant as described
        from tamis.pipelines.cards.data_rubrics import data_rubrics
        from tamis.pipelines.cards.eu_summary import eu_summary
        from tamis.pipelines.cards.hugging_face_card import hugging_face_card
        from tamis.transforms.core.release import open_release

        opened = open_release(release)
        facts = corpus_facts(opened)
        if croissant:
            print_json(described(opened, facts))
        else:
            written = eu_summary if eu_ai_act else data_rubrics if datarubrics else hugging_face_card
            typer.echo(written(opened.manifest, facts))
