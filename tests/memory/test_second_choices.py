"""What a buffer gets where its first choice is not to be had, and for how long; and what stays for the next one."""

import pytest

import needs
from children import succeed

pytestmark = needs.linux

PREFERS_SECRET_MEMORY = """
if LockedBuffer(32).backing != "secretmem":
    children.skip("here small buffers are locked in any case: this kernel has no secret memory, or may hibernate")
"""

#: Buffers with pages of their own, up to the lock limit.
FULL = """
kept = []
try:
    while True:
        kept.append(LockedBuffer(2048))
except LockLimitError:
    pass
"""


def test_a_shortage_of_descriptors_is_over_when_it_is_over() -> None:
    """Without a descriptor for secret memory a small buffer is locked; the next one has its first choice again."""
    out = succeed(f"""{PREFERS_SECRET_MEMORY}
kept = [LockedBuffer(512)]
while strongroom.stats().arenas[-1].taken < strongroom.stats().arenas[-1].slots:
    kept.append(LockedBuffer(512))
_soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
files = []
try:
    while True:
        files.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
kept.append(LockedBuffer(512))
told = [kept[-1].backing]
strongroom.stats()
for file in files:
    os.close(file)
for _ in range(3):
    kept.append(LockedBuffer(512))
    told.append(kept[-1].backing)
print(*told)
""")
    assert out.split() == ["locked", "secretmem", "secretmem", "secretmem"]


def test_at_the_limit_free_slots_of_the_other_backing_serve() -> None:
    """A LockLimitError comes when nothing is free, not beside free slots that are as good as the policy wants."""
    out = succeed(f"""{PREFERS_SECRET_MEMORY}
children.limit_locks(65536)
first = LockedBuffer(32, backing="locked")
{FULL}second = LockedBuffer(32)
print(second.backing)
try:
    LockedBuffer(32, backing="secretmem")
except LockLimitError:
    print("refused")
""")
    assert out.split() == ["locked", "refused"]


def test_idle_portions_of_many_threads_make_room_for_a_region() -> None:
    """Eight threads leave a page of each kind behind; a region that locks its own gets them."""
    out = succeed("""
from strongroom import vm
children.limit_locks(65536)
def use():
    for size in (16, 32):
        LockedBuffer(size).destroy()
for _ in range(8):
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
print(strongroom.stats().locked_now, strongroom.stats().slots)
with vm.allocate(8 * vm.PAGE_SIZE) as region:
    region.lock()
    print(vm.lock_limit().locked_now)
""")
    assert out.split() == ["65536", "0", "32768"]


@needs.much_locked
def test_what_stays_after_very_many_is_little(backing: str) -> None:
    """Of thousands of buffers in growing portions a page is left, whichever of them go first."""
    out = succeed(
        f"""
import random
for order in (lambda all: None, lambda all: all.reverse(), random.Random(1).shuffle):
    made = [LockedBuffer(32, backing={backing!r}) for _ in range(11_000)]
    order(made)
    for buffer in made:
        buffer.destroy()
    print(sum(arena.size for arena in strongroom.stats().arenas) // strongroom.vm.PAGE_SIZE)
""".replace("strongroom.vm.PAGE_SIZE", "__import__('strongroom.vm').vm.PAGE_SIZE")
    )
    assert out.split() == ["1", "1", "1"]


@pytest.mark.parametrize("isolated", [True, False])
def test_a_fork_between_two_tries(isolated: bool) -> None:
    """At the limit idle rooms go first, which may run code that forks: the child is told, and its parent served."""
    out = succeed(f"""
children.limit_locks(65536)
secret = Secret.random(8)
secret.reveal()
{FULL}kept.pop().destroy()
secret.reveal()
class Forking:
    def release(self):
        global pid
        if pid is None:
            pid = os.fork()
pid = None
strongroom._native.bells().append(Forking())
try:
    buffer = LockedBuffer({5000 if isolated else 900}, isolated={isolated}, policy=Policy(on_shortfall="allow"))
    word = "made"
except ForkedError:
    word = "forked"
children.end_fork(pid, word)
""")
    assert out.split() == ["child", "forked", "status", "0", "parent", "made"]


@pytest.mark.parametrize("count", [300])
def test_an_exception_of_a_signal_handler_is_not_lost_to_a_waiter(count: int) -> None:
    """Giving memory back while another thread waits for it runs no Python code that a signal could end for nothing."""
    out = succeed(f"""
children.limit_locks(8 << 20)
class Rung(Exception):
    pass
rung = 0
def ring(number, frame):
    global rung
    rung += 1
    raise Rung
signal.signal(signal.SIGALRM, ring)
keep = LockedBuffer(3 << 20, backing="locked")
policy = Policy(wait_seconds=100)
threading.Thread(target=lambda: LockedBuffer(7 << 20, backing="locked", policy=policy), daemon=True).start()
while not strongroom._native.bells():
    time.sleep(0.01)
lost = 0
for turn in range({count}):
    buffer = LockedBuffer(1 << 20, backing="locked")
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.00001 + turn * 0.000001)
        buffer.destroy()
        while rung == turn:  # however late the timer
            time.sleep(0.003)
        lost += 1
    except Rung:
        pass
print(lost, flush=True)
os._exit(0)
""")
    assert out.split() == ["0"]
