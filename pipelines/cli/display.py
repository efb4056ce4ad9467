"""Shows a run to a person: progress bars on standard error, a table on standard output."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tamis.pipelines.formatting import duration, plural
from tamis.pipelines.releases.comparison import comparison
from tamis.pipelines.releases.comparison import lines as comparison_lines
from tamis.pipelines.run.progress import MOVEMENTS, MovementProgress, Observer
from tamis.pipelines.run.run_warnings import unread_files
from tamis.transforms import storage
from tamis.transforms.core.manifest import CharacterRow, Counts, character_rows
from tamis.transforms.core.release import MANIFEST, release_folder

if TYPE_CHECKING:
    from tamis.pipelines.run.launch import Result
    from tamis.pipelines.run.work_plan import WorkPlan


BAR = 24
"""Characters of a bar."""

FIRST_SPEED = 0.5
"""Seconds after which a speed can be told."""


class Display(Observer):
    """An observer of a run: bars on a terminal, from its construction on, else one line that says how
    much there is to do; and the documents by decision and reason, between the bars of Decide and Emit.
    `quiet`: only warnings. As a context manager it leaves the terminal in order when the run fails.
    `has_told`: whether the documents were printed."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self.has_told = False
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars, self._emit_bars = _bars(self._console), _bars(self._console)
        self._planning = self._bars.add_task("plan", total=None, visible=False, counts="looks at the input", left="")
        hidden: dict[str, Any] = {"total": None, "start": False, "visible": False, "counts": "", "left": ""}
        bars = {name: self._emit_bars if name == "emit" else self._bars for name in MOVEMENTS}
        self._tasks = {name: (each, each.add_task(name, **hidden)) for name, each in bars.items()}
        self._speeds = {name: _Speed() for name in MOVEMENTS}

    def __enter__(self) -> Display:
        if self._console.is_terminal and not self._quiet:
            self._bars.update(self._planning, visible=True)
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.update(self._planning, visible=False)
        for bars in (self._bars, self._emit_bars):
            if bars.live.is_started:
                bars.stop()

    def planned(self, plan: WorkPlan) -> None:
        parts = len(plan.tasks)
        self._bars.update(self._planning, visible=False)
        for warning in unread_files(plan.unread):
            self._console.print(warning.message)
        for line in plan.forecast:
            self._console.print(line, style="yellow", markup=False)
        if self._quiet:
            return
        if plan.unchanged is not None:
            self._console.print(f"nothing changed since release {plan.number}; it stays the current one")
            return
        if plan.mended is not None:
            files = f"{plan.damaged[0].path}{f' and {len(plan.damaged) - 1} more' if len(plan.damaged) > 1 else ''}"
            self._console.print(f"release {plan.number} is damaged ({files}): the files are made again")
        if plan.reused == parts > 0:
            self._console.print(f"{plural(parts, 'part')} rated already: only Decide and Emit run")
        else:
            reused = f", {plan.reused} rated already" if plan.reused else ""
            size = f"{plan.bytes / 1e6:,.1f} MB of input"
            self._console.print(f"{plural(parts - plan.reused, 'part')} to rate{reused}, {size}")
            from tamis.pipelines.cli.compile_kernels import is_warm

            if not is_warm():
                self._console.print("compiling kernels first, for about a minute; tamis warmup does that ahead of a run")
        for name, total in (("rate", max(plan.bytes, 1)), ("decide", parts)):
            bars, task = self._tasks[name]
            bars.update(task, total=total)
        self.progress({})

    def progress(self, movements: Mapping[str, MovementProgress]) -> None:
        """Moves the bars. A movement appears when the one before it is full."""
        for name, (bars, task) in self._tasks.items():
            movement = movements.get(name, MovementProgress())
            if movement.total:  # how many parts and shards there are is known once Decide is through
                bars.update(task, total=movement.total)
            bars.start_task(task)
            total = int(bars.tasks[task].total or 0)
            done = movement.done(total)
            counts, left = self._speeds[name].words(movement, done, total)
            bars.update(task, completed=done, counts=counts, left=left, visible=True)
            if not bars.tasks[task].finished:
                return

    def decided(self, counts: Counts) -> None:
        """Prints the documents by decision and reason; the bar of Emit goes on below them."""
        if self._quiet:
            return
        is_live = self._bars.live.is_started
        if is_live:
            self._bars.stop()
        with suppress(BrokenPipeError):  # what is printed at the end meets it, too
            print_counts(counts)
        self.has_told = True
        if is_live:
            self._emit_bars.start()

    def finished(self, result: Result) -> None:
        bars, task = self._tasks["emit"]
        bars.update(task, total=1)
        for bars, task in self._tasks.values():
            bars.update(task, completed=bars.tasks[task].total)


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<7}"),
        BarColumn(BAR),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
    )


