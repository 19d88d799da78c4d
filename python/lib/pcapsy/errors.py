"""What can go wrong."""

from __future__ import annotations


class CaptureError(Exception):
    """An input that cannot be read. Its text names the input and says what to do."""

    def __init__(self, message: str, path: str | None = None, offset: int | None = None) -> None:
        super().__init__(message)
        #: The input, as given; ``None`` when it is not about one.
        self.path = path
        #: Where in the (decompressed) input, in bytes; ``None`` when its bytes are not to blame.
        self.offset = offset

    def __reduce__(self) -> tuple[type[CaptureError], tuple[str, str | None, int | None]]:
        return type(self), (str(self), self.path, self.offset)


class ConfigError(ValueError):
    """A configuration that cannot be used. Its text names the key, and the nearest one there is."""
