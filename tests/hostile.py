"""Values that no argument should be, or not that one."""

from pages import Index

#: What must be in no message.
MARKER = "SECRET"


class Raising:
    """Stands for no integer: asking for it is an error of its own."""

    def __index__(self) -> int:
        raise RuntimeError(MARKER)


class Unformattable(int):
    """An integer that must not be asked to show itself."""

    def __format__(self, _spec: str) -> str:
        raise RuntimeError(MARKER)

    __repr__ = __str__ = lambda self: self.__format__("")


HOSTILE: dict[str, object] = {
    "None": None,
    "True": True,
    "False": False,
    "float": 1.5,
    "whole float": 2.0,
    "nan": float("nan"),
    "str": MARKER,
    "bytes": MARKER.encode(),
    "list": [MARKER],
    "object": object(),
    "negative": -1,
    "2**31": 1 << 31,
    "2**63 - 1": (1 << 63) - 1,
    "2**63": 1 << 63,
    "2**64 - 1": (1 << 64) - 1,
    "2**64": 1 << 64,
    "5,000 digits": 10**5000,
    "-5,000 digits": -(10**5000),
    "0x1000": 0x1000,
    "raising": Raising(),
    "negative index": Index(-1),
    "large index": Index(1 << 70),
    "5,000 digits of index": Index(10**5000),
    "str of index": Index(MARKER),  # type: ignore[arg-type]
    "unformattable": Unformattable(1 << 70),
}
