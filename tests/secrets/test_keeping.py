"""in_children="keep": the key reaches forked children through a pipe, and nothing else does."""

import pytest

import needs
from children import succeed

pytestmark = needs.fork

#: ``in_child(f)``: what f() returns there, or the name of what it raised.
FORKING = """
def in_child(f):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                word = f"{f()}"
            except Exception as error:
                word = f"{type(error).__name__}: {error}"
            os.write(1, word.encode() + b"\\n")
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_children_and_theirs_open_what_was_kept() -> None:
    """Of each kind, and sealed under an earlier key too; what was not kept raises an error that says so."""
    out = succeed(f"""{FORKING}
kept = [Secret.from_buffer(b"kept", wipe=False, in_children="keep"),
        Secret.from_buffer(b"both", wipe=False, in_children="keep", shielded=True)]
rekey()
kept.append(Secret.from_buffer(b"late", wipe=False, in_children="keep"))
forgotten = Secret.random(8)
def read():
    return b" ".join(one.reveal() for one in kept).decode()
in_child(read)
in_child(lambda: in_child(lambda: in_child(read)))
in_child(forgotten.reveal)
print(read())
""")
    first, third, *rest, told, last = out.splitlines()
    assert first == third == last == "kept both late"
    assert rest == ["None", "None"]
    assert told.startswith("ForkedError: ")
    assert "post_fork" in told
    assert "in_children='keep'" in told


def test_a_child_never_seals_under_the_parents_key() -> None:
    """Two processes would use the same nonces: all that it seals is under keys of other numbers."""
    out = succeed(f"""{FORKING}
from secrets_at_rest import HEAD, envelope_of
def number(secret):
    return HEAD.unpack(ctypes.string_at(envelope_of(secret)[0], HEAD.size))[2]
kept = Secret.random(8, in_children="keep")
def numbers():
    kept.reveal()
    before = number(kept)
    mine = [Secret.random(8, in_children=word) for word in ("keep", "forget")]
    for _ in range(2):
        for one in (kept, *mine):
            one.reveal()
        if min(map(number, (kept, *mine))) <= before:
            return "the parent's"
        rekey()
    return before
in_child(numbers)
print(number(kept))
""")
    child, parent = out.splitlines()
    assert child == parent


def test_purge_in_a_child_ends_it_there_only() -> None:
    """PurgedError in the child, and in its children; the parent goes on."""
    out = succeed(f"""{FORKING}
kept = Secret.from_buffer(b"kept", wipe=False, in_children="keep")
def purged():
    purge()
    in_child(kept.reveal)
    return kept.reveal()
in_child(purged)
print(kept.reveal().decode())
""")
    grandchild, child, parent = out.splitlines()
    assert child.startswith("PurgedError")
    assert grandchild.startswith("ForkedError")
    assert parent == "kept"


@pytest.mark.parametrize("moment", ["open", "being made"])
def test_a_fork_in_the_middle(moment: str) -> None:
    """In a block, or while it is being made: an error in the child's block, and afterwards it opens there."""
    out = succeed(f"""{FORKING}
kept = Secret.from_buffer(b"kept", wipe=False, in_children="keep")
if {moment == "open"}:
    with kept.open() as view:
        in_child(lambda: bytes(view))
        in_child(kept.reveal)
else:
    def fill(view):
        in_child(lambda: bytes(view))
        in_child(kept.reveal)
        view[:] = b"made"
    Secret.build(4, fill, in_children="keep")
print(kept.reveal().decode())
""")
    block, opened, parent = out.splitlines()
    assert block.startswith("ForkedError")
    assert opened == "b'kept'"
    assert parent == "kept"


