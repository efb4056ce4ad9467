"""Outputs are written into a page without touching what its author left out."""

from __future__ import annotations

from tests.docs.write_outputs import new_output

PRINTED = "in   120\nkept  80\n\nnothing else\n"


def test_an_output_that_is_not_there_yet_is_written_whole() -> None:
    assert new_output([], PRINTED) == PRINTED


def test_lines_that_are_there_get_the_new_numbers() -> None:
    assert new_output(["in   100", "...", "nothing else"], PRINTED) == "in   120\n...\nnothing else\n"


def test_a_line_that_is_no_longer_printed_stays_for_the_test_to_find() -> None:
    assert new_output(["gone 7", "kept  5"], PRINTED) == "gone 7\nkept  80\n"


def test_a_command_that_prints_nothing_gets_nothing() -> None:
    assert new_output([], "") == ""
