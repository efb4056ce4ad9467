"""How a command speaks: its arguments' common words, what it found, and what went wrong, without credentials."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.transforms.core.errors import NoInput, RunError
from tamis.transforms.runtime.redaction import redact

if TYPE_CHECKING:
    from tamis.pipelines.cli.log import Level, Log

PROBLEM, USAGE, INTERRUPTED = 1, 2, 130

RunDirectory = Annotated[str, typer.Argument(metavar="RUN", help="The directory of a run.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")]


@contextmanager
def told(as_json: bool, log: Log | None = None) -> Iterator[None]:
    """Turns the errors a person can act on into a message, without credentials, and an exit code."""

    def say(event: str, message: str, colour: str, level: Level = "error") -> None:
        if log is not None:
            log.tell(event, level, message=message)
        else:
            typer.secho(message, fg=colour, err=True)

    try:
        yield
    except BrokenPipeError:
        raise
    except NoInput as nothing:
        if as_json:
            print_json({"unchanged": True, "message": redact(str(nothing))})
        say("no-input", f"{redact(str(nothing))}; nothing to do", "yellow", "info")
    except (RunError, ImportError, OSError) as error:
        code = USAGE if isinstance(error, RecipeError) else PROBLEM
        message = redact(_worded(error))
        if as_json:
            print_json({"error": message})
        say("error", message, "red")
        raise typer.Exit(code) from None
    except KeyboardInterrupt:
        say("interrupted", "interrupted; the same command finishes the run", "yellow", "warning")
        raise typer.Exit(INTERRUPTED) from None


def _worded(error: Exception) -> str:
    """What an error says; of the system's, the file and the trouble without its number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return ": ".join(str(part) for part in (error.filename, error.strerror) if part is not None)


def show(found: Any, lines: Callable[[Any], Iterable[str]], as_json: bool) -> None:
    """Prints what a command found: whole as JSON, or line by line for a person."""
    if as_json:
        print_json(found)
    else:
        for line in lines(found):
            typer.echo(line)


def print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
