"""The victim: a Python program that holds one tracer in every kind of memory and waits to be attacked."""
