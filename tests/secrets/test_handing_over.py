"""The key of kept secrets on its way into children: storms of forks, threads, refused calls, closed descriptors."""

import os
import textwrap

import pytest

import needs
from children import succeed
from compiling import IS_THOROUGH

pytestmark = needs.fork
QUIET = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}  # 3.12 and later: fork beside threads
FORKS = 300 if IS_THOROUGH else 100

#: A secret that is kept, one that is not, and what children tell of them by how they end.
SCENE = """
content = b"bytes that are known to the test"
def fill(view):
    view[:] = content
kept, forgotten = Secret.build(32, fill, in_children="keep"), Secret.build(32, fill)
def is_kept():
    "Opens, as it must, beside one that must not."
    try:
        forgotten.reveal()
    except ForkedError:
        return kept.reveal() == content
    return False
def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def child(function):
    "Fork; the child ends with 7 if the function returns true, and with a traceback and 1 if it raises."
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)                        # a child that waits for ever dies of it
        code = 1
        try:
            code = 7 if function() else 2
        except BaseException:
            import traceback
            traceback.print_exc()
        os._exit(code)
    return pid
def descriptors(pid="self"):
    return {(name, os.readlink(f"/proc/{pid}/fd/{name}")) for name in os.listdir(f"/proc/{pid}/fd")
            if os.path.lexists(f"/proc/{pid}/fd/{name}")}
"""


def told(code: str, scene: str = SCENE) -> str:
    """Run code in such a process, and return what it printed."""
    return succeed(scene + textwrap.dedent(code), env=QUIET)


def test_forks_from_a_thread_while_four_others_open_secrets() -> None:
    """In each child both kinds are as they should be, and it makes its own; nobody hangs, and the threads go on."""
    out = told(f"""
        ended_all, turns = False, [0] * 4
        def work(number):
            while not ended_all:
                with kept.open() as view, forgotten.open() as other:
                    assert view == other
                if number % 2:
                    Secret.random(16, in_children="keep").reveal()
                turns[number] += 1
        def everything():
            own = Secret.random(5, in_children="keep")
            return is_kept() and len(own.reveal()) == 5 and is_kept()
        codes = []
        def fork():
            for _ in range({FORKS}):
                codes.append(ended(child(everything)))
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        forker = threading.Thread(target=fork)
        for thread in [*threads, forker]:
            thread.start()
        forker.join()
        ended_all = True
        for thread in threads:
            thread.join(20)
        print(len(codes), set(codes), all(turns), any(thread.is_alive() for thread in threads))
    """)
    assert out.split() == [str(FORKS), "{7}", "True", "False"]


def test_threads_that_fork_at_once() -> None:
    """Four threads, each forking again and again while the others do: every child has its key, none another's pipe."""
    out = told("""
        import collections
        before = descriptors()
        codes = collections.Counter()
        def grandchild():
            return is_kept() and ended(child(is_kept)) == 7
        def fork():
            for turn in range(20):
                codes[ended(child(grandchild if turn % 5 == 0 else is_kept))] += 1
        sys.setswitchinterval(1e-5)
        threads = [threading.Thread(target=fork) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(dict(codes), len(descriptors()) == len(before), kept.reveal() == content)
    """)
    assert out.strip() == "{7: 80} True True"


def test_many_children_at_once() -> None:
    """Sixty live at the same time, each with a key of its own memory; none is disturbed by the others' ends."""
    out = told("""
        reading, writing = os.pipe()
        def wait_and_open():
            assert is_kept()
            os.read(reading, 1)
            return is_kept()
        pids = [child(wait_and_open) for _ in range(60)]
        os.write(writing, b"x" * 60)
        print({ended(pid) for pid in pids}, kept.reveal() == content)
    """)
    assert out.strip() == "{7} True"


def test_no_import_is_waited_for_in_a_child() -> None:
    """A fork while a thread makes the first kept secret of all, and loads the cipher for it: the child can, too."""
    out = told(
        """
        seen = []
        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("strongroom", "nacl", "cffi", "_cffi_backend"):
                    seen.append(name)
                    time.sleep(0.2)
        sys.meta_path.insert(0, Slow())
        thread = threading.Thread(target=lambda: Secret.random(8, in_children="keep").reveal())
        thread.start()
        while thread.is_alive() and not seen:
            time.sleep(0.001)
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            Secret.random(8, in_children="keep").reveal()
            os._exit(7)
        thread.join()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """,
        scene="",
    )
    assert out.split() == ["7"]


@needs.linux
def test_no_descriptor_is_left_anywhere() -> None:
    """Parent and child have those they had before, to the number; a program that the child starts has none of ours."""
    out = told("""
        import subprocess
        before = descriptors()
        def same():
            mine = descriptors()
            run = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False)
            return is_kept() and mine == before and "secretmem" not in run.stdout
        ended(child(same))                      # the first one takes a page to mask in, which stays
        locked = observed.status_size("VmLck")
        codes = {ended(child(same)) for _ in range(50)}
        print(codes, descriptors() == before, observed.status_size("VmLck") == locked)
    """)
    assert out.strip() == "{7} True True"


#: Root may have any number of processes.
AS_NOBODY = """
if os.geteuid() == 0:
    os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
"""


@needs.linux
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


@needs.linux
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


@needs.linux
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


CLONE = "libc.syscall({'x86_64': 56, 'aarch64': 220}[os.uname().machine], signal.SIGCHLD, 0, 0, 0, 0)"
#: Other ways than os.fork to make a child in which Python goes on.
WAYS = {
    "os.forkpty": "pid, end = os.forkpty()",
    "preexec_fn": "",
    "raw clone(2)": f"pid = {CLONE}",
    "fork() of the C library": "pid = libc.fork()",
}


@needs.linux
@pytest.mark.parametrize("way", WAYS)
def test_other_ways_to_fork(way: str) -> None:
    """Those that run Python's handlers hand over; after those that do not, ForkedError says that they did not run."""
    if way == "raw clone(2)" and os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("needs the number of clone(2), known for x86_64 and aarch64")
    code = f"""
        reading, writing = os.pipe()
        {WAYS[way]}
        if pid == 0:
            try:
                os.write(writing, b"kept" if is_kept() else b"odd")
            except ForkedError as error:
                os.write(writing, str(error).encode())
            os._exit(7)
        os.waitpid(pid, 0)
        os.close(writing)
        print(os.read(reading, 4096).decode())
    """
    if way == "preexec_fn":
        code = """
        import subprocess
        reading, writing = os.pipe()
        def before():
            os.write(writing, b"kept" if is_kept() else b"odd")
        out = subprocess.run(["ls", "-l", "/proc/self/fd"], preexec_fn=before, close_fds=False,
                             capture_output=True, text=True).stdout
        assert "secretmem" not in out and len(out.splitlines()) <= 5, out    # the title, 0 to 2, the folder itself
        print(os.read(reading, 4096).decode())
        """
    said = told(code).strip()
    if way in ("os.forkpty", "preexec_fn"):
        assert said == "kept"
    else:
        assert "at-fork" in said
