"""strongroom prove: attack strongroom's memory and ordinary memory on this machine, and show what was found.

A *trial* puts a fresh *tracer* into every *kind* of memory in a victim process, lets the operating system or
an attacker loose on it, and searches by a road the library has no part in. Its ordinary-memory copy is the
control: a trial counts only if the same attack, in the same run, found that one.

    runner    the order of things, signals, exit code       model     words, cells, verdicts (pure)
    trials/   one file each                                 machine   what can be tried here, and why not
    victim/   the program that holds the tracers            spawn     how processes are started
    attackers/ the programs that look for them              tracer    where tracers come from
    changes   what prove alters, journal first              journal, undo, janitor, restore: putting it back

This package must import nothing here and only relative names in `attackers`, `journal`, `undo` and
`janitor`: those run in bare interpreters that have no strongroom.
"""
