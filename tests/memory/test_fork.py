"""Nothing of ours is in a forked child, and nothing there crashes: neither use, nor finalizers, nor exit."""

import ctypes
import os
import platform
import warnings

import pytest

import needs
from children import forked, succeed
from observed import address_of, mapping_at
from strongroom import ForkedError, LockedBuffer, Secret

pytestmark = needs.fork

SYS_FORK = {"x86_64": 57}


def refusals(*uses: object) -> str:
    """Return the names of the errors that calls raise."""
    names = []
    for use in uses:
        try:
            use()  # type: ignore[operator]
            names.append("nothing")
        except Exception as error:
            names.append(type(error).__name__)
    return " ".join(names)


def test_the_child_has_an_inaccessible_hole(backing: str) -> None:
    """A placeholder lies where the pages were, nothing else can be mapped there; the parent is unaffected."""
    with LockedBuffer(32, backing=backing) as buffer:
        with buffer.open("rw") as view:
            view[:] = b"p" * 32
            address = address_of(view)

        def look() -> str:
            mapping = mapping_at(address)
            assert mapping is not None
            return f"{mapping.permissions[:3]} {'lo' in mapping.flags} {mapping.path}"

        assert forked(look) == "--- False "
        with buffer.open() as view:
            assert view == b"p" * 32


def test_control_ordinary_memory_is_in_the_child() -> None:
    """The same look finds ordinary memory, with its content."""
    ordinary = bytearray(b"q" * 32)
    assert forked(lambda: ordinary.decode()) == "q" * 32


def test_every_use_in_the_child_is_refused(backing: str) -> None:
    """ForkedError from buffer, access, View and Secret, those opened before the fork included."""
    secret = Secret.random(32)
    with LockedBuffer(32, backing=backing) as buffer, buffer.open("rw") as view, secret.open() as opened:
        access = buffer.open()

        def use() -> str:
            return refusals(
                lambda: buffer.open().__enter__(),
                buffer.guarantees,
                access.__enter__,
                lambda: len(view),
                lambda: view[0],
                lambda: bytes(view),
                lambda: memoryview(opened),
                lambda: view.__setitem__(0, 1),
                secret.open,
                secret.reveal,
                lambda: secret == b"x",
            )

        assert set(forked(use).split()) == {"ForkedError"}
        assert view[0] == 0
        assert len(opened) == 32


def test_leaving_a_block_in_the_child_says_so() -> None:
    """A fork inside an open block: its end in the child is a ForkedError, unless another error is on its way."""
    buffer, secret = LockedBuffer(32), Secret.random(32)

    def end(thing: LockedBuffer | Secret, error: type[Exception] | None) -> str:
        def child() -> str:
            with pytest.raises(error or ForkedError) as caught:  # noqa: PT012
                access.__exit__(error, error("mine") if error else None, None)
                if error:
                    raise error("mine")
            return type(caught.value).__name__

        access = thing.open()
        with access as view:
            told = forked(child)
            assert len(view) == 32
        return told

    assert end(buffer, None) == "ForkedError"
    assert end(secret, None) == "ForkedError"
    assert end(buffer, KeyError) == "KeyError"


def test_the_message_says_what_to_do() -> None:
    """Make it anew; for secrets the hooks of forking servers are named."""
    buffer, secret = LockedBuffer(32), Secret.random(32)

    def messages() -> str:
        told = []
        for thing in (buffer, secret):
            with pytest.raises(ForkedError) as caught, thing.open():
                pass
            told.append(str(caught.value))
        return " ".join(told)

    told = forked(messages)
    assert "post_fork" in told
    assert "anew" in told


def test_destroy_and_finalizers_do_nothing_in_the_child() -> None:
    """destroy() returns quietly; the parent's memory is still there."""
    buffer, secret = LockedBuffer(32), Secret.random(32)
    content = secret.reveal()

    def end() -> str:
        buffer.destroy()
        secret.destroy()
        with buffer if False else LockedBuffer(1):
            pass
        return "fine"

    assert forked(end) == "fine"
    assert secret.reveal() == content
    with buffer.open():
        pass
    buffer.destroy()


def test_the_child_makes_its_own() -> None:
    """Buffers, secrets, rooms and their key start afresh; grandchildren likewise."""
    parents = Secret.random(32)
    parents.reveal()  # leaves an idle room behind

    def live() -> str:
        secret = Secret.build(5, lambda view: view.__setitem__(slice(None), b"child"))
        with LockedBuffer(32) as buffer, buffer.open("rw") as view:
            view[:] = b"c" * 32
        refused = refusals(parents.reveal)
        grandchild = forked(lambda: refusals(secret.reveal, parents.reveal) + " " + str(len(Secret.random(3))))
        return f"{secret.reveal_text()} {refused} {grandchild}"

    assert forked(live) == "child ForkedError ForkedError ForkedError 3"
    assert len(parents.reveal()) == 32


