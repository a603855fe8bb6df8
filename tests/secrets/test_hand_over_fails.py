"""A key that does not reach a child: refused forks, limits, signals, descriptors. It says why and leaves nothing."""

import pytest

import needs
from keeping import SCENE, told

pytestmark = [needs.linux, needs.fork]

#: Root may have any number of processes.
AS_NOBODY = """
if os.geteuid() == 0:
    os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
"""


def test_forks_that_fail_leave_nothing() -> None:
    """The system makes no process (RLIMIT_NPROC): the same descriptors and locked memory, and the next fork works."""
    out = told(
        """
        assert ended(child(is_kept)) == 7
        before, locked = descriptors(), observed.status_size("VmLck")
        limits = resource.getrlimit(resource.RLIMIT_NPROC)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, limits[1]))
        refused = 0
        for _ in range(50):
            try:
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                os.waitpid(pid, 0)
            except BlockingIOError:
                refused += 1
        print(refused, len(descriptors()) == len(before), observed.status_size("VmLck") == locked)
        resource.setrlimit(resource.RLIMIT_NPROC, limits)
        print(kept.reveal() == content, ended(child(is_kept)))
    """,
        scene=AS_NOBODY + SCENE,
    )
    assert out.split() == ["50", "True", "True", "True", "7"]


def test_signal_handlers_that_raise_between_fork_and_handler() -> None:
    """Ctrl-C then: the fork is made, its child has its keys, no other thread waits for ever, no descriptor is left."""
    out = told(
        """
        signal.signal(signal.SIGUSR1, lambda *_: [][0])
        before = len(descriptors())
        codes = {ended(child(is_kept)) for _ in range(20)}
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        others = []
        thread = threading.Thread(target=lambda: others.append(ended(child(is_kept))), daemon=True)
        thread.start()
        thread.join(50)
        print(codes, others, len(descriptors()) - before)
        """,
        # In C, before strongroom's own handler: Python runs a signal's handler where the next function begins
        scene="""
import functools
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
os.register_at_fork(after_in_parent=functools.partial(libc.kill, os.getpid(), signal.SIGUSR1.value))
"""
        + SCENE,
    )
    assert out.strip() == "{7} [7] 0"


#: Why the key does not reach a child: what makes it so, what undoes that, and a word of the reason.
REFUSALS = {
    "the parent may not lock a page more": (
        "children.limit_locks(65536); resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 65536))",
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))",
        "limit is 0 bytes",
    ),
    "the child may not": (
        "children.limit_locks(65536); no_locks_in_children = True",
        "no_locks_in_children = False",
        "limit is 0 bytes",
    ),
    "no descriptor": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
        "Errno 24",
    ),
}
#: Runs in each child before strongroom's own handler: handlers run in the order in which they were registered.
LIMIT_CHILDREN = """
no_locks_in_children = False
def limit():
    if no_locks_in_children:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 65536))
os.register_at_fork(after_in_child=limit)
"""


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_hand_over_that_fails_says_why(reason: str) -> None:
    """The fork itself succeeds; in the child ForkedError names what was refused. The parent and later children work."""
    refuse, allow, word = REFUSALS[reason]
    out = told(
        f"""
        before = len(descriptors())
        {refuse}
        def refused():
            try:
                kept.open()
            except ForkedError as error:
                print(error, flush=True)
                return True
        print(ended(child(refused)))
        {allow}
        print(len(descriptors()) == before, kept.reveal() == content, ended(child(is_kept)))
    """,
        scene=LIMIT_CHILDREN + SCENE,
    )
    why, first, second = out.splitlines()
    assert word in why
    assert content_free(why)
    assert (first, second) == ("7", "True True 7")


def content_free(text: str) -> bool:
    """Nothing of the secret and no address."""
    return "known to the test" not in text and "0x" not in text


def test_daemons_that_close_everything() -> None:
    """Fork, setsid, fork, all descriptors closed (0 to 2 too) before and between: what is kept opens; so it does when
    they were closed before the first fork, and the numbers that the pipe has then are not left open."""
    out = told("""
        reading, writing = os.pipe()
        file = open(f"/proc/self/task/{threading.get_native_id()}/comm")   # something of the program's own
        def daemon():
            os.setsid()
            pid = child(lambda: (os.closerange(0, 1024), is_kept() and not descriptors_of_self())[1])
            return ended(pid) == 7
        def descriptors_of_self():
            return [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]
        print(ended(child(daemon)), flush=True)
        def closes_first():
            os.closerange(0, 1024)
            first = ended(child(lambda: is_kept() and not descriptors_of_self()))
            return first == 7 and is_kept_here() and not descriptors_of_self()
        def is_kept_here():
            return kept.reveal() == content
        print(ended(child(closes_first)), kept.reveal() == content)
    """)
    assert out.split() == ["7", "7", "True"]
