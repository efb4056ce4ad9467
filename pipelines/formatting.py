"""Formats numbers and the values of signals for people, in the terminal and in the report."""


def plural(number: int, noun: str) -> str:
    """1 part, 1,234 parts."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def compact(value: float) -> str:
    """Three significant digits: 987, 12.3k, 4.56M, 7.89B, 1.2T."""
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if suffix == 'k' else size):.3g}{suffix}"
    return f"{value:,.0f}"


def share(value: float) -> str:
    """A percentage. A positive share is never shown as 0%, nor one below 1 as 100%."""
    percent = 100 * value
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%"


def number(value: float) -> str:
    """Three significant digits below 1,000, all digits above."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def signal_value(value: object) -> str:
    """The value of a signal: six significant digits of a number, a label, or several of them; of what no person can
    read, how many there are."""
    if isinstance(value, list) and any(isinstance(item, bytes) for item in value):
        return plural(len(value), "record")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "missing" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def storage_size(value: float) -> str:
    """A size in bytes: 512 bytes, 1.5 kB, 16 MB."""
    for size, suffix in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:,.3g} {suffix}"
    return f"{value:,.0f} bytes"


def duration(seconds: float | None) -> str:
    """A duration in at most two units: 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    left = round(seconds or 0)
    if left < 60:
        return f"{left} s"
    for size, name, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if left >= size:
            rest = left % size // below
            return f"{left // size} {name}" + (f" {rest} {small}" if rest else "")
    return f"{left} s"
