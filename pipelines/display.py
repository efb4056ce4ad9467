"""What a person sees of a run: live progress, then the table of what became of the documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from pipelines.launch import Result, Watch
    from pipelines.plan import Plan
    from pipelines.progress import Done

Start = Callable[[Callable[["Plan"], None], "Watch"], "Result"]


class Display:
    """Progress on standard error, results on standard output."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.out = Console(highlight=False)
        self.err = Console(stderr=True, highlight=False)

    def during(self, start: Start) -> Result:
        """Shows the run that `start` starts while it goes on."""
        if self.quiet:
            return start(lambda _: None, lambda _: None)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<7}"),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.err) as bars:
            tasks = {
                name: bars.add_task(name, total=None, start=name == "rate", done="") for name in ("rate", "decide", "emit")
            }
            return start(lambda plan: self._planned(plan, bars, tasks), lambda done: _show(done, bars, tasks))

    def _planned(self, plan: Plan, bars: Progress, tasks: dict[str, TaskID]) -> None:
        fresh = len(plan.work) - plan.reused
        if plan.unchanged:
            self.err.print("nothing changed since this run finished; its results stand")
        elif plan.reused and not fresh:
            self.err.print(f"all {plan.reused} parts are rated already: only Decide and Emit run")
        else:
            reused = f", {plan.reused} rated already" if plan.reused else ""
            self.err.print(f"{fresh} parts to rate{reused}, {plan.bytes / 1e6:,.1f} MB of input")
        for name in ("rate", "decide"):
            bars.update(tasks[name], total=len(plan.work))

    def result(self, result: Result) -> None:
        """Prints what became of the documents, where the time went, and where everything lies."""
        manifest: dict[str, Any] = result.manifest
        counts = manifest["counts"]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title, justify in (("", "left"), ("documents", "right"), ("tokens", "right"), ("share", "right")):
            table.add_column(title, justify=justify)  # type: ignore[arg-type]
        records = counts["records"] or 1

        def row(name: str, documents: int, tokens: int | None, style: str = "") -> None:
            table.add_row(
                name, f"{documents:,}", "" if tokens is None else f"{tokens:,}", f"{documents / records:.1%}", style=style
            )

        row("in", counts["records"], counts["tokens"]["in"], "bold")
        row("kept", counts["kept"], counts["tokens"]["kept"], "green")
        for decision in ("dropped", "review"):
            if counts[decision]:
                row(decision, counts[decision], counts["tokens"][decision], "yellow")
                for reason in counts["reasons"]:
                    if reason["decision"] == {"dropped": "drop", "review": "review"}[decision]:
                        row(f"  {reason['reason']}", reason["documents"], reason["tokens"], "dim")
        row("rejected", counts["rejected"], None, "red" if counts["rejected"] else "dim")
        self.out.print(table)
        for warning in manifest["warnings"]:
            self.out.print(f"[yellow]warning[/] [{warning['code']}] ", end="", markup=True)
            self.out.print(warning["message"], markup=False)
        if not result.unchanged:
            spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
            self.out.print(f"time     {spent}; {result.rated} parts rated, {result.reused} reused")
        shards = manifest["curriculum"]["shards"]
        self.out.print(f"corpus   {result.run}/data ({len(shards)} shards, {counts['tokens']['kept']:,} tokens)", markup=False)
        self.out.print(f"report   {result.run}/report.html", markup=False)


def _show(done: dict[str, Done], bars: Progress, tasks: dict[str, TaskID]) -> None:
    for name, task in tasks.items():
        if name in done:
            bars.start_task(task)
            state = done[name]
            words = f"{state.documents:,} documents, {state.bytes / 1e6:,.0f} MB" if state.documents else f"{state.items:,}"
            bars.update(task, completed=state.items, done=words)