class _Speed:
    """How fast a movement is, since its first progress: what comes before is its start."""

    def __init__(self) -> None:
        self._first: tuple[float, MovementProgress, int] | None = None
        self._end: float | None = None

    def words(self, movement: MovementProgress, done: int, total: int) -> tuple[str, str]:
        """(documents, documents and megabytes of text a second; the time left) for a person."""
        if not movement.documents and not done:
            return "starting", ""
        now = self._end or time.monotonic()
        if total and done >= total:
            self._end = now
        if self._first is None:
            self._first = now, movement, done
        start, first, before = self._first
        seconds = now - start
        counts = [f"{movement.documents:,} documents"] if movement.documents else []
        if seconds >= FIRST_SPEED and movement.documents > first.documents:
            counts.append(f"{(movement.documents - first.documents) / seconds:,.0f}/s")
            counts.append(f"{(movement.text_bytes - first.text_bytes) / 1e6 / seconds:,.1f} MB/s")
        left = ""
        if seconds >= FIRST_SPEED and before < done < total:
            left = f"{duration(seconds * (total - done) / (done - before))} left"
        return ", ".join(counts), left


def _character_table(rows: Sequence[CharacterRow]) -> Table:
    """Where the characters went."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for title in ("removed", "inserted", "characters"):
        table.add_column(title, justify="right")
    for row in rows:
        removed, inserted = (f"{sign}{count:,}" if count else "" for sign, count in (("-", row.removed), ("+", row.inserted)))
        total = "" if row.total is None else f"{row.total:,}"
        style = "dim" if row.detail else "green" if row.name == "kept" else "bold" if row.total is not None else ""
        table.add_row(f"  {row.name}" if row.detail else row.name, removed, inserted, total, style=style)
    return table


def print_warnings(result: Result) -> None:
    """Prints the warnings of a run on standard error."""
    console = Console(stderr=True, highlight=False)
    for warning in result.manifest["warnings"]:
        console.print(Text(f"warning  [{warning['code']}] {warning['message']}", "yellow"), soft_wrap=True)


def print_counts(counts: Counts) -> None:
    """Prints the documents by decision and reason."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for title in ("documents", "tokens", "share"):
        table.add_column(title, justify="right")

    def add(name: str, documents: int, tokens: int | None, style: str = "") -> None:
        share = documents / (counts["records"] or 1)
        table.add_row(name, f"{documents:,}", "" if tokens is None else f"{tokens:,}", f"{share:.1%}", style=style)

    add("in", counts["records"], counts["tokens"]["in"], "bold")
    add("kept", counts["kept"], counts["tokens"]["kept"], "green")
    if counts["repeated"]["documents"]:
        add("repeated", counts["repeated"]["documents"], counts["repeated"]["tokens"], "green")
    for decision, name, documents, tokens in (
        ("drop", "dropped", counts["dropped"], counts["tokens"]["dropped"]),
        ("review", "review", counts["review"], counts["tokens"]["review"]),
    ):
        if documents:
            add(name, documents, tokens, "yellow")
            for reason in counts["reasons"]:
                if reason["decision"] == decision:
                    add(f"  {reason['reason']}", reason["documents"], reason["tokens"], "dim")
    add("rejected", counts["rejected"], None, "red" if counts["rejected"] else "dim")
    if skipped := counts.get("skipped_reasons"):
        add("skipped", sum(skipped.values()), None, "dim")
        for kind, records in sorted(skipped.items(), key=lambda item: -item[1]):
            add(f"  {kind}", records, None, "dim")
    Console(highlight=False).print(table)


def print_result(result: Result, has_counts: bool) -> None:
    """Prints where the characters went, the time of each movement, and the paths; before, unless they are printed,
    the counts."""
    console = Console(highlight=False)
    manifest, run = result.manifest, result.run
    counts = manifest["counts"]
    if not has_counts:
        print_counts(counts)

    def line(name: str, text: str, style: str = "") -> None:
        console.print(Text.assemble((f"{name:<9}", style), text), soft_wrap=True)  # paths are for copying

    if changes := character_rows(counts):
        console.print()
        console.print(_character_table(changes))
    for warning in manifest["warnings"]:
        line("warning", f"[{warning['code']}] {warning['message']}", "yellow")
    if not result.unchanged:
        times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
        line("time", f"{times}; {plural(result.rated, 'part')} rated, {result.reused} reused")
        if (compared := comparison(result.release)) is not None:
            for number, change in enumerate(comparison_lines(compared)):
                line("" if number else "changed", change)
            if storage.exists(storage.join(release_folder(run, compared.before), MANIFEST)):  # it may have been removed
                line("compare", f"tamis diff {run}@{compared.before} {run}@{result.release.number}")
    curriculum = manifest["curriculum"]
    folder = result.release.folder
    line("corpus", f"{folder}/data ({plural(len(curriculum['shards']), 'shard')}, {curriculum['tokens']:,} tokens)")
    if counts["rejected"]:
        line("rejects", f"{run}/rejects (file, offset and error of each)", "red")
    line("report", f"{folder}/report.html")
