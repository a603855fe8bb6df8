"""Secrets with known content, and arrays over any buffer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom import Secret


def made_of(content: bytes, **how: Any) -> Secret:
    """Return a secret with this content; ``how`` is what every way of making one takes."""
    return Secret.build(len(content), lambda view: view.__setitem__(slice(None), content), **how)


def array_of(buffer: Any) -> NDArray[np.uint8]:
    """Return a NumPy array over the memory of a buffer."""
    return np.frombuffer(buffer, dtype=np.uint8)
