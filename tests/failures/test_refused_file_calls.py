"""Each system call on the way to a secret's file is made to fail: the right error, and nothing is left behind."""

import errno

import pytest

import needs
import refusing
from children import succeed
from refusing import DONTDUMP, DONTFORK, MAP_SHARED, NOHUGEPAGE, UNMERGEABLE

pytestmark = refusing.needs_injection

ADD_SEALS = 1033

#: The secret's room is open and stays, so that only the file needs anything of the system.
BEFORE = """
mark = b"the content of a file that is never made"
secret = Secret.from_buffer(bytearray(mark))
with secret.open(), secret.as_file() as path:
    other = os.open(path, os.O_RDONLY)
opened = secret.open()
opened.__enter__()
def attempted():
    with secret.as_file() as path:
        return ["made", open(path, "rb", 0).read() == mark, None]
"""


def attempt(call: str, code: int, condition: tuple[int, int] | None = None) -> list[object]:
    """Return [error type, call, errno] of equal attempts, which must leave nothing and harm nobody."""
    unharmed = "secret == mark and os.pread(other, 99, 0) == bytes(len(mark))"
    return refusing.attempt(BEFORE, "strongroom-file", call, code, condition, unharmed)


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


@pytest.mark.parametrize(
    "left",
    [
        pytest.param("LockedBuffer(32, isolated=True)", marks=needs.much_locked),
        "os.open('/', os.O_RDONLY)",
        "mmap.mmap(-1, 8192, prot=1 + len(kept) % 2)",
    ],
)
def test_control_what_is_left_behind_is_noticed(left: str) -> None:
    """A lock, a descriptor and a mapping that stay after each attempt: each fails the test that counts."""
    before = f"import mmap; kept = []\ndef attempted():\n    kept.append({left})\n    return []"
    with pytest.raises(AssertionError, match="left"):
        refusing.attempt(before, "strongroom-file", "memfd_create", errno.EMFILE, None)


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
