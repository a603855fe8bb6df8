"""map of real programs: Python, PostgreSQL, Chromium, and processes that may not be seen."""

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import memoryrows as rows
import needs
import schemas
from children import Live, wait_for_state
from memoryrows import MIB, PAGE
from pages import needs_proc
from strongroom import LockedBuffer
from strongroom.report import html

pytestmark = needs_proc
#: Only against waiting for ever: a browser's terabytes take their time where others want the processor as well.
PATIENCE_SECONDS = 300
COMMAND = [sys.executable, "-P", "-c", "import sys; from strongroom.cli import main; sys.exit(main())", "map"]


def shown(pid: int, *form: str) -> str:
    """What map prints of a process, which it must be able to read."""
    words = [*COMMAND, str(pid), *form]
    process = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


def picture(text: str) -> str:
    """The cells of a picture, in one line: where a row of it ends hangs on the addresses."""
    return "".join(re.findall(r"^  [0-9a-f]{12}  (.*)$", text, re.MULTILINE))


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process of which every thread stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for_state(pid, "T", PATIENCE_SECONDS)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def counted(pid: int) -> dict[str, int]:
    """What its status says, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").split("\n")
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith(" kB")}


def uncounted_size(pid: int) -> int:
    """How many bytes the kernel's count of resident pages may be off, each way.

    Each of its three kinds is counted in batches, before Linux 6.2 of 64 pages in each thread, since then of 32 or
    twice the processors on each processor; get_mm_counter, SPLIT_RSS_COUNTING and lib/percpu_counter.c.
    """
    threads, processors = len(os.listdir(f"/proc/{pid}/task")), os.cpu_count() or 1
    return 3 * PAGE * max(64 * threads, max(32, 2 * processors) * processors)


def agrees(pid: int) -> dict[str, Any]:
    """map's JSON of a process whose totals are those that the kernel counts itself."""
    with stopped(pid):
        status = counted(pid)
        content = json.loads(shown(pid, "--json"))
        after = counted(pid)  # pages may be taken from a process that stands still
    assert schemas.breaches("map", content) == []
    assert not content["torn"]
    totals = content["totals"]
    assert totals["mapped"] == status["VmSize"]
    assert totals["locked"] == status["VmLck"]
    slack = uncounted_size(pid)
    assert after["VmRSS"] - slack <= totals["resident"] <= status["VmRSS"] + slack
    assert totals["swapped"] >= status["VmSwap"]  # which leaves out shared memory
    return dict(content)


def test_a_line_for_each_region() -> None:
    """--regions has each mapping that the kernel lists, by its address, but for the kernel's own half."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(b"begun\n")
        other.stdin.flush()
        assert other.stdout.readline() == b"begun\n"
        maps = Path(f"/proc/{other.pid}/maps").read_text(errors="replace").split("\n")[:-1]
        lines = shown(other.pid, "--regions").split("\n")
    head = next(number for number, line in enumerate(lines) if line.startswith("address "))
    starts = [f"{int(line.partition('-')[0], 16):012x}" for line in maps]
    assert [line.split()[0] for line in lines[head + 1 : -1]] == [start for start in starts if len(start) == 12]


def test_python_with_something_to_keep() -> None:
    """What strongroom locks is a letter in the picture, beside a guard page, and a sentence; sums are the kernel's."""
    with Live("""
        buffers = [LockedBuffer(32, isolated=True, backing="locked") for _ in range(3)]
        print(len(buffers), flush=True)
        sys.stdin.readline()
    """) as live:
        assert live.line() == "3"
        content = agrees(live.pid)
        assert content["totals"]["locked"] >= 3 * PAGE
        marks = [set(region["marks"]) for region in content["regions"]]
        assert sum({"locked", "undumpable"} <= one for one in marks) >= 1
        text = shown(live.pid)
        assert "L locked: " in text
        assert "-L" in picture(text)
        assert "only that process knows" in text
        assert "program, library" in text
        lines = shown(live.pid, "--regions")
        assert sum("LN" in line for line in lines.split("\n")) >= 1
        live.go()


def test_a_secret_stands_out() -> None:
    """Memory of memfd_secret, where the kernel has it, is a # in the picture and counted as secret."""
    try:
        LockedBuffer(32, isolated=True, backing="secretmem").destroy()
    except Exception as error:
        pytest.skip(f"needs memfd_secret: {error}")
    with Live("""
        buffer = LockedBuffer(32, isolated=True, backing="secretmem")
        print(flush=True)
        sys.stdin.readline()
    """) as live:
        live.line()
        content = agrees(live.pid)
        assert content["totals"]["secret"] >= PAGE
        assert "-#-" in picture(shown(live.pid))
        live.go()


