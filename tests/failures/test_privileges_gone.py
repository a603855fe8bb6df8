"""Errors of a process that may no longer read Python's own files: setuid, chroot, a sandbox. Nothing loads then."""

import pytest

import faultinject
from children import succeed

pytestmark = pytest.mark.skipif(
    not faultinject.is_supported(), reason="making calls fail is written for Linux x86_64, aarch64"
)

#: No module and no codec can be loaded from here on, as if the folder they are in could not be read.
START = """
    import faultinject
    from strongroom import vm
    class Refusing:
        def find_spec(self, name, path=None, target=None):
            raise PermissionError(f"{name} cannot be read")
    def close_the_door():
        import builtins
        plain = builtins.open
        def opened(file, mode="r", *rest, encoding="utf-8", **options):
            "This interpreter has loaded more codecs than the one that every interpreter starts with."
            if "b" not in mode and encoding != "utf-8":
                raise LookupError(f"unknown encoding: {encoding}")
            return plain(file, mode, *rest, encoding=None if "b" in mode else encoding, **options)
        builtins.open = opened
        sys.meta_path[:] = [Refusing()]
        try:
            import this
        except PermissionError:
            return
        raise SystemExit("the test is none")
    def raised(attempt):
        try:
            attempt()
        except Exception as error:
            return error
        raise SystemExit("nothing was raised")
"""

ERRORS = {
    "buffer": ("LockedBuffer(32, backing='locked')", "SystemCallError"),
    "lock": ("region.lock()", "SystemCallError"),
    "protect": ("region.protect(0, 1, vm.READ_ONLY)", "SystemCallError"),
    "view kept": ("keep()", "BufferError"),
    "read": ("vm.reserve(1).read()", "AccessError"),
    "argument": ("vm.reserve('x')", "TypeError"),
    "platform": ("vm.reserve(1).commit(0, 1, vm.NO_CACHE | vm.READ_ONLY)", "UnsupportedError"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_are_themselves(kind: str) -> None:
    """Each is the error that it is elsewhere, not an ImportError or a LookupError about a codec."""
    attempt, expected = ERRORS[kind]
    succeed(
        START
        + f"""
    region = vm.allocate(4096)
    def keep():
        with region.view() as view:
            kept.append(memoryview(view))
    kept = []
    close_the_door()
    for call in ("mlock", "mprotect"):
        faultinject.deny(call, errno.ENOMEM)
    error = raised(lambda: {attempt})
    assert isinstance(error, {expected}), repr(error)
    assert not error.__context__, repr(error.__context__)
    """
    )


def test_questions_are_answered() -> None:
    """What the limit is, what is at an address, whether it can be read: no file of Python's is needed for that."""
    succeed(
        START
        + """
    region = vm.allocate(4096)
    close_the_door()
    vm.lock_limit(), vm.working_set(), vm.large_page_size()
    assert vm.query(region.address).state == "committed"
    assert vm.probe(region.address, 4096, vm.READ_WRITE)
    LockedBuffer(32).destroy()
    """
    )
