"""The commands by which others can rely on a release: sign."""

from __future__ import annotations

from typing import Annotated

import typer

from tamis.pipelines.cli.messages import Json, ReleaseName, print_output, user_errors

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
