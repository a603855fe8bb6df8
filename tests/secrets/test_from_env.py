"""Secret.from_env: the value in, and with ``scrub`` (the default) nothing of it left in the process."""

import os

import pytest

import needs
from children import Live, succeed
from observed import Memory
from strongroom import Secret

NAME = "SR_TEST_TOKEN"
MARK = "env-mark-2718281828-not-found-elsewhere"


def test_the_value_comes_in_and_goes_from_everywhere_python_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret holds it; os.environ, getenv and children do not."""
    monkeypatch.setenv(NAME, MARK)
    secret = Secret.from_env(NAME)
    assert secret.reveal_text() == MARK
    assert NAME not in os.environ
    assert os.getenv(NAME) is None
    with pytest.raises(KeyError, match=NAME):
        Secret.from_env(NAME)


def test_a_second_call_says_where_the_first_one_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """File and line of the user's code, and the remedies; never the value. Set anew, the variable is there again."""
    monkeypatch.setenv(NAME, MARK)
    secret = Secret.from_env(NAME)  # this line
    with pytest.raises(KeyError, match=r"test_from_env\.py:\d+ took it.*scrub=False") as caught:
        Secret.from_env(NAME)
    source, line = str(caught.value).split(" took it")[0].rsplit(" ", 1)[1].rsplit(":", 1)
    with open(source, encoding="utf-8") as file:
        assert "# this line" in file.readlines()[int(line) - 1]
    assert MARK not in str(caught.value)
    monkeypatch.setenv(NAME, "another")
    assert Secret.from_env(NAME, scrub=False) == b"another"
    assert secret == MARK.encode()


def test_without_scrub_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is as it was."""
    monkeypatch.setenv(NAME, MARK)
    assert Secret.from_env(NAME, scrub=False).reveal_text() == MARK
    assert os.environ[NAME] == MARK


@needs.unix
def test_bytes_that_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment holds bytes: they arrive unchanged, whatever the locale."""
    os.environb[NAME.encode()] = b"\xff\xfe caf\xc3\xa9"
    assert Secret.from_env(NAME).reveal() == b"\xff\xfe caf\xc3\xa9"
    assert NAME not in os.environ


@needs.unix
def test_a_variable_that_only_the_c_library_knows() -> None:
    """Set behind Python's back (by a C extension): found and removed as well."""
    assert succeed(f"""
        libc.setenv(b"{NAME}", b"behind", 1)
        assert "{NAME}" not in os.environ
        print(Secret.from_env("{NAME}").reveal_text())
        libc.getenv.restype = ctypes.c_char_p
        print(libc.getenv(b"{NAME}"))
    """).split() == ["behind", "None"]


def test_a_missing_variable_is_a_key_error() -> None:
    """It names the variable."""
    with pytest.raises(KeyError, match="SR_TEST_ABSENT"):
        Secret.from_env("SR_TEST_ABSENT")


@needs.unix
def test_an_empty_variable_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty secret is a mistake in the deployment, not a secret; the variable is left alone."""
    monkeypatch.setenv(NAME, "")
    with pytest.raises(ValueError, match=f"{NAME}.*empty"):
        Secret.from_env(NAME)
    assert os.environ[NAME] == ""


@pytest.mark.parametrize("name", ["", "A=B", "A\0B", None, b"BYTES", 5])
def test_a_name_that_cannot_be_one(name: object) -> None:
    """Refused before the environment is asked."""
    with pytest.raises((ValueError, TypeError)):
        Secret.from_env(name)  # type: ignore[arg-type]


def test_a_long_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a page; one byte; both come in whole."""
    for value in ("x" * 30_000, "y"):
        monkeypatch.setenv(NAME, value)
        assert Secret.from_env(NAME).reveal_text() == value


@needs.linux
@pytest.mark.parametrize("scrub", [True, False])
def test_a_second_process_finds_it_only_without_scrub(scrub: bool) -> None:
    """Set at exec, as a service manager does: the whole process and /proc/PID/environ are searched.

    Without scrub the same search finds it (control).
    """
    with Live(
        f"""
        secret = Secret.from_env("{NAME}", scrub={scrub})
        assert len(secret) == {len(MARK)}
        print("ready", flush=True)
        os.read(0, 1)
        """,
        env={NAME: MARK},
    ) as child:
        assert child.line() == "ready"
        with Memory(child.pid) as memory:
            found = memory.count(MARK.encode())
        with open(f"/proc/{child.pid}/environ", "rb") as file:
            listed = MARK.encode() in file.read()
    assert (found > 0, listed) == (not scrub, not scrub)


def test_the_neighbours_are_unharmed() -> None:
    """Variables before and after it in the block keep name and value, for C and for children."""
    out = succeed(
        f"""
        import subprocess
        Secret.from_env("{NAME}")
        print(os.environ["SR_A"], os.environ["SR_Z"])
        listing = "import os; [print(*pair, sep='=') for pair in os.environ.items() if pair[0][:3] == 'SR_']"
        print(subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout)
        """,
        env={"SR_A": "first", NAME: MARK, "SR_Z": "last"},
    )
    assert out.splitlines()[0] == "first last"
    assert "SR_A=first" in out
    assert "SR_Z=last" in out
    assert NAME not in out


def test_a_refusal_leaves_the_variable_for_another_try() -> None:
    """No memory can be locked for a room: the error has no content, and nothing was scrubbed."""
    out = succeed(
        f"""
        Secret.random(1)
        children.limit_locks(4096)
        try:
            Secret.from_env("{NAME}")
        except LockLimitError as error:
            print("{MARK}" in str(error) + repr(error), os.environ["{NAME}"].startswith("{MARK}"))
        """,
        env={NAME: MARK + "x" * 5000},
    )
    assert out.split() == ["False", "True"]
