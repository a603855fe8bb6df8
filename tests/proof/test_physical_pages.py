"""Physical pages under pressure: a store eight times its window, in its own control group, against a real swap file."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

import proving
from strongroom.prove.victim.paged import STORE_PAGES, WINDOW_PAGES

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")

#: strongroom's own stores, made to do it wrong: not locked any more, or a window that shows what it likes.
FAULTY = """
import ctypes
from strongroom import vm
libc, made, shown = ctypes.CDLL(None), vm.physical, vm.Window.map
libc.munlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
def physical(size, *, backing="auto"):
    store = made(size, backing=backing)
    with open("/proc/self/maps") as lines:
        for line in lines:
            if "unlocked" in FAULTS and "/memfd:strongroom" in line:
                start, end = (int(word, 16) for word in line.split()[0].split("-"))
                libc.munlock(start, end - start)
    return store
def map(window, pages, offset=0):
    if "astray" in FAULTS and len(pages) == 8 and 32 in pages:
        pages = pages.store[33:41]
    return shown(window, pages, offset)
vm.physical, vm.Window.map = physical, map
"""


def test_a_store_eight_times_its_window() -> None:
    """No page of either kind is in the swap file, each is right window by window; all ordinary pages are there."""
    proving.swap_or_skip()
    assert STORE_PAGES == 8 * WINDOW_PAGES
    run = proving.prove("--json", "--only", "physical")
    assert list(run.rows) == ["physical-secretmem", "physical-locked"]
    for row_id, row in run.rows.items():
        cell = row["cells"][row_id.replace("physical", "store")]
        if cell["word"] == "not tried" and cell["needs"] == "needs a kernel that offers it":
            continue
        proving.assert_nothing_leaked(row)
        assert (cell["word"], cell["copies"], cell["half_copies"]) == ("held", 0, 0)
        assert cell["backing"] == {"physical-secretmem": "secretmem", "physical-locked": "shared"}[row_id]
        # The plain pages, and those that the locked window had left behind.
        assert row["cells"]["ordinary"]["copies"] >= STORE_PAGES + STORE_PAGES - 2 * WINDOW_PAGES
        assert row["evidence"].endswith(f"{STORE_PAGES} pages right, in 8 windows")
        assert row["attack"]["swapped_stores"] == 0
        assert row["attack"]["is_complete"] is True
    assert run.code == 0, run.out + run.err
    assert {change["what"] for change in run.content["changes"]} >= {"swap file"}


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [("", 0, {"held"}), ("unlocked", 1, {"held", "LEAKED"}), ("astray", 3, {"not tried"})],
)
def test_a_store_with_a_fault_is_found_out(tmp_path: Path, fault: str, code: int, words: set[str]) -> None:
    """Shared memory that is not locked leaks; a window that shows other pages than asked for proves nothing."""
    proving.swap_or_skip()
    (tmp_path / "sitecustomize.py").write_text(f"FAULTS = {fault.split()!r}\n" + FAULTY)
    run = proving.prove("--json", "--only", "physical", environment={"PYTHONPATH": str(tmp_path)})
    if run.rows["physical-secretmem"]["cells"]["store-secretmem"]["needs"] == "needs a kernel that offers it":
        pytest.skip("needs secret memory beside the locked store: Linux 5.14, and secretmem.enable=1 before 6.5")
    assert (run.code, {row["strongroom"] for row in run.rows.values()}) == (code, words), run.out + run.err
    if fault == "unlocked":
        assert run.rows["physical-locked"]["strongroom"] == "LEAKED"
        assert run.rows["physical-locked"]["cells"]["store-locked"]["copies"] >= WINDOW_PAGES
        assert run.rows["physical-secretmem"]["strongroom"] == "held"
    if fault == "astray":
        assert "does not show what was there" in run.rows["physical-locked"]["needs"]


def test_without_root_it_says_what_it_needs() -> None:
    """No swap file of one's own, no trial: said, and no fault."""
    proving.unprivileged_or_skip()
    run = proving.prove("--json", "--only", "physical", "--only", "freed", unprivileged=True)
    assert run.rows["physical-secretmem"]["needs"] == run.rows["physical-locked"]["needs"] == "needs root"
