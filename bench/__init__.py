"""How long strongroom takes, beside what else a Python program could call: ``python -m bench`` in the repository.

Not part of the package and never a test that fails by noise: README.md here says how to read the figures.
"""
