"""Each system call on the way to a buffer is made to fail: the right error, and nothing is left behind."""

import errno
import json

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)

PROT_NONE, PROT_READ_WRITE = 0, 3
MAP_SHARED = 1
DONTFORK, UNMERGEABLE, NOHUGEPAGE, DONTDUMP = 10, 13, 15, 16

ATTEMPTS = 20

#: Two buffers and a secret exist before the fault; its room stays open: to lock another may be what is refused. One
#: attempt is made before the count: the path of an error imports modules and grows the heap once. {after} looks at
#: those who were there before.
SCENE = """
from faultinject import deny
backing = {backing!r}
try:
    kept = [LockedBuffer(32, backing=backing, isolated=True) for _ in range(2)]
except UnsupportedError as error:
    children.skip(str(error))
if not {isolated}:  # smaller: a free slot among theirs is of no use to the attempts
    kept += [LockedBuffer(16, backing=backing) for _ in range(2)]
for number, buffer in enumerate(kept):
    buffer.copy_from(bytes([number + 65]) * len(buffer))
secret = Secret.build(5, lambda view: view.__setitem__(slice(None), b"still"))
opened = secret.open()
opened.__enter__()
def count():
    gc.collect()
    listing = observed.mappings()
    marked = [m for m in listing if {{"lo", "dd", "dc"}} & m.flags]
    return len(listing), [len(marked), observed.status_size("VmLck"), observed.descriptors()]
def outcome():
    try:
        return ["made", LockedBuffer(32, backing=backing{policy}, isolated={isolated}).backing, None]
    except StrongroomError as error:
        return [type(error).__name__, getattr(error, "call", None), getattr(error, "errno", None)]
deny({call!r}, {code}, arg_equals={condition})
outcome()
mappings, before = count()
results = [outcome() for _ in range({attempts})]
mappings_now, now = count()
intact = secret.reveal() == b"still"
{after}
print(json.dumps([results, mappings_now - mappings, before, now, intact]))
"""

LOOK_AT_THE_OTHERS = """
for number, buffer in enumerate(kept):
    with buffer.open() as view:
        intact = intact and view == bytes([number + 65]) * len(view)
    buffer.destroy()
"""


def attempt(
    call: str,
    code: int,
    backing: str,
    condition: tuple[int, int] | None = None,
    *,
    policy: str = "",
    after: str = LOOK_AT_THE_OTHERS,
    isolated: bool = True,
) -> list[object]:
    """Return [error type, call, errno] of twenty equal attempts, which must leave nothing and harm nobody."""
    results, grown, before, now, intact = json.loads(
        succeed(
            SCENE.format(
                call=call,
                code=code,
                backing=backing,
                condition=condition,
                policy=policy,
                after=after,
                attempts=ATTEMPTS,
                isolated=isolated,
            )
        )
    )
    assert now == before, "marked mappings, locked bytes or descriptors were left behind"
    assert grown < ATTEMPTS // 2, "mappings were left behind"
    assert intact, "another buffer or secret was harmed"
    assert all(result == results[0] for result in results)
    found: list[object] = results[0]
    return found


def test_the_count_notices_what_is_left_behind() -> None:
    """Control: a buffer that stays shows in each number."""
    told = json.loads(
        succeed(
            SCENE.format(
                call="mseal",
                code=errno.EPERM,
                backing="locked",
                condition=None,
                policy="",
                attempts=1,
                isolated=True,
                after=(
                    "kept.append(LockedBuffer(32, backing=backing, isolated=True)); "
                    "more, now = count(); mappings_now = more"
                ),
            )
        )
    )
    _results, grown, before, now, _intact = told
    assert grown >= 1
    assert now[0] == before[0] + 1
    assert now[1] > before[1]


