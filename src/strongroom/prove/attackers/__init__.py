"""The attackers: small programs that hunt tracers by roads strongroom has no part in.

They use os, ctypes, struct and mmap only and never import the rest of strongroom (a test walks their
imports), so a mistake in the library cannot hide itself from them. Each runs as a process of its own,
gets the tracers through its standard input straight into locked memory, does one thing, and prints one
JSON object: how many copies, in which mapping or part of a file, and what it could not read. Contents
and addresses are never printed.

Who may call them: prove's trials, through `prove.spawn.attack`; and a person, by hand, to check prove.
"""
