"""Real forks: what was read back before one is verified neither in the parent nor in the child."""

import pickle
import platform

import pytest

import needs
from children import forked, succeed
from strongroom import Guarantees, LockedBuffer
from strongroom import guarantees as words

pytestmark = [needs.fork, needs.linux]


def verified(found: Guarantees) -> set[str]:
    """Return the names of what is verified now."""
    return {name for name, one in found.items() if one.state == words.VERIFIED}


def test_a_fork_outdates_what_was_read_before_it(backing: str) -> None:
    """In the parent the snapshot loses every "verified", and asking again brings all of them back."""
    with LockedBuffer(32, backing=backing, isolated=True) as buffer:
        before = buffer.guarantees()
        names = verified(before)
        assert {"LOCKED", "NO_DUMP", "NOT_IN_CHILD"} <= names
        forked(lambda: None)
        assert verified(before) == set()
        assert {before[name].state for name in names} == {words.REQUESTED}
        assert all("before a fork" in before[name].source for name in names)
        assert verified(buffer.guarantees()) == names


def test_the_child_and_its_child_believe_nothing_inherited(backing: str) -> None:
    """However the snapshot looks in the parent, in the child and the grandchild nothing of it is verified."""
    with LockedBuffer(32, backing=backing, isolated=True) as buffer:
        before = buffer.guarantees()
        assert forked(lambda: (len(verified(before)), forked(lambda: len(verified(before))))) == "(0, '0')"


def test_evidence_can_be_sent_elsewhere() -> None:
    """Pickled and read again here it says the same, and a fork outdates it as well."""
    with LockedBuffer(32, isolated=True) as buffer:
        found = buffer.guarantees()
        sent = pickle.loads(pickle.dumps(found))
        assert sent == found
        forked(lambda: None)
        assert verified(sent) == set()


def test_a_childs_own_evidence_is_verified() -> None:
    """A child that makes its own buffer reads its own back, and a fork of its own outdates that."""

    def child() -> str:
        with LockedBuffer(32, isolated=True) as buffer:
            own = buffer.guarantees()
            first = "LOCKED" in verified(own)
            forked(lambda: None)
            return f"{first} {'LOCKED' in verified(own)} {'LOCKED' in verified(buffer.guarantees())}"

    assert forked(child) == "True False True"


def test_the_count_of_forks() -> None:
    """One more on both sides of each fork, each side for itself; a program that is started without one adds none."""
    out = succeed("""
        import subprocess
        from strongroom import _native
        buffer = LockedBuffer(32)
        counts = [_native.forks()]
        def fork():
            pid = os.fork()
            if pid == 0:
                os._exit(_native.forks())
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for _ in range(2):
            counts += [fork(), _native.forks()]
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        counts.append(_native.forks())
        subprocess.run(["/bin/true"], preexec_fn=lambda: None)
        counts.append(_native.forks())
        print(*counts)
    """)
    assert out.split() == ["0", "1", "1", "2", "2", "2", "3"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs the fork system call (x86_64)")
def test_a_child_behind_the_c_librarys_back_counts_it() -> None:
    """No handler runs; the page that the kernel zeroes tells the child. The parent learns nothing, as documented."""
    out = succeed("""
        from strongroom import _native
        buffer = LockedBuffer(32)
        found = buffer.guarantees()
        pid = libc.syscall(57)
        if pid == 0:
            os._exit(10 * (found["LOCKED"].state == "requested") + _native.forks())
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), _native.forks(), found["LOCKED"].state)
    """)
    assert out.split() == ["11", "0", "verified"]


def test_the_count_begins_with_the_first_block() -> None:
    """Before it there is nothing to read back; asking is no error."""
    assert succeed("from strongroom import _native\nprint(_native.forks())").split() == ["0"]