LOCKED = [
    ("mmap", errno.ENOMEM, (2, PROT_NONE), "mmap"),
    ("mprotect", errno.ENOMEM, (2, PROT_READ_WRITE), "mprotect"),
    ("madvise", errno.EINVAL, (2, DONTDUMP), "madvise(MADV_DONTDUMP)"),
    ("madvise", errno.EINVAL, (2, DONTFORK), "madvise(MADV_DONTFORK)"),
    ("mlock", errno.ENOSYS, None, "mlock"),
]


@pytest.fixture(params=[True, False], ids=["own pages", "shared pages"])
def isolated(request: pytest.FixtureRequest) -> bool:
    """Pages of its own, or a slot in new shared ones."""
    is_isolated: bool = request.param
    return is_isolated


@pytest.mark.parametrize(("call", "code", "condition", "named"), LOCKED, ids=[str(one[3]) for one in LOCKED])
def test_a_locked_buffer(call: str, code: int, condition: tuple[int, int] | None, named: str, isolated: bool) -> None:
    """SystemCallError with the call's name and errno."""
    after = "" if condition == (2, PROT_READ_WRITE) else LOOK_AT_THE_OTHERS  # destroying needs that call
    told = attempt(call, code, "locked", condition, after=after, isolated=isolated)
    assert told == ["SystemCallError", named, code]


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.EPERM, errno.EAGAIN])
def test_a_lock_refused_without_a_limit(code: int, isolated: bool) -> None:
    """The numbers do not bear out a limit (the errno has other meanings too): not a LockLimitError, but the call."""
    assert attempt("mlock", code, "locked", isolated=isolated) == ["SystemCallError", "mlock", code]


SECRETMEM = [
    ("ftruncate", errno.EINVAL, None, "ftruncate(secretmem)"),
    ("mmap", errno.ENOMEM, (3, MAP_SHARED), "mmap(secretmem)"),
    ("mremap", errno.ENOMEM, None, "mremap(secretmem)"),
    ("madvise", errno.EINVAL, (2, DONTFORK), "madvise(MADV_DONTFORK)"),
    ("memfd_secret", errno.EMFILE, None, "memfd_secret"),
    ("memfd_secret", errno.ENOMEM, None, "memfd_secret"),
]


@pytest.mark.parametrize(
    ("call", "code", "condition", "named"), SECRETMEM, ids=[f"{one[3]} {one[1]}" for one in SECRETMEM]
)
def test_a_secretmem_buffer(
    call: str, code: int, condition: tuple[int, int] | None, named: str, isolated: bool
) -> None:
    """The same for each call on the way to secret memory; its descriptor is closed on every path."""
    assert attempt(call, code, "secretmem", condition, isolated=isolated) == ["SystemCallError", named, code]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_kernel_without_secret_memory(code: int, isolated: bool) -> None:
    """ENOSYS, or a sandbox's EPERM: asked for by name it is UnsupportedError; ``auto`` takes locked memory."""
    assert attempt("memfd_secret", code, "secretmem", isolated=isolated)[0] == "UnsupportedError"
    assert attempt("memfd_secret", code, "auto", isolated=isolated) == ["made", "locked", None]


def test_auto_falls_back_when_secret_memory_fails_half_way(isolated: bool) -> None:
    """Whatever step of secret memory is refused, ``auto`` gives locked memory, and nothing of the attempt is left."""
    for call, code, condition, _named in SECRETMEM[:3]:
        assert attempt(call, code, "auto", condition, isolated=isolated) == ["made", "locked", None]


@pytest.mark.parametrize("advice", [NOHUGEPAGE, UNMERGEABLE])
def test_advice_that_is_not_required(advice: int, isolated: bool) -> None:
    """A kernel without huge pages or merging refuses it (EINVAL): the buffer is made all the same."""
    assert attempt("madvise", errno.EINVAL, "locked", (2, advice), isolated=isolated) == ["made", "locked", None]


def test_advice_that_a_policy_requires(isolated: bool) -> None:
    """The same refusal is an error when NO_MERGE is asked for."""
    policy = ", policy=Policy(require={'NO_MERGE'})"
    told = attempt("madvise", errno.EINVAL, "locked", (2, UNMERGEABLE), policy=policy, isolated=isolated)
    assert told == ["SystemCallError", "madvise(MADV_UNMERGEABLE)", errno.EINVAL]


