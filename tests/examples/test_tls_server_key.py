"""examples/tls_server_key.py, and which copies of its key OpenSSL leaves: another process looks at each step."""

import datetime
import platform
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip(
    "cryptography",
    minversion="47",
    reason="needs cryptography >= 47 to make a certificate: pip install '.[test]'; it does not load on Wine 8",
)

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import needs
from children import Live
from observed import Memory

pytestmark = [
    needs.linux,
    pytest.mark.skipif(sys.byteorder != "little", reason="needs little endian: the form of OpenSSL's numbers"),
]

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "tls_server_key.py"
#: glibc overwrites what is freed, and keeps nothing back from that; mallopt(3) M_PERTURB, ld.so(8).
OVERWRITING = {"GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"}
STEPS = ("loaded", "wiped", "handshake", "context gone")


class Key:
    """A key and its certificate in files, and the forms in which it may lie in memory."""

    def __init__(self, directory: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate, self.file = directory / "certificate.pem", directory / "key.pem"
        self.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, form, plain)
        self.file.write_bytes(pem)
        self.file.chmod(0o600)
        number = key.private_numbers().private_value.to_bytes(32, "big")
        self.forms = {
            "whole PEM": pem,
            "a line of it": pem.splitlines()[2],
            "DER": number,  # as it stands in there, most significant byte first
            "number": number[::-1],  # as OpenSSL calculates with it
        }


@pytest.fixture
def key(tmp_path: Path) -> Key:
    """A new key for each test."""
    return Key(tmp_path)


def copies(key: Key, env: dict[str, str]) -> dict[str, dict[str, int]]:
    """Run the program step by step; return how often each form was found at each step, the file's pages included."""
    found = {}
    with Live(
        f"""
        import runpy
        sys.argv = ["tls_server_key.py", {str(key.certificate)!r}, {str(key.file)!r}, "--step"]
        runpy.run_path({str(PROGRAM)!r}, run_name="__main__")
    """,
        env=env,
    ) as child:
        assert child.line().startswith("key: <Secret ")
        with Memory(child.pid) as memory:
            for step in STEPS:
                assert child.line().startswith(step)
                counts = memory.counts(key.forms.values())
                found[step] = {form: counts[content] for form, content in key.forms.items()}
                files = [m for m in memory.mappings() if "strongroom-file" in m.path]
                assert len(files) == (step == "loaded")
                child.go()
    return found


def show(title: str, found: dict[str, dict[str, int]]) -> None:
    """Say it; pytest -s shows it."""
    lines = [f"\n{title}, {ssl.OPENSSL_VERSION}"]
    for step, counts in found.items():
        lines.append(f"  {step:<13}" + ", ".join(f"{form} {count}" for form, count in counts.items()))
    sys.stdout.write("\n".join([*lines, ""]))


def test_which_copies_openssl_leaves(key: Key) -> None:
    """The PEM is whole only in the file, and only in the block; the parsed key stays as long as its context.

    That the PEM is found in the block, and the number until the context is gone, shows that the search finds them.
    """
    found = copies(key, {})
    show("as it is", found)
    assert [found[step]["whole PEM"] for step in STEPS] == [1, 0, 0, 0]
    assert all(found[step]["number"] >= 1 for step in STEPS[:3])
    assert found["context gone"]["number"] == 0


def test_which_copies_go_with_overwriting(key: Key) -> None:
    """With a C library that overwrites what is freed only the parsed key is left, and nothing after the context."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("needs glibc, whose tunables these are")
    found = copies(key, OVERWRITING)
    show("freed memory overwritten", found)
    nothing = dict.fromkeys(key.forms, 0)
    assert found["loaded"]["whole PEM"] == 1
    assert found["wiped"] == found["handshake"] == nothing | {"number": 1}
    assert found["context gone"] == nothing


def test_it_says_what_it_did() -> None:
    """Started without arguments it makes a key in another process, serves its own client, and ends well."""
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["key", *STEPS]
    assert lines[0].endswith(" bytes, sealed>")
    assert lines[2].endswith(" is gone")
    assert lines[3] == "handshake: TLSv1.3, the client trusts the key and got b'hello over TLS'"


def test_a_key_that_is_none(key: Key, tmp_path: Path) -> None:
    """One line on standard error and exit code 1; no byte of the file is in it."""
    key.file.write_bytes(b"this is no key")
    command = [sys.executable, str(PROGRAM), str(key.certificate), str(key.file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("SSLError: ")
    assert done.stderr.count("\n") == 1
    assert "no key" not in done.stderr
