"""Secret.as_file and what comes in mid-block: a purge, a fork, an end of the process, all of them in many threads."""

import os
import subprocess

import pytest

import needs
from children import Live, succeed

pytestmark = needs.linux


def test_purge() -> None:
    """In mid-block the path reads zeros and the end raises PurgedError; what was made before gives no file any more."""
    out = succeed("""
        secret = Secret.build(5, lambda view: view.__setitem__(slice(None), b"token"))
        late = secret.as_file()
        try:
            with secret.as_file() as path:
                kept = os.open(path, os.O_RDONLY)
                print(os.pread(kept, 9, 0) == b"token")
                purge()
                print(os.pread(kept, 9, 0) == bytes(5), open(path, "rb").read() == bytes(5))
        except PurgedError as error:
            print("read from it" in str(error))
        for way in (secret.as_file, late.__enter__):
            try:
                way()
            except PurgedError as error:
                print(os.pread(kept, 9, 0) == bytes(5))
        try:
            with Secret.random(9).as_file() as path:
                purge()
                raise KeyError  # is not replaced
        except KeyError:
            print("KeyError")
    """)
    assert out.split() == ["True"] * 6 + ["KeyError"]


@pytest.mark.parametrize("what", ["purge", "fork", "destroy"])
def test_while_the_file_is_being_made(what: str) -> None:
    """Between the file and its content other code may run: what it does is noticed, and no file is left."""
    out = succeed("""
        secret = Secret.random(20_000)  # no room for so much is kept in reserve: one is made, which asks for a plan
        host = strongroom.buffers.host
        plan, parent = host.plan, os.getpid()
        def interfering(*arguments):
            host.plan = plan
            print(sum("strongroom-file" in m.path for m in observed.mappings()), flush=True)
            if WHAT == "purge":
                purge()
            elif WHAT == "destroy":
                secret.destroy()
            elif (child := os.fork()) != 0:
                os.waitpid(child, 0)
            return plan(*arguments)
        host.plan = interfering
        try:
            with secret.as_file() as path:
                print(open(path, "rb").read() == secret.reveal(), flush=True)
        except StrongroomError as error:
            print(type(error).__name__, sum("strongroom-file" in m.path for m in observed.mappings()), flush=True)
        if os.getpid() != parent:
            os._exit(0)
    """.replace("WHAT", repr(what)))  # fmt: skip
    told = {"purge": "PurgedError 0", "destroy": "DestroyedError 0", "fork": "ForkedError 0 True"}
    assert out.split() == ["1", *told[what].split()]


@pytest.mark.parametrize("end", ["exit", "SIGTERM", "exception"])
def test_an_end_of_the_process_wipes_it(end: str) -> None:
    """Exit in mid-block, and a signal that harden() knows: another process that has it open reads zeros then."""
    ends = {"exit": "sys.exit()", "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)", "exception": "1 / 0"}
    with Live(
        f"""
        harden(wipe_on_signals=(signal.SIGTERM,))
        secret = Secret.build(40, take)
        access = secret.as_file()
        print(access.__enter__(), flush=True)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(access))  # for ever: no finalizer ends it
        os.read(0, 1)
        {ends[end]}
    """,
        stderr=subprocess.DEVNULL,
    ) as child:
        mark = b"file-mark-2209180441-of-a-dying-process!"
        child.send(mark)
        path = child.line()
        try:
            file = os.open(path.replace("self", str(child.pid)), os.O_RDONLY)
        except PermissionError:
            pytest.skip("opening another process's descriptors is forbidden here: needs ptrace rights")
        assert os.pread(file, 100, 0) == mark
        child.go()
        child.process.wait(60)
        assert os.pread(file, 100, 0) == bytes(40)
        os.close(file)


@needs.fork
@pytest.mark.parametrize("way", ["os.fork", "libc"])
def test_a_fork_in_the_block(way: str) -> None:
    """The child has neither descriptor nor mapping, its block ends with ForkedError; the parent's file is unharmed.

    A fork by C code is not seen by Python: there the child's own descriptor goes when its block ends.
    """
    out = succeed("""
        secret = Secret.build(5, lambda view: view.__setitem__(slice(None), b"token"))
        access = secret.as_file(); other = secret.as_file(); other.__enter__()
        def look():
            names = []
            for number in os.listdir("/proc/self/fd"):
                try:
                    names.append(os.readlink(f"/proc/self/fd/{number}"))
                except FileNotFoundError:
                    continue  # of the listing itself
            return (sum("strongroom-file" in name for name in names),
                    sum("strongroom-file" in m.path for m in observed.mappings()))
        try:
            with access as path:
                print(*look(), flush=True)
                child = FORK()
                if child == 0:
                    print(*look(), _holds(), flush=True)
                else:
                    os.waitpid(child, 0)
                    print(*look(), open(path, "rb").read(), flush=True)
        except ForkedError:
            other = None
            print("ForkedError", *look(), flush=True)
            with open(os.devnull) as theirs:  # may have the number that the file had
                access.__exit__(None, None, None)
                os.fstat(theirs.fileno())
            try:
                secret.as_file()
            except ForkedError:
                print("ForkedError", flush=True)
            os._exit(0)
        print("parent", *look())
    """.replace("FORK", "os.fork" if way == "os.fork" else "ctypes.PyDLL(None).fork")
       .replace("_holds", "strongroom._native.holds_room"))  # fmt: skip
    inherited = "0 0 False" if way == "os.fork" else "2 0 False"
    assert out.splitlines() == [
        "2 2", inherited, "ForkedError 0 0", "ForkedError", "2 2 b'token'", "parent 1 1"
    ]  # fmt: skip


def test_threads_that_make_files_while_others_purge_and_fork() -> None:
    """For a second: no child has a file or its pages, no block shows another secret, and nothing is left at the end."""
    out = succeed("""
        import warnings
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks in a process with threads
        begun, is_over, wrong, made = time.monotonic(), threading.Event(), [], [0] * 4
        def work(number):
            secret = None
            while not is_over.is_set():
                try:
                    secret = secret or Secret.random(16)
                    with secret.as_file() as path:
                        with secret.open() as view, LockedBuffer(16) as got, got.open("rw") as read:
                            os.preadv(int(os.path.basename(path)), [read], 0)
                            is_same = read == view
                    made[number] += 1
                    if not is_same:  # and no purge in between, which would have ended these blocks with an error
                        wrong.append("content")
                except PurgedError:
                    secret = None
                except BaseException as error:
                    wrong.append(repr(error))
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads: thread.start()
        forks = 0
        def is_enough():  # where others want the processor as well a second is not
            return forks > 5 and sum(made) > 100
        while (spent := time.monotonic() - begun) < 1 or (spent < 40 and not is_enough()):
            time.sleep(0.01)
            forks += 1
            if forks % 3 == 0:
                purge()
            child = os.fork()
            if child == 0:
                found = "strongroom-file" in open("/proc/self/maps").read()
                for number in range(100):
                    try:
                        found |= "strongroom-file" in os.readlink(f"/proc/self/fd/{number}")
                    except OSError:
                        continue
                os._exit(found)
            if os.waitpid(child, 0)[1] != 0:
                wrong.append("child")
        is_over.set()
        for thread in threads: thread.join()
        left = open("/proc/self/maps").read().count("strongroom-file")
        # Where there is no secret memory, key and rooms are locked, too: counted is what the system has, no more.
        held = sum(m.end - m.start for m in observed.mappings() if "lo" in m.flags and "secretmem" not in m.path)
        print(wrong, is_enough(), left, stats().locked_size == held)
    """)
    assert out.split() == ["[]", "True", "0", "True"]