def test_random_bytes_refused() -> None:
    """No canary can be drawn for the first buffer: the call is named; a secret is not made of zeros either."""
    assert json.loads(
        succeed("""
        from faultinject import deny
        deny("getrandom", errno.ENOSYS)
        try:
            LockedBuffer(32, isolated=True)
        except SystemCallError as error:
            print(json.dumps([error.call, error.errno == errno.ENOSYS]))
    """)
    ) == ["getrandom", True]
    assert json.loads(
        succeed("""
        from faultinject import deny
        kept = Secret.random(32)
        deny("getrandom", errno.ENOSYS)
        told = []
        for _ in range(20):
            try:
                Secret.random(32)
            except SystemCallError as error:
                told.append([error.call, error.errno == errno.ENOSYS, observed.status_size("VmLck")])
        print(json.dumps([told[0][:2], told[0] == told[-1], len(told), len(kept.reveal())]))
    """)
    ) == [["getrandom", True], True, 20, 32]


def test_opening_refused(has_secretmem: bool) -> None:
    """mprotect fails: SystemCallError, the buffer stays closed and whole, and destroy is not blocked by ghosts."""
    out = succeed("""
        from faultinject import deny
        buffer = LockedBuffer(32, backing="locked", isolated=True)
        with buffer.open("rw") as view:
            address = address_of(view)
        deny("mprotect", errno.ENOMEM, arg_equals=(2, 1))
        for _ in range(3):
            try:
                with buffer.open():
                    print("opened")
            except SystemCallError as error:
                print(error.call, protection_at(address), repr(buffer).split()[-1])
        with buffer.open("rw") as view:
            print(view[0])
        buffer.destroy()
        print(buffer.is_destroyed)
    """)
    assert out.split() == ["mprotect", "---", "closed>"] * 3 + ["0", "True"]


def test_closing_refused() -> None:
    """The block ends with the call's error, never in silence: the pages are still open."""
    out = succeed("""
        from faultinject import deny
        buffer = LockedBuffer(32, backing="locked", isolated=True)
        access = buffer.open("rw"); view = access.__enter__(); address = address_of(view)
        deny("mprotect", errno.ENOMEM, arg_equals=(2, 0))
        try:
            access.__exit__(None, None, None)
            print("silence")
        except SystemCallError as error:
            print(error.call, protection_at(address))
        try:
            view[0]
        except AccessError:
            print("ended")
        buffer.destroy()
        print(buffer.is_destroyed)
    """)
    assert out.split() == ["mprotect", "rw-", "ended", "True"]


def test_giving_back_refused() -> None:
    """munmap fails: the error is raised, the content is wiped all the same, and a second try is possible."""
    out = succeed("""
        from faultinject import deny
        buffer = LockedBuffer(32, backing="locked", isolated=True)
        with buffer.open("rw") as view:
            view[:] = b"w" * 32
            address = address_of(view)
        deny("munmap", errno.ENOMEM, arg_equals=(1, 3 * 4096))
        for _ in range(2):
            try:
                buffer.destroy()
                print("destroyed")
            except SystemCallError as error:
                print(error.call, ctypes.string_at(address, 32) == bytes(32))
        sys.stdout.flush()
        os._exit(0)
    """)
    assert out.split() == ["munmap", "True"] * 2


def test_sealing_refused() -> None:
    """No locked page for the key: the error of the lock, and the next secret works once it is to be had."""
    out = succeed("""
        soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        import nacl._sodium
        keep = LockedBuffer(32, isolated=True)
        children.limit_locks(4096)
        try:
            Secret.random(32)
        except LockLimitError as error:
            print(error.requested, error.limit)
        keep.destroy()
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (8192 if hard in (-1,) or hard >= 8192 else 4096, hard))
        print(len(Secret.random(32).reveal()))
    """)
    assert out.split() == ["4096", "4096", "32"]
