"""Each system call on the way to memory that may vanish is made to fail: the right error, and nothing is left."""

import errno
import os
import shutil

import pytest

import refusing
import vanishing
from children import succeed
from refusing import DONTDUMP, DONTFORK, MAP_SHARED, NOHUGEPAGE, UNMERGEABLE

pytestmark = refusing.needs_injection

MAP_DROPPABLE_ANONYMOUS = 0x28
REMOVE, POPULATE_READ, POPULATE_WRITE = 9, 22, 23
#: With what flags the directory is opened, and the file in it.
_CLOSED_BY_EXEC = getattr(os, "O_CLOEXEC", 0)
DIRECTORY = getattr(os, "O_DIRECTORY", 0) | _CLOSED_BY_EXEC
NAMELESS = getattr(os, "O_TMPFILE", 0) | os.O_EXCL | os.O_RDWR | _CLOSED_BY_EXEC

BEFORE = """
def attempted():
    with VolatileBuffer(32, backing={backing!r}{more}) as volatile:
        volatile.copy_from(b"m" * 32)
        lacking = [name for name, one in volatile.guarantees().items() if one.state == "refused"]
        return ["made", volatile == b"m" * 32, lacking]
"""


def attempt(
    backing: vanishing.Kind, call: str, code: int, condition: tuple[int, int] | None = None, more: str = ""
) -> list[object]:
    """Return [error type, call, errno] of equal attempts, which must leave nothing."""
    vanishing.require(backing)
    return refusing.attempt(BEFORE.format(backing=backing, more=more), "deleted", call, code, condition)


CALLS: list[tuple[vanishing.Kind, str, int, tuple[int, int] | None, str]] = [
    ("droppable", "mmap", errno.ENOMEM, (3, MAP_DROPPABLE_ANONYMOUS), "mmap(MAP_DROPPABLE)"),
    ("droppable", "mremap", errno.ENOMEM, None, "mremap(MAP_DROPPABLE)"),
    ("droppable", "madvise", errno.EINVAL, (2, DONTFORK), "madvise(MADV_DONTFORK)"),
    ("droppable", "madvise", errno.EINVAL, (2, DONTDUMP), "madvise(MADV_DONTDUMP)"),
    ("partial", "openat", errno.EMFILE, (2, DIRECTORY), "open(directory)"),
    ("partial", "openat", errno.EACCES, (2, DIRECTORY), "open(directory)"),
    ("partial", "openat", errno.EMFILE, (2, NAMELESS), "open(O_TMPFILE)"),
    ("partial", "pwrite64", errno.ENOSPC, None, "pwrite(private file)"),
    ("partial", "pwrite64", errno.EIO, None, "pwrite(private file)"),
    ("partial", "mmap", errno.ENOMEM, (3, MAP_SHARED), "mmap(private file)"),
    ("partial", "mremap", errno.ENOMEM, None, "mremap(private file)"),
    ("partial", "msync", errno.EIO, None, "msync"),
    ("partial", "madvise", errno.EINVAL, (2, DONTFORK), "madvise(MADV_DONTFORK)"),
    ("partial", "madvise", errno.EINVAL, (2, DONTDUMP), "madvise(MADV_DONTDUMP)"),
]


@pytest.mark.parametrize(
    ("backing", "call", "code", "condition", "named"), CALLS, ids=[f"{one[4]} {one[2]}" for one in CALLS]
)
def test_each_call(
    backing: vanishing.Kind, call: str, code: int, condition: tuple[int, int] | None, named: str
) -> None:
    """The error names the call and has its errno; no descriptor, mapping or page is left."""
    assert attempt(backing, call, code, condition) == ["SystemCallError", named, code]


def test_a_kernel_without_such_pages() -> None:
    """Before Linux 6.11 the flag is refused (EINVAL): UnsupportedError, and "auto" takes the other kind."""
    said = attempt("droppable", "mmap", errno.EINVAL, (3, MAP_DROPPABLE_ANONYMOUS))
    assert said[0] == "UnsupportedError"
    vanishing.require("partial")
    out = succeed(f"""
        from faultinject import deny
        deny("mmap", errno.EINVAL, arg_equals=(3, {MAP_DROPPABLE_ANONYMOUS}))
        print(VolatileBuffer(32).backing)
        try:
            VolatileBuffer(4000)
        except UnsupportedError as error:
            print("Linux 6.11" in str(error))
    """)
    assert out.split() == ["partial", "True"]


@pytest.mark.parametrize("backing", ["droppable", "partial"])
@pytest.mark.parametrize(("call", "condition"), [("madvise", NOHUGEPAGE), ("madvise", UNMERGEABLE)], ids=str)
def test_advice_that_is_not_required(backing: vanishing.Kind, call: str, condition: int) -> None:
    """A kernel without huge pages or merging refuses it (EINVAL): the buffer is made all the same."""
    assert attempt(backing, call, errno.EINVAL, (2, condition))[:2] == ["made", True]


