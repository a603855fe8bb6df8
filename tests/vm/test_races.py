"""What securing is there for: a buffer that is checked, and then changed by somebody else before it is used."""

import signal

import pytest

import children
from pages import needs_proc

pytestmark = needs_proc

#: One thread makes the page read-only and writable in turn, the other writes into it past strongroom.
RACE = """
    from strongroom import vm
    region = vm.allocate(1)
    end, is_over = time.monotonic() + 0.4, False
    def toggle():
        while not is_over:
            for protection in (vm.READ_ONLY, vm.READ_WRITE):
                try:
                    region.protect(0, None, protection)
                except SecuredError:
                    pass
                time.sleep(0)
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=toggle)
    thread.start()
    written = 0
    while time.monotonic() < end or (written <= 10 and time.monotonic() < end + 45):  # something else has the CPUs
        {use}
            for _ in range(50):
                ctypes.memset(region.address, 1, 8)
            written += 1
    is_over = True
    thread.join()
    print(written)
"""

UNSECURED = "if vm.probe(region.address, 8, vm.READ_WRITE):"
SECURED = """
        try:
            handle = region.secure(0, None, vm.READ_WRITE)
        except AccessError:
            continue
        with handle:"""


def test_a_check_alone_is_a_race() -> None:
    """The control: probed as writable, written, and now and then it was made read-only in between: SIGSEGV."""
    for _ in range(3):
        if children.run(RACE.format(use=UNSECURED)).code == -signal.SIGSEGV:
            return
    pytest.skip("the race could not be lost on this machine in three tries")


def test_a_secured_buffer_stays_writable() -> None:
    """The same with secure() instead: no write ever meets a read-only page."""
    assert int(children.succeed(RACE.format(use=SECURED))) > 10
