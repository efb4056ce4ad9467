"""Dates of crawls are read in every form that is named, and nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from tamis.transforms.dedup.urls.dates import UNKNOWN, times

NOON = datetime(2021, 5, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2021-05-03T12:00:00Z", NOON),
        ("2021-05-03T12:00:00", NOON),
        ("2021-05-03 12:00:00", NOON),
        ("2021-05-03T14:00:00+02:00", NOON),
        ("2021-05-03T12:00:00.000000Z", NOON),
        ("20210503120000", NOON),
        ("1620043200", NOON),
        ("1620043200000", NOON),
        ("1620043200000000", NOON),
        ("Mon, 03 May 2021 12:00:00 GMT", NOON),
        (" 2021-05-03 ", datetime(2021, 5, 3, tzinfo=UTC)),
        ("20210503", datetime(2021, 5, 3, tzinfo=UTC)),
        ("2021-05", datetime(2021, 5, 1, tzinfo=UTC)),
        ("202105", datetime(2021, 5, 1, tzinfo=UTC)),
        ("2021", datetime(2021, 1, 1, tzinfo=UTC)),
        ("1969-12-31T23:59:59Z", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_forms_of_dates(text: str, when: datetime | None) -> None:
    found = int(times(pa.array([text]))[0])
    if when is None:
        assert found < 0
    else:
        assert found == round(when.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    "text", ["", " ", "yesterday", "12", "2021-13", "20211301", "2021-02-30", "99999999999999", "①②③④", None]
)
def test_what_is_no_date_is_unknown(text: str | None) -> None:
    assert times(pa.array([text], pa.string())).tolist() == [UNKNOWN]


def test_rows_keep_their_order() -> None:
    dates = pa.array(["2021", None, "2020", "2021", "?"], pa.string())
    assert times(dates).argsort(kind="stable").tolist() == [1, 4, 2, 0, 3]
