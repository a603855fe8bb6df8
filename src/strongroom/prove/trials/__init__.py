"""The trials, one per file. Each has `run(bench) -> list[Row]` and says in its first lines what it proves."""
