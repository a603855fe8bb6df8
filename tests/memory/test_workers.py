"""Worker processes that are started afresh, as multiprocessing does everywhere but by fork."""

import pytest

from children import succeed
from strongroom import Secret


def test_a_spawned_worker_is_unaffected() -> None:
    """multiprocessing's spawn starts a fresh interpreter that makes its own secrets."""
    code = "from strongroom import *; print(len(Secret.random(3).reveal()))"
    assert succeed(f"""
        import subprocess
        secret = Secret.random(32)
        with secret.open():
            print(subprocess.run([sys.executable, "-c", {code!r}], capture_output=True, text=True, check=True).stdout)
    """).split() == ["3"]


def test_a_secret_does_not_travel_to_a_worker() -> None:
    """multiprocessing cannot pickle it, and says why."""
    import multiprocessing.reduction as reduction

    with pytest.raises(TypeError, match="pickled"):
        reduction.ForkingPickler.dumps(Secret.random(3))


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
        forks = pages = descriptors = 0
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
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
            forks, pages, descriptors = forks + 1, pages + (got & 1), descriptors + (got >> 1)
        ended = True
        for thread in threads:
            thread.join()
        assert forks > 20, forks
        print("children with pages:", pages, "with a descriptor:", descriptors)
    """,
        env={"PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )
    assert out.strip() == "children with pages: 0 with a descriptor: 0"


def test_the_raw_fork_is_a_fork() -> None:
    """Control: the system call used above makes a child at all."""
    number = SYS_FORK.get(os.uname().machine)
    if number is None:
        pytest.skip("needs the fork system call (x86_64)")
    pid = ctypes.CDLL(None).syscall(number)
    if pid == 0:
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
