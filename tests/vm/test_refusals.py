"""What the system refuses, and calls that meet: nothing is changed by what failed, and nothing is ever half done.

Each in a process of its own: its system calls are made to fail, or its mappings run out.
"""

import pytest

import faultinject
from children import succeed
from pages import needs_proc

pytestmark = [
    needs_proc,
    pytest.mark.skipif(not faultinject.is_supported(), reason="making calls fail is written for Linux x86_64, aarch64"),
]

START = """
    import faultinject
    from strongroom import vm
    from pages import PAGE, letters, locked
    region = vm.reserve(6 * PAGE)
    region.commit(0, 4 * PAGE)
    region.write(0, b"1337")
    region.protect(PAGE, PAGE, vm.READ_ONLY)
    region.lock(PAGE, 2 * PAGE)
    ASIS = ["rw-", "r--", "rw-", "rw-", "---", "---"]
    def refused(call, code, attempt):
        before = region.pages()
        try:
            attempt()
        except SystemCallError as error:
            assert (call, code) == (error.call, error.code), error
            words = str(error)
        else:
            raise SystemExit("nothing was raised")
        assert not region.is_released
        assert ASIS == letters(region), letters(region)
        assert [1, 2] == locked(region)
        assert before == region.pages()
        return words
"""

REFUSALS = {
    "mprotect": (
        "protect, commit",
        """
        for attempt in (lambda: region.protect(0, 4 * PAGE, vm.NO_ACCESS), lambda: region.commit(),
                        lambda: region.protected(0, 4 * PAGE, vm.READ_ONLY).__enter__()):
            assert "nothing was changed" in refused("mprotect", errno.ENOMEM, attempt)
        """,
    ),
    "mmap": (
        "decommit",
        """
        assert "nothing was changed" in refused("mmap", errno.ENOMEM, lambda: region.decommit(2 * PAGE, PAGE))
        assert b"1337" == region.read(0, 4)
        """,
    ),
    "munmap": (
        "release",
        """
        refused("munmap", errno.ENOMEM, lambda: region.release())
        assert b"1337" == region.read(0, 4)
        def leave():
            with region:
                pass
        refused("munmap", errno.ENOMEM, leave)
        """,
    ),
    "mlock": ("lock", """refused("mlock", errno.ENOMEM, lambda: region.lock(0, 4 * PAGE))"""),
    "munlock": ("unlock", """refused("munlock", errno.ENOMEM, lambda: region.unlock(PAGE, 2 * PAGE))"""),
}


@pytest.mark.parametrize("call", REFUSALS)
def test_what_the_system_refuses_changes_nothing(call: str) -> None:
    """The error names the call, and pages, locks, contents and our own books are as before."""
    import textwrap

    body = textwrap.indent(textwrap.dedent(REFUSALS[call][1]), "    ")
    succeed(START + f"    faultinject.deny({call!r}, errno.ENOMEM)\n" + body)


@pytest.mark.parametrize("code", ["ENOSYS", "EPERM"])
def test_without_process_vm_readv(code: str) -> None:
    """In sandboxes that forbid it reading, writing and filling work as well, and refuse as well."""
    succeed(
        START
        + f"""
    faultinject.deny("process_vm_readv", errno.{code})
    data = bytes(range(256)) * (4 * PAGE // 256)
    region.protect(0, 4 * PAGE, vm.READ_WRITE)
    assert 4 * PAGE == region.write(0, data)
    assert data == region.read(0, 4 * PAGE)
    region.fill(3, 5, 7)
    assert data[:3] + bytes([7]) * 5 + data[8:] == region.read(0, 4 * PAGE)
    import pages
    pages.others_protect(region.address + 2 * PAGE, PAGE, pages.PROT_NONE)
    for attempt in (lambda: region.read(PAGE, 2 * PAGE), lambda: region.write(PAGE, data[: 2 * PAGE]),
                    lambda: region.fill(PAGE, 2 * PAGE, 1)):
        try:
            attempt()
        except AccessError as error:
            assert "other code" in str(error), error
        else:
            raise SystemExit("nothing was raised")
    """
    )