def test_what_the_parent_learns_later_stays_with_it(backing: str) -> None:
    """Content written after the fork never reaches a child that lives on (secret memory is a shared mapping)."""
    buffer = LockedBuffer(32, backing=backing)
    with buffer.open("rw") as view:
        address = address_of(view)
    reading, writing = os.pipe()
    answer, answering = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later: fork beside threads
        pid = os.fork()
    if pid == 0:
        try:
            os.read(reading, 1)
            mapping = mapping_at(address)
            os.write(answering, b"x" if mapping is None else mapping.permissions[:3].encode())
        finally:
            os._exit(0)
    with buffer.open("rw") as view:
        view[:] = b"n" * 32
    os.write(writing, b"\n")
    told = os.read(answer, 3)
    os.waitpid(pid, 0)
    for end in (reading, writing, answer, answering):
        os.close(end)
    assert told == b"---"


def test_children_end_normally() -> None:
    """Open buffers, secrets, rooms and kept memoryviews at the fork: the child's own exit runs and is clean."""
    out = succeed("""
        buffer, secret = LockedBuffer(32), Secret.random(32)
        secret.reveal()
        kept = LockedBuffer(32)
        access = buffer.open("rw"); view = access.__enter__()
        opened = secret.open(); inside = opened.__enter__()
        leaked = memoryview(view)
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        leaked.release(); opened.__exit__(None, None, None); access.__exit__(None, None, None)
        print(len(secret.reveal()))
    """)
    assert out.split() == ["0", "32"]


@pytest.mark.skipif(platform.machine() not in SYS_FORK, reason="needs the fork system call (x86_64)")
@pytest.mark.parametrize("how", ["os._exit(0)", "sys.exit(0)", "purge(); sys.exit(0)"])
def test_a_fork_behind_the_c_librarys_back(how: str) -> None:
    """A raw system call runs no at-fork handler: use is still refused, and the child still ends cleanly."""
    out = succeed(f"""
        secret = Secret.random(32)
        secret.reveal()                                          # an idle room stays writable
        if {"sys" not in how}:                                   # else nothing asks which process this is
            buffer = LockedBuffer(32)
        pid = libc.syscall(57)
        if pid == 0:
            if not {"purge" in how or "sys" in how}:
                for use in (lambda: buffer.open().__enter__(), secret.reveal):
                    try:
                        use()
                    except ForkedError:
                        print("refused", flush=True)
                print(len(Secret.random(4).reveal()), flush=True)
            {how}
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert out.split() == ([] if "sys" in how else ["refused", "refused", "4"]) + ["0"]


@pytest.mark.skipif(platform.machine() not in SYS_FORK, reason="needs the fork system call (x86_64)")
def test_a_raw_child_uses_views_from_before() -> None:
    """A View opened before a raw fork raises in the child, instead of reading the hole."""
    out = succeed("""
        buffer = LockedBuffer(32)
        with buffer.open("rw") as view:
            pid = libc.syscall(57)
            if pid == 0:
                try:
                    view[0]
                except ForkedError:
                    os._exit(7)
                os._exit(1)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            view[0] = 1
    """)
    assert out.split() == ["7"]


def test_forks_while_another_thread_makes_secret_memory(has_secretmem: bool) -> None:
    """No child ever holds a page or a descriptor of secret memory that its parent was making: it is shared memory."""
    if not has_secretmem:
        pytest.skip("no secret memory: needs Linux 6.5, or 5.14 booted with secretmem.enable=1")
    out = succeed(
        """
        ended = False
        def make():
            while not ended:
                LockedBuffer(32, backing="secretmem")
        threads = [threading.Thread(target=make) for _ in range(2)]
        for thread in threads:
            thread.start()
        pages = descriptors = 0
        for _ in range(60):
            pid = os.fork()
            if pid == 0:
                with open("/proc/self/maps") as file:
                    got = int("/secretmem" in file.read())
                for name in os.listdir("/proc/self/fd"):
                    try:
                        got |= 2 * ("secretmem" in os.readlink("/proc/self/fd/" + name))
                    except OSError:
                        pass
                os._exit(got)
            got = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            pages, descriptors = pages + (got & 1), descriptors + (got >> 1)
        ended = True
        for thread in threads:
            thread.join()
        print("children with pages:", pages, "with a descriptor:", descriptors)
    """,
        env={"PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )
    assert out.strip() == "children with pages: 0 with a descriptor: 0"


def test_the_raw_fork_is_a_fork() -> None:
    """Control: the system call used above makes a child at all."""
    number = SYS_FORK.get(platform.machine())
    if number is None:
        pytest.skip("needs the fork system call (x86_64)")
    pid = ctypes.CDLL(None).syscall(number)
    if pid == 0:
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
