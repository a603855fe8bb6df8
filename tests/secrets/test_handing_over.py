"""The key of kept secrets on its way into children: storms of forks, threads, every way to fork from Python."""

import os

import pytest

import needs
from compiling import IS_THOROUGH
from keeping import told

pytestmark = needs.fork
FORKS = 300 if IS_THOROUGH else 40


def test_forks_from_a_thread_while_four_others_open_secrets() -> None:
    """In each child both kinds are as they should be, and it makes its own; nobody hangs, and the threads go on."""
    out = told(f"""
        is_over, turns = threading.Event(), [0] * 4
        def work(number):
            while not is_over.is_set():
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
        before, deadline = turns[:], time.monotonic() + 40
        while not all(map(int.__gt__, turns, before)) and time.monotonic() < deadline:
            time.sleep(0.01)                        # all of them go on: none waits for what a fork took
        print(len(codes), set(codes), all(map(int.__gt__, turns, before)), flush=True)
        is_over.set()
        for thread in threads:
            thread.join()
    """)
    assert out.split() == [str(FORKS), "{7}", "True"]


def test_threads_that_fork_at_once() -> None:
    """Four threads, each forking again and again while the others do: every child has its key, none another's pipe."""
    out = told("""
        import collections
        before = descriptors()
        codes = []
        def grandchild():
            return is_kept() and ended(child(is_kept)) == 7
        def fork():
            for turn in range(20):
                codes.append(ended(child(grandchild if turn % 5 == 0 else is_kept)))
        sys.setswitchinterval(1e-5)
        threads = [threading.Thread(target=fork) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(dict(collections.Counter(codes)), len(descriptors()) == len(before), kept.reveal() == content)
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
                    time.sleep(0.1)
        sys.meta_path.insert(0, Slow())
        thread = threading.Thread(target=lambda: Secret.random(8, in_children="keep").reveal())
        thread.start()
        while thread.is_alive() and not seen:
            time.sleep(0.001)
        pid = os.fork()
        if pid == 0:
            signal.alarm(50)
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