@pytest.mark.parametrize(
    ("call", "code", "condition"),
    [
        ("madvise", errno.EINVAL, (2, REMOVE)),
        ("madvise", errno.EINVAL, (2, POPULATE_READ)),
        ("madvise", errno.EINVAL, (2, POPULATE_WRITE)),
        ("mlock", errno.ENOMEM, None),
        ("mlock", errno.EPERM, None),
    ],
)
def test_what_a_partial_page_can_do_without(call: str, code: int, condition: tuple[int, int] | None) -> None:
    """A kernel that cannot fetch pages ahead or punch holes, and a lock that was only to be tried."""
    assert attempt("partial", call, code, condition, ", lock='try'")[:2] == ["made", True]


def test_a_file_system_without_nameless_files() -> None:
    """O_TMPFILE refused (EOPNOTSUPP): the file has a name for an instant, and none is left."""
    vanishing.require("partial")
    place = vanishing.disk_directory()
    out = succeed(f"""
        from faultinject import deny
        import tempfile
        place = tempfile.mkdtemp(dir={place!r})
        before = observed.descriptors()
        deny("openat", errno.EOPNOTSUPP, arg_equals=(2, {NAMELESS}))
        with VolatileBuffer(9, backing="partial", directory=place) as volatile:
            volatile.copy_from(b"something")
            print(volatile == b"something", os.listdir(place))
        deny("unlinkat", errno.EROFS)
        try:
            VolatileBuffer(9, backing="partial", directory=place)
        except SystemCallError as error:
            print(error.call.replace(" ", "_"), observed.descriptors() - before)
        left = os.listdir(place)
        print(len(left), all(os.stat(os.path.join(place, name)).st_size == 0 for name in left))
        print(place)
    """)
    *words, made = out.split()
    try:
        assert words == ["True", "[]", "unlink(private_file)", "0", "1", "True"]
    finally:
        shutil.rmtree(made)


SECOND = """
    from faultinject import deny
    volatile = VolatileBuffer(32, backing={backing!r})
    volatile.copy_from(b"m" * 32)
    deny({call!r}, {code}, arg_equals={condition})
    for use in {uses}:
        try:
            use()
            print("done")
        except SystemCallError as error:
            print(error.call, error.errno)
    print(volatile.is_destroyed, flush=True)
    os._exit(0)
"""


def test_opening_refused(vanishing_backing: vanishing.Kind) -> None:
    """mprotect refused: nothing is opened and nothing begun anew, the contents stay, and no count is wrong."""
    uses = "[lambda: volatile.intact, lambda: volatile.copy_from(b'x' * 32), lambda: volatile.build(print)] * 2"
    out = succeed(
        SECOND.format(backing=vanishing_backing, call="mprotect", code=errno.ENOMEM, condition=None, uses=uses)
    )
    assert out.split() == ["mprotect", str(errno.ENOMEM)] * 6 + ["False"]


def test_beginning_anew_refused() -> None:
    """msync refused as a partial page is to begin anew: the error says so, contents are there or lost."""
    vanishing.require("partial")
    uses = (
        "[lambda: volatile.build(lambda view: None), lambda: print(volatile.intact, volatile == b'm' * 32), "
        "volatile.destroy]"
    )
    out = succeed(SECOND.format(backing="partial", call="msync", code=errno.EIO, condition=None, uses=uses))
    assert out.split() == ["msync", "5", "True", "True", "done", "msync", "5", "True"]


def test_what_a_partial_page_says_of_its_file() -> None:
    """It has 512 zeros and never the contents: nothing is to be burned, and the remedy is another device."""
    vanishing.require("partial")
    out = succeed("""
        from faultinject import deny
        kept, lost = (VolatileBuffer(32, backing="partial") for _ in range(2))
        deny("msync", errno.EIO)
        for use in (lambda: kept.build(lambda view: None), kept.destroy):
            try:
                use()
            except SystemCallError as error:
                print(error)
        deny("madvise", errno.EFAULT, arg_equals=(2, 22))
        for use in (lambda: lost.read_into(bytearray(32)), lambda: lost.intact):
            try:
                use()
            except SystemCallError as error:
                print(error)
    """)
    anew, ended, *read = out.splitlines()
    for words in (anew, *read):
        assert "a private file of 512 zeros, whose device fails or has no room" in words
        assert words.endswith("or make the buffer anew in a directory on another device")
    assert anew.startswith("msync: Input/output error. ")
    assert [words.partition(":")[0] for words in read] == ["madvise(MADV_POPULATE_READ)"] * 2
    assert "There is nothing to burn: its file is 512 zeros" in ended
    assert "could not be overwritten" not in ended


def test_giving_back_refused(vanishing_backing: vanishing.Kind) -> None:
    """munmap refused: destroy() says so, may be called again, and purge() finds nothing damaged."""
    out = succeed(f"""
        import vanishing
        from faultinject import deny
        volatile = VolatileBuffer(32, backing={vanishing_backing!r})
        volatile.copy_from(b"m" * 32)
        page = vanishing.page_of(volatile)
        deny("munmap", errno.ENOMEM, arg_equals=(1, {3 * vanishing.PAGE}))
        for _ in range(2):
            try:
                volatile.destroy()
            except SystemCallError as error:
                print(error.call, volatile.is_destroyed, b"m" * 8 in vanishing.contents(page))
        volatile.copy_from(b"n" * 32)
        print(volatile == b"n" * 32)
        purge()
        print(b"n" * 8 in vanishing.contents(page))
        sys.stdout.flush()
        os._exit(0)
    """)
    assert out.split() == ["munmap", "False", "False"] * 2 + ["True", "False"]
