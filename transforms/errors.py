"""The error a person can act on: it says what, where and what to do, and reaches them without a traceback."""


class RunError(Exception):
    """Stops a run. The message is for the person who started it; a runner may carry it across processes as text."""

    @classmethod
    def from_traceback(cls, text: str) -> "RunError | None":
        """The error inside a worker's traceback: runners in other processes keep its text and lose its type."""
        marker = f"{cls.__module__}.{cls.__qualname__}: "
        if marker not in text:
            return None
        message = text.rsplit(marker, 1)[1]
        # Beam appends the step ("… [while running 'Rate/…']") and its own frames after the message.
        for end in (" [while running", "\nTraceback", "\n\nDuring handling", "\n\nThe above exception"):
            message = message.split(end, 1)[0]
        return cls(message.strip())
