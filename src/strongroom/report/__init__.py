"""One way to show results, shared by every command: a table for people, JSON for programs."""
