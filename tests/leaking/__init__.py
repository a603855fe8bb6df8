"""Who leaks what: the program behind the tables of docs/libraries.md, ``python tests/leaking --help``."""
