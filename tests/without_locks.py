"""Children that may lock nothing, or nearly, and tell what is made there."""

import json
from pathlib import Path
from typing import Any

import loopmounted
from children import succeed

BEGIN = """
import warnings
from strongroom import ContentsLostError, StrongroomWarning
warnings.simplefilter("always")
directory = {directory!r}
told = {{}}
def warned(make):
    "What it makes, or the error; and what it warns of."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = make()
        except Exception as error:
            made = error
    assert all(one.category is StrongroomWarning for one in caught)
    return made, [str(one.message) for one in caught]
def backing(made):
    return made[0].backing if isinstance(made[0], LockedBuffer) else type(made[0]).__name__
def policy(*fallback, **more):
    return Policy(fallback=fallback, directory=directory, **more)
"""


def limited(code: str, directory: Path, *, limit: int = 0, env: "dict[str, str] | None" = None) -> dict[str, Any]:
    """Run code in a process that may lock so many bytes, and return what it put into ``told``."""
    begin = BEGIN.format(directory=str(loopmounted.on_disk(directory)))
    out = succeed(f"{begin}\nchildren.limit_locks({limit})\n{code}\nprint(json.dumps(told))", env=env)
    result: dict[str, Any] = json.loads(out)
    return result
