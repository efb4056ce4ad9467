"""What a person sees of a run: live progress, then the table of what became of the documents."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tamis.pipelines.run.progress import MOVEMENTS, Done
from tamis.transforms.core.formatting import counted

if TYPE_CHECKING:
    from tamis.pipelines.run.launch import Result, Watch
    from tamis.pipelines.run.work_plan import WorkPlan

Start = Callable[[Callable[["WorkPlan"], None], "Watch"], "Result"]


class Display:
    """Progress on standard error, results on standard output."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.out = Console(highlight=False)
        self.err = Console(stderr=True, highlight=False)

    def during(self, start: Start) -> Result:
        """Shows the run that `start` starts while it goes on: bars on a terminal, else one line of what there is to do."""
        if self.quiet:
            return start(lambda _: None, lambda _: None)
        bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<7}"),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TimeElapsedColumn(),
            console=self.err,
        )
        tasks = {name: bars.add_task(name, total=None, start=False, visible=False, done="") for name in MOVEMENTS}
        with ExitStack() as shown:
            result = start(lambda plan: self._planned(plan, bars, tasks, shown), lambda done: _show(done, bars, tasks))
            bars.update(tasks["emit"], total=1)
            for task in bars.tasks:
                bars.update(task.id, completed=task.total)
        return result

    def _planned(self, plan: WorkPlan, bars: Progress, tasks: dict[str, TaskID], shown: ExitStack) -> None:
        fresh = len(plan.tasks) - plan.reused
        if plan.unchanged:
            self.err.print("nothing changed since this run finished; its results stand")
            return
        if plan.reused and not fresh:
            self.err.print(f"{counted(plan.reused, 'part')} rated already: only Decide and Emit run")
        else:
            reused = f", {plan.reused} rated already" if plan.reused else ""
            self.err.print(f"{counted(fresh, 'part')} to rate{reused}, {plan.bytes / 1e6:,.1f} MB of input")
            from tamis.pipelines.cli.warmup import is_warm

            if not is_warm():
                self.err.print("kernels not there yet are compiled first, for up to 20 seconds; tamis warmup does it ahead")
        if plan.unplanned:
            self.err.print("plan.json was of the corpus before and is gone; plan again when this run is finished (tamis plan)")
        bars.update(tasks["rate"], total=max(plan.bytes, 1))
        bars.update(tasks["decide"], total=len(plan.tasks))
        _show({}, bars, tasks)
        if self.err.is_terminal:
            shown.enter_context(bars)

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
        if counts["repeated"]["documents"]:
            row("repeated", counts["repeated"]["documents"], counts["repeated"]["tokens"], "green")
        for decision in ("dropped", "review"):
            if counts[decision]:
                row(decision, counts[decision], counts["tokens"][decision], "yellow")
                for reason in counts["reasons"]:
                    if reason["decision"] == {"dropped": "drop", "review": "review"}[decision]:
                        row(f"  {reason['reason']}", reason["documents"], reason["tokens"], "dim")
        row("rejected", counts["rejected"], None, "red" if counts["rejected"] else "dim")
        self.out.print(table)
        for warning in manifest["warnings"]:
            self._line("warning", f"[{warning['code']}] {warning['message']}", "yellow")
        if not result.unchanged:
            spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
            self._line("time", f"{spent}; {counted(result.rated, 'part')} rated, {result.reused} reused")
        shards = manifest["curriculum"]["shards"]
        self._line(
            "corpus", f"{result.run}/data ({counted(len(shards), 'shard')}, {manifest['curriculum']['tokens']:,} tokens)"
        )
        if counts["rejected"]:
            self._line("rejects", f"{result.run}/rejects (file, offset and error of each)", "red")
        self._line("report", f"{result.run}/report.html")

    def _line(self, name: str, text: str, style: str = "") -> None:
        """A line as it is: paths are for copying, so nothing is wrapped."""
        self.out.print(Text.assemble((f"{name:<9}", style), text), soft_wrap=True)


def _show(done: dict[str, Done], bars: Progress, tasks: dict[str, TaskID]) -> None:
    """Moves the bars: a movement shows when it has done something, or when the one before it has ended."""
    for name, task in tasks.items():
        state = done.get(name, Done())
        words = f"{state.documents:,} documents, {state.bytes / 1e6:,.0f} MB" if state.documents else ""
        bars.start_task(task)
        bars.update(task, completed=state.work, done=words, visible=True)
        if state.total:  # how many shards there are to emit is known when Decide has ended
            bars.update(task, total=state.total)
        if not bars.tasks[task].finished:
            return
