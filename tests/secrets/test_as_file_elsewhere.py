"""Secret.as_file where the system has no such files."""

import pytest

import needs
from samples import made_of
from strongroom import UnsupportedError


@pytest.mark.skipif(needs.LINUX, reason="needs a system other than Linux, which has these files")
def test_what_to_do_instead() -> None:
    """UnsupportedError that names write_to(); the secret is unharmed."""
    secret = made_of(b"content")
    with pytest.raises(UnsupportedError, match=r"write_to\(\)"), secret.as_file():
        pass
    assert secret == b"content"