def _postgres() -> str:
    found = shutil.which("postgres") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))), None)
    if found is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    return os.path.dirname(found)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of its own, below nothing that other users may not enter."""
    with tempfile.TemporaryDirectory(prefix="strongroom-", dir=needs.short_directory()) as name:
        yield Path(name)


def test_postgresql(folder: Path) -> None:
    """A database server with a folder of its own: its shared buffers are shared memory, of each of its processes."""
    programs = _postgres()
    options: dict[str, Any] = {}
    if os.getuid() == 0:  # which it refuses to run as
        import pwd  # not there where these tests are skipped

        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("as root: needs the user postgres, which the package of PostgreSQL makes")
        os.chown(folder, user.pw_uid, user.pw_gid)
        options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data = str(folder / "data")
    making = [f"{programs}/initdb", "-D", data, "-N", "-A", "trust", "--locale=C", "-E", "UTF8"]
    made = subprocess.run(making, capture_output=True, text=True, check=False, cwd=folder, **options)
    if made.returncode:
        pytest.skip(f"initdb cannot make a database here: {made.stderr.splitlines()[-1:]}")
    settings = {"listen_addresses": "", "unix_socket_directories": folder, "shared_buffers": "16MB", "fsync": "off"}
    command = [f"{programs}/postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **options)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while b"ready to accept" not in (folder / "log").read_bytes():
            assert time.monotonic() < deadline, (folder / "log").read_text()
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.02)
        content = agrees(server.pid)
        assert content["process"]["name"] == "postgres"
        shared = sum(one["size"] for one in content["regions"] if one["kind"] == "shared memory")
        assert shared >= 16 * MIB
        text = shown(server.pid)
        assert "shared memory" in text
        assert "MMM" in text.upper()
        assert "</html>" in shown(server.pid, "--html", "-")
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        assert any(one["kind"] == "shared memory" for one in agrees(int(children[0]))["regions"])
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(PATIENCE_SECONDS)


def test_chromium(chromium: list[str], tmp_path: Path) -> None:
    """A browser, with terabytes that it may not touch, fits the screen; and it shows a hostile page as text."""
    with subprocess.Popen(
        [*chromium, "--remote-debugging-port=0", "about:blank"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as browser:
        try:
            assert browser.stderr is not None
            while b"DevTools listening" not in (line := browser.stderr.readline()):
                assert line, "it ended"
            text = shown(browser.pid)
            assert len(text.splitlines()) <= 60
            assert max(map(len, text.splitlines())) <= 80
            for words in ("program, library", "inaccessible", "shared memory"):
                assert words in text
            agrees(browser.pid)
        finally:
            browser.terminate()
            browser.wait(PATIENCE_SECONDS)
    name = "/x\"><img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    page = tmp_path / "page.html"
    hostile = rows.account([rows.row(PAGE, PAGE, type="mapped", path=name)], name=name)
    page.write_text("".join(html.page(hostile, "today")), encoding="utf-8")
    dumped = subprocess.run(
        [*chromium, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert "<title>/x" in dumped.stdout
    assert "<title>taken" not in dumped.stdout
    for tag in ("<script", "<img"):
        assert tag not in dumped.stdout


#: This Python may be one that nobody else can read: everything is imported before privilege is given up.
WITHOUT_PRIVILEGE = """if True:
    import contextlib, ctypes, io, os, sys
    from strongroom.cli import main
    with contextlib.redirect_stdout(io.StringIO()):
        for form in ([], ["--regions"], ["--json"], ["--html", "-"]):
            main(["map", "self", *form])
    if os.getuid() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""


def without_privilege(code: str) -> subprocess.CompletedProcess[str]:
    """Run map, and what else there is to do, as nobody."""
    command = [sys.executable, "-P", "-c", WITHOUT_PRIVILEGE + f"    {code}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


def test_another_users_process_without_privilege() -> None:
    """Why not, and the totals that everybody may read, in each form; 3. With the privilege: all of it."""
    other = os.getpid() if os.getuid() == 0 else 1
    if os.getuid() != 0 and os.stat("/proc/1").st_uid == os.getuid():
        pytest.skip("no process of another user is seen here: needs root, or a process 1 that is root's")
    mounts = [line.split(" ") for line in Path("/proc/self/mounts").read_text(encoding="utf-8").split("\n")[:-1]]
    if any(re.search(r"\bhidepid=(?!0|off)", options) for _, point, _, options, *_ in mounts if point == "/proc"):
        pytest.skip("needs a /proc that shows other users' processes: it is mounted with hidepid")
    told = {}
    for form in ("", "--regions", "--json", "--html=-"):
        process = without_privilege(f"sys.exit(main(['map', '{other}', *'{form}'.split()]))")
        assert process.returncode == 3, process.stderr
        told[form] = process.stdout
        assert "CAP_SYS_PTRACE" in process.stdout
    assert told[""] == told["--regions"]
    for words in ("ermission denied", "What everybody may read:", "VmSize", "VmRSS", "RssAnon", "secret unknown"):
        assert words in told[""], words
    assert f"process {other}, user {os.stat(f'/proc/{other}').st_uid}" in told[""]
    content = json.loads(told["--json"])
    assert schemas.breaches("map", content) == []
    assert content["regions"] == []
    status = Path(f"/proc/{other}/status").read_text(encoding="utf-8")
    size = next(int(line.split()[1]) * 1024 for line in status.split("\n") if line.startswith("VmSize:"))
    assert abs(content["everybody"]["VmSize"] - size) <= 64 << 20
    assert content["totals"] == {**content["totals"], "mapped": content["everybody"]["VmSize"], "secret": None}
    if os.getuid() == 0:
        assert shown(other)


def test_without_its_page_tables_a_process_is_shown_all_the_same() -> None:
    """One that shields itself, without privilege, cannot read its own pagemap: regions and sums are there, and 3."""
    process = without_privilege("assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0; sys.exit(main(['map', 'self']))")
    assert process.returncode == 3, process.stderr
    told = " ".join(process.stdout.split())
    assert "What could not be read: " in told
    assert "pagemap" in told
    assert "shares are drawn from the left" in told
    assert "program, library" in told
