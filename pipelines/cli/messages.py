"""How commands report results and errors: as text or JSON, and with an exit code."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.transforms.core.errors import NoInput, NothingNew, RunError
from tamis.transforms.runtime.credentials import redact

if TYPE_CHECKING:
    from tamis.pipelines.cli.log import Level, Log

PROBLEM, USAGE, INTERRUPTED = 1, 2, 130  # exit codes

RunDirectory = Annotated[str, typer.Argument(metavar="RUN", help="A run directory.")]
ReleaseName = Annotated[
    str, typer.Argument(metavar="RUN[@N]", help="A run directory: its current release, or release N of it.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]


@contextmanager
def user_errors(as_json: bool, log: Log | None = None, trace: bool = False) -> Iterator[None]:
    """Turns errors that a user can act on into a message and an exit code. `trace`: with their
    traceback."""

    def report(event: str, message: str, colour: str, level: Level = "error") -> None:
        if log is not None:
            log.event(event, level, message=message)
        else:
            typer.secho(message, fg=colour, err=True)

    try:
        yield
    except BrokenPipeError:
        raise
    except NoInput as error:
        if as_json:
            print_json({"unchanged": True, "message": redact(str(error))})
        report("no-input", f"{redact(str(error))}; nothing to do", "yellow", "info")
    except NothingNew as error:
        if as_json:
            print_json({"unchanged": True, "message": redact(str(error))})
        report("nothing-new", redact(str(error)), "yellow", "info")
    except (RunError, ImportError, OSError) as error:
        message = redact(_message(error))
        if trace:
            typer.echo(redact(traceback.format_exc()), err=True)
        if as_json:
            print_json({"error": message}, indent=None)
        report("error", message, "red")
        raise typer.Exit(USAGE if isinstance(error, RecipeError) else PROBLEM) from None
    except KeyboardInterrupt:
        report("interrupted", "interrupted; run the same command again to finish", "yellow", "warning")
        raise typer.Exit(INTERRUPTED) from None


def _message(error: Exception) -> str:
    """The message of an error; of a system error the file and the reason, without its number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return ": ".join(str(part) for part in (error.filename, error.strerror) if part is not None)


def print_output(value: object, lines: Iterable[str], as_json: bool) -> None:
    """Prints the output of a command: as JSON, or line by line for a person."""
    if as_json:
        print_json(value)
    else:
        for line in lines:
            typer.echo(line)


def print_json(value: object, indent: int | None = 2) -> None:
    """Prints a value as JSON; without `indent`, in one line."""
    typer.echo(json.dumps(value, indent=indent, ensure_ascii=False, default=str))
