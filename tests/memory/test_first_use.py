"""The first blocks of a process, made by several threads at once."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import needs
from children import run

#: Stretches the moment in which the fork handler is being registered, so that a second thread surely meets it.
SLOW_ATFORK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *handle)
{
    int (*real)(void (*)(void), void (*)(void), void (*)(void), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "__register_atfork");
    usleep(20000);
    return real(before, parent, child, handle);
}
"""

FIRST_BLOCKS = """
made, start = [], threading.Barrier(8)
def work():
    start.wait()
    buffer = LockedBuffer(32, backing="locked")
    with buffer.open("rw") as view:
        view[:] = b"x" * 32
    made.append(buffer)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
signal.alarm(20)  # a fork that waits for itself
child = os.fork()
if child == 0:
    try:
        made[0].open().__enter__()
    except ForkedError:
        os._exit(7)
    os._exit(1)
told = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
contents = set()
for buffer in made:
    with buffer.open() as view:
        contents.add(bytes(view))
purge()
print(len(made), told, contents == {b"x" * 32})
"""


@needs.fork
@pytest.mark.parametrize("_attempt", range(3))
def test_first_blocks_in_many_threads(_attempt: int, tmp_path: Path) -> None:
    """One generation, one fork handler: a later fork neither hangs nor loses the parent's buffers."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler to slow the C library down: install gcc")
    source, library = tmp_path / "slow.c", tmp_path / "slow.so"
    source.write_text(SLOW_ATFORK)
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True)
    preload = os.environ.get("LD_PRELOAD", "")
    result = run(FIRST_BLOCKS, env={"LD_PRELOAD": f"{library} {preload}".strip()})
    assert result.code == 0, result
    assert result.out.split() == ["8", "7", "True"]


def test_an_access_entered_again_by_a_collection() -> None:
    """A finalizer that runs while a block is being entered cannot enter the same access a second time."""
    result = run("""
        buffer = LockedBuffer(32)
        tried = []
        class Meddler:
            def __init__(self, access): self.me, self.access = self, access
            def __del__(self):
                try:
                    self.access.__enter__()
                    tried.append("entered")
                except AccessError:
                    tried.append("refused")
        for _ in range(200):
            access = buffer.open("rw")
            Meddler(access)
            gc.set_threshold(1)
            try:
                with access as view:
                    view[0] = 1
            except AccessError:
                access.__exit__(None, None, None)
            gc.set_threshold(700, 10, 10)
            gc.collect()
        buffer.destroy()
        print(len(tried), buffer.is_destroyed)
    """)
    assert result.code == 0, result
    assert result.out.split() == ["200", "True"]
