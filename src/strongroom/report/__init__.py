"""One way to show results, shared by every command: a table for people, JSON for programs.

table, json                 what every command writes
memory                      what rows of memory come to: kinds, what stands out, sums
picture                     these as lines of cells, drawn by terminal and, in the colours of style, by html
"""
