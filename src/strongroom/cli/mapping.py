"""What ``strongroom map`` reads and writes; a module of its own so that other commands start without ``vm``."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import strongroom
from strongroom import vm
from strongroom.cli import processes
from strongroom.report import html, json, memory, table, terminal, words

__all__ = ["as_object", "read", "show"]


def read(pid: int | None, *, has_places: bool) -> memory.Account:
    """Ask for all that is wanted. Raises what ``vm.regions`` does, but for PermissionError."""
    number = os.getpid() if pid is None else pid
    told = processes.read(number)
    account = memory.Account(told.name, number, told.user, number == os.getpid())
    try:
        regions = vm.regions(pid, "smaps")
        places = vm.regions(pid, "pages") if has_places else None
    except PermissionError as error:
        return replace(account, refused=error.strerror, everybody=told.totals)
    if places is None:
        return replace(account, regions=regions, torn=regions.torn, unread=regions.unread)
    torn = regions.torn or places.torn
    unread = tuple(dict.fromkeys((*regions.unread, *places.unread)))
    return replace(account, regions=regions, places=places, torn=torn, unread=unread)


def show(account: memory.Account, arguments: argparse.Namespace, code: int) -> None:
    """Print or write it."""
    has_addresses = not arguments.no_addresses
    if arguments.json:
        head, rows = as_object(account, code, has_addresses=has_addresses)
        json.write_rows(head, "regions", rows, sys.stdout)
        return
    if arguments.html:
        when = time.strftime("%Y-%m-%d %H:%M:%S %z")
        _write_page(arguments.html, html.page(account, when, has_addresses=has_addresses))
        for words in account.notes():
            sys.stderr.write(f"strongroom map: {words}\n")
        return
    width = shutil.get_terminal_size().columns
    paint = table.painter(sys.stdout, codes=terminal.CODES)
    if arguments.regions:
        for line in terminal.report_lines(account, width, paint, has_addresses=has_addresses):
            sys.stdout.write(line + "\n")
    else:
        text = terminal.picture(account, width, paint, has_addresses=has_addresses)
        sys.stdout.write(terminal.spoken(text, sys.stdout.encoding or "ascii"))


def as_object(
    account: memory.Account, code: int, *, has_addresses: bool
) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """What ``--json`` prints: everything but the regions, and those one by one."""
    head = {
        "version": strongroom.__version__,
        "process": {
            "pid": account.pid,
            "name": None if account.name is None else words.as_unicode(account.name),
            "user": account.user,
            "is_self": account.is_self,
        },
        "totals": {name: size.or_none for name, size in account.totals.items()},
        "refused": account.refused,
        "everybody": dict(account.everybody),
        "torn": account.torn,
        "unread": list(account.unread),
        "exit_code": code,
    }
    return head, (_region(row, has_addresses=has_addresses) for row in account.regions)


def _region(row: vm.PageInfo, *, has_addresses: bool) -> dict[str, Any]:
    content = row._asdict()
    if not has_addresses:
        content["address"] = content["allocation"] = None
    for name in ("protection", "allocation_protection", "secured"):
        content[name] = vm.protection_name(content[name]) if content[name] else None
    if row.path is not None:
        content["path"] = words.as_unicode(row.path)
    del content["share_count"]  # of pages, not of regions
    marks, unknown = memory.marks_of(row)
    content["kind"] = memory.KINDS[memory.base_of(row)].title
    content["marks"] = [memory.MARKS[letter].title for letter in marks]
    content["unknown"] = [memory.MARKS[letter].title for letter in unknown]
    return content


def _open_no_link(path: str, flags: int) -> int:
    """Refuse a link that was put there after the arguments were looked at. A device is not made, nor cut."""
    return os.open(path, (flags & ~(os.O_CREAT | os.O_TRUNC)) | getattr(os, "O_NOFOLLOW", 0))


def _write_page(path: str, pieces: Iterable[str]) -> None:
    """Write beside the file and put it there when it is whole, for this user alone: it holds addresses and names."""
    if path == "-":
        if isinstance(sys.stdout, io.TextIOWrapper):  # the page says that it is UTF-8, whatever the terminal speaks
            sys.stdout.reconfigure(encoding="utf-8", errors="replace")
        sys.stdout.writelines(pieces)
        return
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        with open(path, "w", encoding="utf-8", errors="replace", opener=_open_no_link) as file:
            file.writelines(pieces)
        return
    descriptor, name = tempfile.mkstemp(prefix=".strongroom-", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.writelines(pieces)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
