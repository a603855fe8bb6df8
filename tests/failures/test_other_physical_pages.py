"""Physical pages where the system refuses, or is slow: another kind instead, or the right error, and the books hold."""

import errno

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="fault injection needs Linux on x86_64 or aarch64"
)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_without_secret_memory(code: int) -> None:
    """A kernel that lacks it, and a sandbox that forbids it: "auto" takes locked pages, by name there are none."""
    succeed(f"""
        from faultinject import deny
        from strongroom import vm
        from strongroom._os import power
        power.can_hibernate = lambda: False  # else "auto" does not ask for secret memory at all
        deny("memfd_secret", {code})
        with vm.physical(vm.PAGE_SIZE) as store:
            assert store.backing == "locked"
        try:
            vm.physical(vm.PAGE_SIZE, backing="secretmem")
        except UnsupportedError as error:
            assert "memfd_secret" in str(error)
        else:
            raise AssertionError("there is none")
    """)


def test_a_limit_is_no_lack_of_secret_memory() -> None:
    """No descriptor left: "auto" says that, and takes nothing weaker."""
    succeed(f"""
        from faultinject import deny
        from strongroom import vm
        from strongroom._os import power
        power.can_hibernate = lambda: False
        deny("memfd_secret", {errno.EMFILE})
        try:
            vm.physical(vm.PAGE_SIZE)
        except SystemCallError as error:
            assert (error.call, error.code) == ("memfd_secret", {errno.EMFILE})
        else:
            raise AssertionError("something else was taken")
    """)


def test_shown_while_another_thread_releases() -> None:
    """What a window shows, asked for while its release waits for the system: all of it, or that it was released."""
    succeed("""
        import threading, time
        from faultinject import hold
        from strongroom import vm
        P = vm.PAGE_SIZE
        store, window = vm.physical(P, backing="locked"), vm.window(1024 * P)  # so many go without the GIL
        window.map(store)
        told = []
        def ask():
            try:
                told.append(window.shown())
            except DestroyedError as error:
                told.append(str(error))
        asking = threading.Thread(target=ask)
        def meanwhile():
            if asking.ident is None:
                asking.start()
                time.sleep(0.1)  # it waits for the release then; where it comes later, it is told the same
        hold("munmap", meanwhile, arg_equals=(0, window.address))
        window.release()
        asking.join()
        assert told == ["shown: this window was released"], told
        store.release()
    """)
