"""Children that have to seal with ``cryptography``. Importing this skips where that is missing."""

import pytest

pytest.importorskip(
    "cryptography",
    minversion="47",
    reason="needs cryptography >= 47, the first with _into: pip install '.[test]'; it does not load on Wine 8",
)

#: A process in which PyNaCl's private module cannot be imported.
ALONE = """
sys.modules["nacl._sodium"] = None
from strongroom import _native
from strongroom.secret import engines
"""

#: The same, with a class of ours around the library's own; ``meanwhile`` runs inside each of its calls once it is set.
WRAPPED = f"""{ALONE}
from cryptography.hazmat.primitives.ciphers import aead
meanwhile = at_start = None
class Cipher:
    def __init__(self, key):
        if at_start: at_start()
        self.real = real(key)
    def encrypt_into(self, *arguments):
        if meanwhile: meanwhile(*arguments)
        return self.real.encrypt_into(*arguments)
    def decrypt_into(self, *arguments):
        if meanwhile: meanwhile(*arguments)
        return self.real.decrypt_into(*arguments)
real, aead.AESGCM = aead.AESGCM, Cipher
"""