@needs.linux
@pytest.mark.parametrize("trouble", ["descriptors", "locks", "purged"])
def test_what_goes_wrong_is_said_in_the_child(trouble: str) -> None:
    """The fork itself works, the parent's secrets open, and the child's error gives the reason."""
    out = succeed(f"""{FORKING}
kept = Secret.from_buffer(b"kept", wipe=False, in_children="keep", shielded={trouble == "locks"})
plain = Secret.from_buffer(b"plain", wipe=False)
if {trouble!r} == "descriptors":
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
elif {trouble!r} == "locks":
    children.limit_locks(strongroom.stats().locked_now + 4096)
else:
    from strongroom import _native
    real = _native.kept_keys
    _native.kept_keys = lambda: (real(), purge())[0]
in_child(kept.reveal)
if {trouble!r} != "purged":
    print(kept.reveal().decode(), plain.reveal().decode())
""")
    told = out.splitlines()[0]
    assert told.startswith("ForkedError: ")
    reason = {"descriptors": "Too many open files", "locks": "LIMIT", "purged": "purged"}[trouble]
    assert reason.lower() in told.lower()
    if trouble != "purged":
        assert out.splitlines()[1] == "kept plain"


@needs.linux
def test_nothing_is_left_over() -> None:
    """No descriptor in parent or child, no pad that is not zeros, no locked page more in the parent."""
    out = succeed(f"""{FORKING}
from strongroom.secret import forking
pads, real = [], forking._Hand.fill
def fill(self):
    real(self)
    pads.append(self.pad)
    self.was_filled = any(self.pad)
forking._Hand.__slots__ = ()
forking._Hand = type("_Hand", (forking._Hand,), {{"fill": fill}})
kept = [Secret.random(8, in_children="keep", shielded=shielded) for shielded in (False, True)]
for one in kept:
    one.reveal()
before = sorted(os.listdir("/proc/self/fd")), strongroom.stats().isolated
def look():
    one = len(kept[0].reveal()) + len(kept[1].reveal())
    return one, sorted(os.listdir("/proc/self/fd")) == before[0], len(pads), any(map(any, pads))
for _ in range(3):
    in_child(look)
print((sorted(os.listdir("/proc/self/fd")), strongroom.stats().isolated) == before, len(pads), any(map(any, pads)))
""")
    assert out.splitlines() == [
        "(16, True, 1, False)",
        "(16, True, 2, False)",
        "(16, True, 3, False)",
        "True 3 False",
    ]


def test_forks_in_many_threads_at_once() -> None:
    """Each child has the keys, and no other child's pipe."""
    out = succeed(f"""{FORKING}
kept = Secret.from_buffer(b"kept", wipe=False, in_children="keep")
def look():
    return kept.reveal().decode(), len(os.listdir("/dev/fd"))
def work():
    for _ in range(10):
        in_child(look)
in_child(look)
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""")
    assert len(out.splitlines()) == 61
    assert len(set(out.splitlines())) == 1


def test_exec_and_what_makes_no_copy_are_left_alone() -> None:
    """A program started by subprocess has no descriptor of ours, and works."""
    out = succeed("""
        import subprocess
        kept = Secret.random(8, in_children="keep")
        for more in ({}, {"close_fds": False}, {"preexec_fn": lambda: None}):
            done = subprocess.run([sys.executable, "-c", "import os; print(len(os.listdir('/dev/fd')))"],
                                  capture_output=True, text=True, check=True, **more)
            print(done.stdout.strip())
        print(len(kept.reveal()))
    """)
    *counts, size = out.split()
    assert len(set(counts)) == 1
    assert size == "8"


def test_forks_while_others_rekey_and_open() -> None:
    """Every child opens what was kept, whichever key it lay under at the fork."""
    out = succeed(f"""{FORKING}
kept = [Secret.from_buffer(b"kept", wipe=False, in_children="keep") for _ in range(3)]
is_over = threading.Event()
def change():
    while not is_over.wait(0.002):
        rekey()
def use():
    while not is_over.is_set():
        for one in kept:
            one.reveal()
threads = [threading.Thread(target=work) for work in (change, use)]
for thread in threads: thread.start()
try:
    for _ in range(80):
        in_child(lambda: [one.reveal() for one in kept])
finally:
    is_over.set()
    for thread in threads: thread.join()
""")
    assert set(out.splitlines()) == {"[b'kept', b'kept', b'kept']"}
    assert len(out.splitlines()) == 80
