"""Secret.from_env with the environment as Windows keeps it: the system's block, and a table in the C runtime."""

import ctypes
import os
import sys

import pytest

if sys.platform != "win32":
    pytest.skip("needs Windows, or Wine: run .ci/windows", allow_module_level=True)

import observed_windows as windows
from children import succeed
from strongroom import Secret

NAME = "SR_TEST_TOKEN"
MARK = "env-mark-3141592653-\N{LATIN SMALL LETTER E WITH ACUTE}-not-found-elsewhere"
kernel32 = windows.kernel32
runtime = ctypes.CDLL("ucrtbase")
runtime._wgetenv.restype = ctypes.c_void_p

#: For children: where the system's environment has a text (winternl.h: PEB, then process parameters). It begins with
#: the current values; what lies behind them in the same heap is not part of it.
SYSTEM_BLOCK = """
ntdll = ctypes.WinDLL("ntdll")
from observed_windows import region_at
def place_in_system_block(text):
    facts = (ctypes.c_size_t * 6)()
    assert ntdll.NtQueryInformationProcess(ctypes.c_size_t(-1 & (1 << 64) - 1), 0, facts, 48, None) == 0
    parameters = ctypes.c_size_t.from_address(facts[1] + 0x20).value
    environment = ctypes.c_size_t.from_address(parameters + 0x80).value
    region = region_at(environment)
    block = ctypes.string_at(environment, region.base + region.size - environment)
    return environment + block[: block.index(bytes(4))].index(text.encode("utf-16-le"))
runtime = ctypes.CDLL("ucrtbase")
runtime._wgetenv.restype = ctypes.c_void_p
"""


def test_the_value_arrives_as_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows keeps UTF-16; the secret is the same text in UTF-8."""
    monkeypatch.setenv(NAME, MARK)
    assert Secret.from_env(NAME).reveal() == MARK.encode()
    assert NAME not in os.environ


def test_names_have_no_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere on Windows: another spelling finds the variable and removes it."""
    monkeypatch.setenv(NAME, MARK)
    assert Secret.from_env(NAME.lower()).reveal_text() == MARK
    assert NAME not in os.environ
    assert kernel32.GetEnvironmentVariableW(NAME, None, 0) == 0


def test_a_variable_that_only_windows_knows() -> None:
    """Set behind Python's and the runtime's back: found, and removed from the system."""
    assert kernel32.SetEnvironmentVariableW(NAME, MARK)
    assert NAME not in os.environ
    assert Secret.from_env(NAME).reveal_text() == MARK
    assert kernel32.GetEnvironmentVariableW(NAME, None, 0) == 0


def test_a_variable_that_is_really_empty() -> None:
    """Python cannot set one on Windows, the system can: a ValueError, and it is left alone."""
    assert kernel32.SetEnvironmentVariableW(NAME, "")
    with pytest.raises(ValueError, match=f"{NAME}.*empty"):
        Secret.from_env(NAME)
    assert kernel32.GetEnvironmentVariableW(NAME, None, 0) == 1  # room for the terminator
    assert kernel32.SetEnvironmentVariableW(NAME, None)


def test_half_a_character_is_refused() -> None:
    """A lone surrogate is no text and has no UTF-8: an error with the call's name, and the variable stays."""
    half = ctypes.create_string_buffer(b"\x00\xd8\x00\x00")
    kernel32.SetEnvironmentVariableW.argtypes = None
    assert kernel32.SetEnvironmentVariableW(ctypes.c_wchar_p(NAME), half)
    with pytest.raises(OSError, match="WideCharToMultiByte"):
        Secret.from_env(NAME)
    assert kernel32.SetEnvironmentVariableW(ctypes.c_wchar_p(NAME), None)


@pytest.mark.parametrize("scrub", [True, False])
def test_the_systems_block_and_the_runtimes_table_are_wiped(scrub: bool) -> None:
    """Given at the start, as a service manager does. Without scrub the value is in both places (control)."""
    out = succeed(
        SYSTEM_BLOCK
        + f"""
mark = "env-mark-2718281828"
places = runtime._wgetenv("{NAME}"), place_in_system_block(mark)
assert [ctypes.wstring_at(place) for place in places] == [mark, mark]
secret = Secret.from_env("{NAME}", scrub={scrub})
print(*(ctypes.string_at(place, 2 * len(mark)) == mark.encode("utf-16-le") for place in places))
print(runtime._wgetenv("{NAME}") is not None, len(secret))
""",
        env={NAME: "env-mark-2718281828"},
    )
    assert out.split() == [str(not scrub)] * 3 + ["19"]