def test_when_mappings_run_out() -> None:
    """Every other page protected until vm.max_map_count is reached: a clear error, and all pages are as they were."""
    succeed("""
        from strongroom import vm
        from pages import PAGE, letters
        with open("/proc/sys/vm/max_map_count") as file:
            most = int(file.read())
        if most > 200_000:
            children.skip("takes too long where vm.max_map_count is more than 200,000")
        try:
            region = vm.allocate((most + 10) * 2 * PAGE)
        except SystemCallError as error:
            children.skip(f"this machine does not promise so much (vm.overcommit_memory): {error}")
        done = 0
        try:
            while True:
                region.protect(2 * done * PAGE, PAGE, vm.READ_ONLY)
                done += 1
        except SystemCallError as error:
            assert "vm.max_map_count" in str(error), error
        assert most // 2 - 2000 < done < most // 2 + 1, done
        around = (2 * done - 4) * PAGE
        expected = ["r--", "rw-"] * 2 + ["rw-"] * 4
        def shown_now():
            "Line by line: Python's heap cannot grow either."
            start = region.address + around
            pages = []
            with open("/proc/self/maps", "rb") as file:
                for line in file:
                    low, high = (int(part, 16) for part in line.split(b" ", 1)[0].split(b"-"))
                    while low <= start + len(pages) * PAGE < high and len(pages) < 8:
                        pages.append(line.split(b" ", 2)[1][:3].decode())
            return pages
        assert expected == shown_now()
        try:
            region.protect(around, 8 * PAGE, vm.EXECUTE_READ)      # needs no more mappings than there are
        except SystemCallError:
            assert expected == shown_now()
        told = [run.protection for run in region.pages(around, 8 * PAGE) for _ in range(run.size // PAGE)]
        shown = {"r--": vm.READ_ONLY, "rw-": vm.READ_WRITE, "r-x": vm.EXECUTE_READ}
        assert [shown[letters] for letters in shown_now()] == told
        try:
            region.decommit(((2 * done) // 2 | 1) * PAGE, PAGE)    # a page in the middle: one mapping more
        except SystemCallError as error:
            assert "vm.max_map_count" in str(error), error
        region.release()
        vm.allocate(PAGE).release()
    """)


def test_many_threads_and_forks() -> None:
    """Threads that lock, protect, view, secure and decommit one region while others fork: no crash, no deadlock, and
    in the end the books are the kernel's."""
    succeed("""
        import random
        from strongroom import vm
        from pages import LETTERS, PAGE, seen
        region = vm.allocate(12 * PAGE)  # locked once, which a limit of 64 KiB allows
        end = time.monotonic() + 1.0
        strange = []
        def work(seed):
            pick = random.Random(seed)
            while time.monotonic() < end:
                offset, size = pick.randrange(12) * PAGE, PAGE * pick.choice((1, 2, 12))
                size = min(size, region.size - offset)
                try:
                    pick.choice((
                        lambda: region.commit(offset, size),
                        lambda: region.decommit(offset, size),
                        lambda: region.protect(offset, size, pick.choice((vm.READ_ONLY, vm.READ_WRITE, vm.NO_ACCESS))),
                        lambda: region.lock(offset, size),
                        lambda: region.unlock(offset, size),
                        lambda: region.write(offset, b"x" * size),
                        lambda: region.read(offset, size),
                        lambda: region.secure(offset, size, vm.READ_ONLY).unsecure(),
                        lambda: region.view(offset, size, "rw").__enter__()[0],
                        lambda: region.locked(offset, size).__enter__(),
                        lambda: vm.query(region.address + offset),
                    ))()
                except (AccessError, BufferError, SecuredError):
                    pass
                except BaseException as error:
                    strange.append(error)
                    raise
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        def look():
            try:
                region.read(0, PAGE)
                region.decommit(PAGE, PAGE)
            except (AccessError, BufferError):
                pass
            return "fine"
        while time.monotonic() < end:
            assert "fine" == children.forked(look)
        for thread in threads:
            thread.join()
        assert not strange, strange
        gc.collect()
        told = [run for run in region.pages() for _ in range(run.size // PAGE)]
        shown = seen(region.address, region.size)
        expected = [LETTERS[run.protection] if run.protection else "---" for run in told]
        assert expected == [page.letters for page in shown]
        assert [run.locks > 0 for run in told] == [page.is_locked for page in shown]
        region.release()
    """)


def test_a_guard_page_that_cannot_be_unguarded() -> None:
    """The error is the system's, about this page; nobody is accused of having changed it, and the guard stays."""
    succeed(
        START
        + """
    region.protect(0, PAGE, vm.READ_WRITE | vm.GUARD)
    faultinject.deny("mprotect", errno.ENOMEM)
    for verb, attempt in (("read", lambda: region.read(0, 1)), ("write", lambda: region.write(0, b"1")),
                          ("fill", lambda: region.fill(0, 1)), ("view", lambda: region.view(0, 1).__enter__())):
        try:
            attempt()
        except SystemCallError as error:
            assert ("mprotect", errno.ENOMEM) == (error.call, error.code), error
            assert f"{verb}: the page at offset 0x0 is a guard page" in str(error), error
            assert "other code has protected" not in str(error), error
        else:
            raise SystemExit("nothing was raised")
    assert region.pages(0, PAGE)[0].protection == vm.READ_WRITE | vm.GUARD
    """
    )
