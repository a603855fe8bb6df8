"""A process with a secret that children keep and one that they forget: code for ``children.succeed``."""

import textwrap

from children import succeed

#: 3.12 and later warn of a fork beside threads.
QUIET = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}

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
        signal.alarm(50)                        # a child that waits for ever dies of it
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
