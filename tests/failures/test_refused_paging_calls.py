"""Each system call behind faults, paging and translation refused: the right error, nothing lost, nothing held."""

import errno

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

#: A region of four pages, and what must be as before after each refusal: contents, states, and that it can be released.
SCENE = """
import errno
from faultinject import deny
from strongroom import vm
from strongroom.exceptions import SystemCallError
P = vm.PAGE_SIZE
region = vm.allocate(4 * P)
region.fill(0, None, 7)
def told(ask):
    try:
        return ask()
    except (SystemCallError, UnsupportedError) as error:
        return type(error).__name__, getattr(error, "call", str(error)), getattr(error, "code", None)
def check():
    assert region.read() == bytes([7]) * 4 * P
    assert len(region.pages()) == 1
    region.decommit()
    region.release()
"""
#: Each verb, and which advice it gives; madvise(2).
VERBS = {"page_out": 21, "prefetch": 22, "reset": 8, "undo_reset": 23}


def run(code: str) -> None:
    """Run it in the scene, and check the region afterwards."""
    succeed(f"{SCENE}\n{code}\ncheck()")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("code", [errno.ENOMEM, errno.EPERM, errno.EIO, errno.EAGAIN])
def test_the_advice_refused(verb: str, code: int) -> None:
    """The error names the advice; pages, contents and holds are as before. "Try again" is heeded, not for ever."""
    name = {21: "PAGEOUT", 22: "POPULATE_READ", 8: "FREE", 23: "POPULATE_WRITE"}[VERBS[verb]]
    run(f"""
deny("madvise", {code}, arg_equals=(2, {VERBS[verb]}))
said = told(region.{verb})
assert said == ("SystemCallError", "madvise(MADV_{name})", {code}), said
""")


@pytest.mark.parametrize("verb", VERBS)
def test_a_kernel_without_the_advice(verb: str) -> None:
    """UnsupportedError names the call; a prefetch cannot be waited for there, and is done all the same."""
    run(f"""
deny("madvise", errno.EINVAL, arg_equals=(2, {VERBS[verb]}))
said = told(region.{verb})
if {verb!r} == "prefetch":
    assert said == (4, 4, 4, None), said
else:
    assert said[0] == "UnsupportedError" and "madvise" in said[1], said
""")


def test_without_counting() -> None:
    """Pages are moved all the same, and how many is not known."""
    run("""
deny("mincore", errno.ENOSYS)
assert region.page_out() == (4, None, None, None)
assert region.prefetch() == (4, None, None, None)
""")


def test_without_the_second_pass() -> None:
    """What cannot be fetched for it stays where it is."""
    run("""
deny("madvise", errno.EFAULT, arg_equals=(2, 22))
assert region.page_out()[:2] == (4, 4)
""")


def test_without_getrusage() -> None:
    """The error names the call."""
    run("""
deny("getrusage", errno.EPERM)
assert told(vm.faults) == ("SystemCallError", "getrusage(RUSAGE_SELF)", errno.EPERM)
assert told(lambda: vm.faults(thread=True)) == ("SystemCallError", "getrusage(RUSAGE_THREAD)", errno.EPERM)
""")


def test_without_the_copy_that_looks_for_zeros() -> None:
    """The error names the call, and the region can be given back."""
    succeed(f"""{SCENE}
region.reset()
deny("process_vm_readv", errno.ENOMEM)
said = told(region.undo_reset)
assert said[1:] == ("process_vm_readv", errno.ENOMEM), said
region.release()
""")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.ENOENT])
def test_without_anything_to_open(code: int) -> None:
    """The errors name the files; what a page file's absence would explain is not explained by it."""
    run(f"""
region.read(0, 1)
deny("openat", {code})
said = [told(ask) for ask in (vm.page_files, vm.clustering, vm.layout, lambda: vm.translate(region.address))]
assert {{one[0] for one in said}} == {{"SystemCallError"}}, said
assert {{one[2] for one in said}} == {{{code}}}, said
files = ["read(/proc/self/stat)" if {code} == errno.ENOENT else "read(/proc/swaps)",
         "read(/proc/sys/vm/page-cluster)", "read(/proc/cpuinfo)", "read(/proc/self/pagemap)"]
assert [one[1] for one in said] == files, said
moved = region.page_out()
assert moved[:2] == (4, 4) and moved.after <= 4, moved  # all, none, or some of them: as many as the system likes
assert moved.reason is None or "kept" in moved.reason, moved
""")


def test_without_reading() -> None:
    """The same where files open and cannot be read; another process's faults are an error, too."""
    run("""
deny("pread64", errno.EIO)
assert told(lambda: vm.translate(region.address)) == ("SystemCallError", "read(/proc/self/pagemap)", errno.EIO)
assert told(lambda: vm.translate(0, os.getppid()))[1] == f"read(/proc/{os.getppid()}/pagemap)"
deny("read", errno.EIO)
for ask in (vm.page_files, vm.clustering, vm.layout, lambda: vm.faults(os.getppid())):
    said = told(ask)
    assert said[0] == "SystemCallError" and said[1].startswith("read(/proc/") and said[2] == errno.EIO, said
""")
