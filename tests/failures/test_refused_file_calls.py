"""Each system call on the way to a secret's file is made to fail: the right error, and nothing is left behind."""

import errno
import json

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

MAP_SHARED, ADD_SEALS = 1, 1033
DONTFORK, UNMERGEABLE, NOHUGEPAGE, DONTDUMP = 10, 13, 15, 16

#: A room is in reserve and stays, so that only the file needs anything of the system. One attempt is made before the
#: count: the path of an error imports modules and grows the heap once.
SCENE = """
from faultinject import deny
mark = b"the content of a file that is never made"
secret = Secret.from_buffer(bytearray(mark))
with secret.open(), secret.as_file() as path:
    other = os.open(path, os.O_RDONLY)
def count():
    gc.collect()
    listing = observed.mappings()
    marked = [m for m in listing if {{"lo", "dd", "dc"}} & m.flags]
    files = [m for m in listing if "strongroom-file" in m.path]
    return len(listing), [len(marked), len(files), observed.status_size("VmLck"), observed.descriptors()]
def outcome():
    try:
        with secret.as_file() as path:
            return ["made", open(path, "rb", 0).read() == mark, None]
    except StrongroomError as error:
        return [type(error).__name__, getattr(error, "call", None), getattr(error, "errno", None)]
outcome()
deny({call!r}, {code}, arg_equals={condition})
outcome()
mappings, before = count()
results = [outcome() for _ in range(20)]
mappings_now, now = count()
is_wiped = os.pread(other, 99, 0) == bytes(len(mark))
print(json.dumps([results, mappings_now - mappings, before, now, secret == mark, is_wiped]))
"""


def attempt(call: str, code: int, condition: tuple[int, int] | None = None) -> list[object]:
    """Return [error type, call, errno] of twenty equal attempts, which must leave nothing and harm nobody."""
    results, grown, before, now, is_whole, is_wiped = json.loads(
        succeed(SCENE.format(call=call, code=code, condition=condition))
    )
    assert results == [results[0]] * 20
    assert now == before
    assert grown <= 2, "mappings that are left over, one for each attempt; the heap may have grown"
    assert is_whole
    assert is_wiped
    told: list[object] = results[0]
    return told


CALLS = [
    ("memfd_create", errno.EMFILE, None, "memfd_create"),
    ("ftruncate", errno.EFBIG, None, "ftruncate(memfd)"),
    ("fchmod", errno.EPERM, None, "fchmod(memfd)"),
    ("mmap", errno.ENOMEM, (3, MAP_SHARED), "mmap(memfd)"),
    ("fcntl", errno.EPERM, (1, ADD_SEALS), "fcntl(F_ADD_SEALS)"),
    ("mremap", errno.ENOMEM, None, "mremap(memfd)"),
    ("madvise", errno.EINVAL, (2, DONTDUMP), "madvise(MADV_DONTDUMP)"),
    ("madvise", errno.EINVAL, (2, DONTFORK), "madvise(MADV_DONTFORK)"),
    ("mlock", errno.ENOSYS, None, "mlock"),
    ("mlock", errno.EINVAL, None, "mlock"),
]


@pytest.mark.parametrize(("call", "code", "condition", "named"), CALLS, ids=[f"{one[3]} {one[1]}" for one in CALLS])
def test_each_call(call: str, code: int, condition: tuple[int, int] | None, named: str) -> None:
    """The error names the call and has its errno; no descriptor, mapping or lock is left."""
    assert attempt(call, code, condition) == ["SystemCallError", named, code]


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.EPERM, errno.EAGAIN])
def test_a_lock_refused_without_a_limit(code: int) -> None:
    """The numbers do not bear out a limit: not a LockLimitError, but the call."""
    assert attempt("mlock", code) == ["SystemCallError", "mlock", code]


@pytest.mark.parametrize("advice", [NOHUGEPAGE, UNMERGEABLE])
def test_advice_that_is_not_required(advice: int) -> None:
    """A kernel without huge pages or merging refuses it (EINVAL): the file is made all the same."""
    assert attempt("madvise", errno.EINVAL, (2, advice)) == ["made", True, None]


@pytest.mark.parametrize(
    ("call", "code", "condition"),
    [("memfd_create", errno.ENOSYS, None), ("fcntl", errno.EINVAL, (1, ADD_SEALS))],
    ids=["no memfd_create", "no such seal"],
)
def test_a_kernel_that_cannot(call: str, code: int, condition: tuple[int, int] | None) -> None:
    """Without memfd_create, or before Linux 5.1: UnsupportedError."""
    assert attempt(call, code, condition)[0] == "UnsupportedError"


def test_an_allowing_policy_does_not_unlock_it() -> None:
    """Where a policy lets pages be unlocked a file is refused all the same: everybody who opens it has these pages."""
    out = succeed("""
        from faultinject import deny
        configure(policy=Policy(on_shortfall="allow"))
        deny("mlock", errno.EPERM)
        deny("memfd_secret", errno.ENOSYS)
        secret = Secret.random(5)
        try:
            secret.as_file().__enter__()
        except StrongroomError as error:
            print(error.call, len(secret.reveal()))
    """)
    assert out.split() == ["mlock", "5"]


def test_giving_back_refused() -> None:
    """munmap fails at the block's end: the error is raised, the file is wiped and closed, and no path is left."""
    out = succeed("""
        from faultinject import deny
        secret = Secret.build(5, lambda view: view.__setitem__(slice(None), b"token"))
        access = secret.as_file()
        path = access.__enter__()
        other = os.open(path, os.O_RDONLY)
        before = observed.descriptors()
        deny("munmap", errno.ENOMEM, arg_equals=(1, 3 * 4096))
        try:
            access.__exit__(None, None, None)
        except SystemCallError as error:
            print(error.call, os.pread(other, 9, 0) == bytes(5), os.path.exists(path), before - observed.descriptors())
        try:
            access.__enter__()
        except AccessError:
            print("AccessError")
        purge()  # goes over what is left
        del access  # cannot give it back either, and says so
        sys.stdout.flush()
        os._exit(0)
    """)
    assert out.split() == ["munmap", "True", "False", "1", "AccessError"]
