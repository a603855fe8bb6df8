"""A process full of secrets, and each way it can make a child: code for ``children.Live``.

The parent says how many tracers it wants, reads the control and these from its standard input, says where some of them
are, then runs what it is sent. Each way says the child's number, the ways that fork also what using inherited things
raised.
"""

PARENT = """
import multiprocessing, subprocess
has_secretmem = True
try:
    LockedBuffer(1, backing="secretmem").destroy()
except UnsupportedError:
    has_secretmem = False
backings = ["locked", "secretmem"] if has_secretmem else ["locked"]
print(2 * len(backings) + 2, flush=True)
control = bytearray(32)
take(control)
buffers = [LockedBuffer(32, backing=backing, isolated=True) for backing in backings for _ in range(2)]
for buffer in buffers:
    with buffer.open("rw") as view:
        assert take(view) == 32
accesses = [buffer.open("rw") for buffer in buffers[::2]]
views = [access.__enter__() for access in accesses]
secret = Secret.build(32, take)
with Secret.build(32, take).open():
    pass                                    # leaves an idle room
opened = secret.open()
views.append(opened.__enter__())
def told(use):
    try:
        use()
        return "nothing"
    except Exception as error:
        return type(error).__name__
def uses():
    "What each kind of use raises in this process, and whether it can make its own."
    inherited = buffers[0].open().__enter__, lambda: views[0][0], secret.reveal, lambda: views[-1][0]
    found = set(map(told, inherited))
    own = Secret.random(8)
    with LockedBuffer(8) as mine, mine.open("rw"), own.open():
        pass
    return " ".join(sorted(found))
def wait_for_parent():
    os.read(reading, 1)
    os._exit(0)
reading, writing = os.pipe()
def say(*words):
    print(*words, flush=True)
say(len(buffers), address_of(control), *map(address_of, views))
exec(os.read(0, 1 << 16).decode())          # what a test wants of it
while True:
    time.sleep(1)
"""

#: Each way to make a child that has a copy of its parent's memory: it says its number, is looked at, then uses things.
FORKS = {
    "os.fork": """
pid = os.fork()
if pid == 0:
    os.read(reading, 1); say(uses()); wait_for_parent()
say(pid)
""",
    "multiprocessing, fork": """
def work(buffers, secret):
    os.read(reading, 1); say(uses()); wait_for_parent()
process = multiprocessing.get_context("fork").Process(target=work, args=(buffers, secret))
process.start()
say(process.pid)
""",
    "subprocess with preexec_fn, before exec": """
def before():
    say(os.getpid()); os.read(reading, 1); say(uses()); os.read(reading, 1)
threading.Thread(target=subprocess.run, args=(["true"],), kwargs=dict(preexec_fn=before), daemon=True).start()
""",
    "raw clone(2)": """
pid = libc.syscall({"x86_64": 56, "aarch64": 220}[os.uname().machine], signal.SIGCHLD, 0, 0, 0, 0)
if pid == 0:
    os.read(reading, 1); say(uses()); wait_for_parent()
say(pid)
""",
}
#: Each way to make a child that runs a program of its own.
PROGRAMS = {
    "subprocess": 'say(subprocess.Popen(["sleep", "60"]).pid)',
    "subprocess with close_fds=False": 'say(subprocess.Popen(["sleep", "60"], close_fds=False).pid)',
    "subprocess with preexec_fn": 'say(subprocess.Popen(["sleep", "60"], preexec_fn=lambda: None).pid)',
    "os.posix_spawn": 'say(os.posix_spawnp("sleep", ["sleep", "60"], os.environ))',
    "multiprocessing, spawn": """
process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
process.start()
say(process.pid)
""",
    "multiprocessing, forkserver": """
process = multiprocessing.get_context("forkserver").Process(target=time.sleep, args=(60,))
process.start()
say(process.pid)
""",
}
#: The rest of the table: the tests have these words in their docstrings.
OTHERS = {"vfork(2), until exec", "threads"}
