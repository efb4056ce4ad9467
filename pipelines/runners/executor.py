"""Executes a Beam pipeline on this machine: one chain of functions after the other, from shuffle to shuffle.

Beam's own local runner encodes every element, starts a bundle for every stage, and deals the elements
out before it knows which are slow: of a run over one document it takes .6 CPU seconds, three times as
much as the functions. Here an element is a Python object, and a worker that has finished one takes the
next.

What the DAG is made of can be executed: Impulse, ParDo with side inputs, GroupByKey and Flatten, and
what consists of them, such as Create and CombineGlobally. Windows, states, timers, bundles and
splittable functions cannot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.internal.util import insert_values_in_args
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.pvalue import AsSideInput, PValue
from apache_beam.transforms import core

Apply = Callable[["Chain", Sequence[Any]], list[Any]]
"""Applies a chain to elements: the outputs, in the order of the elements."""


@dataclass(frozen=True)
class Call:
    """One ParDo: its function, and the side inputs and other arguments after the element."""

    function: beam.DoFn
    arguments: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()

    def __call__(self, element: Any) -> Iterable[Any]:
        return self.function.process(element, *self.arguments, **dict(self.named)) or ()


@dataclass(frozen=True)
class Chain:
    """ParDos of which each has the outputs of the one before: no output is kept between them."""

    calls: tuple[Call, ...] = ()

    def __call__(self, elements: Iterable[Any]) -> Iterator[Any]:
        self.set_up()
        yield from self.outputs(elements)
        self.tear_down()

    def set_up(self) -> None:
        for call in self.calls:
            call.function.setup()

    def outputs(self, elements: Iterable[Any]) -> Iterable[Any]:
        for call in self.calls:
            elements = _flat_map(call, elements)
        return elements

    def tear_down(self) -> None:
        for call in self.calls:
            call.function.teardown()


def _flat_map(call: Call, elements: Iterable[Any]) -> Iterator[Any]:
    for element in elements:
        yield from call(element)


def execute(pipeline: beam.Pipeline, apply: Apply) -> None:
    """Runs every transform of `pipeline` once. `apply` runs chains: here (`apply_here`), or on workers."""
    transforms = _Transforms()
    pipeline.visit(transforms)
    _Execution(transforms.leaves, apply).run()


def apply_here(chain: Chain, elements: Sequence[Any]) -> list[Any]:
    return list(chain(elements))


class _Transforms(PipelineVisitor):
    """The transforms that have no parts, each after those that it reads."""

    def __init__(self) -> None:
        self.leaves: list[AppliedPTransform] = []

    def visit_transform(self, applied: AppliedPTransform) -> None:
        self.leaves.append(applied)


class _Execution:
    def __init__(self, leaves: list[AppliedPTransform], apply: Apply) -> None:
        self._leaves, self._apply = leaves, apply
        self._uses = Counter(value for leaf in leaves for value in _inputs(leaf))
        self._elements: dict[PValue, list[Any]] = {}
        self._pending: dict[PValue, tuple[Chain, PValue]] = {}  # what makes the elements of a value that has one reader

    def run(self) -> None:
        for leaf in self._leaves:
            output, transform = leaf.outputs[None], leaf.transform
            if isinstance(transform, beam.ParDo):
                self._extend(leaf, transform, output)
            elif isinstance(transform, beam.Impulse):
                self._elements[output] = [b""]
            elif isinstance(transform, beam.GroupByKey):
                self._elements[output] = _grouped(self._read(leaf.inputs[0]))
            elif isinstance(transform, beam.Flatten):
                self._elements[output] = [element for value in leaf.inputs for element in self._read(value)]
            else:
                raise _unknown(leaf, type(transform).__name__)

    def _extend(self, leaf: AppliedPTransform, transform: beam.ParDo, output: PValue) -> None:
        """Adds a ParDo to the chain that makes its input, or starts one. A chain that ends here runs:
        its output has several readers, or none."""
        function = transform.fn
        if any(
            isinstance(default, core._DoFnParam)
            for default in core.get_function_args_defaults(function._process_argspec_fn())[1]
        ):
            raise _unknown(leaf, "a function that asks for windows, times or states")
        if not _has_no_bundles(type(function)):
            raise _unknown(leaf, "a function of bundles")
        sides = [self._view(side) for side in transform.side_inputs]
        arguments, named = insert_values_in_args(transform.args, transform.kwargs, sides)
        call = Call(function, tuple(arguments), tuple(named.items()))
        source = leaf.inputs[0]
        before, source = self._pending.pop(source, (Chain(), source))
        self._pending[output] = Chain((*before.calls, call)), source
        if not self._uses[output]:
            self._run(output)
        elif self._uses[output] > 1:
            self._elements[output] = self._run(output)

    def _run(self, value: PValue) -> list[Any]:
        chain, source = self._pending.pop(value)
        return self._apply(chain, self._read(source))

    def _read(self, value: PValue) -> list[Any]:
        """The elements of `value`, which are forgotten once the last of its readers has them."""
        if value in self._pending:
            return self._run(value)
        self._uses[value] -= 1
        return self._elements[value] if self._uses[value] else self._elements.pop(value)

    def _view(self, side: AsSideInput) -> Any:
        return side._side_input_data().view_fn(self._read(side.pvalue))


def _has_no_bundles(function: type[beam.DoFn]) -> bool:
    return all(getattr(function, name) is getattr(beam.DoFn, name) for name in ("start_bundle", "finish_bundle"))


def _unknown(leaf: AppliedPTransform, kind: str) -> TypeError:
    return TypeError(f"cannot execute {leaf.full_label}: {kind} is no part of the DAG")


def _inputs(leaf: AppliedPTransform) -> list[PValue]:
    return [*leaf.inputs, *(side.pvalue for side in leaf.side_inputs)]


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[Any, list[Any]]]:
    """The values of each key, in the order in which both came."""
    groups: dict[Any, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return list(groups.items())
