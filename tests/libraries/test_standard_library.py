"""Views in the hands of Python's own library: what takes a buffer reads a View in place, what fills one fills it."""

import array
import asyncio
import base64
import binascii
import hashlib
import hmac
import io
import mmap
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest

import needs
from samples import made_of
from strongroom import LockedBuffer, View

CONTENT = bytes(range(100, 132))


@pytest.fixture(params=["buffer", "secret", "slice"])
def view(request: pytest.FixtureRequest) -> Iterator[View]:
    """CONTENT as a buffer's View, as an opened secret's, and as a slice of a longer one."""
    if request.param == "secret":
        with made_of(CONTENT).open() as opened:
            yield opened
        return
    before, after = (3, 2) if request.param == "slice" else (0, 0)
    with LockedBuffer(before + 32 + after) as buffer, buffer.open("rw") as whole:
        whole[before : before + 32] = CONTENT
        yield whole[before : before + 32]


@pytest.fixture
def empty() -> Iterator[View]:
    """32 zeros that can be written."""
    with LockedBuffer(32) as buffer, buffer.open("rw") as made:
        yield made


def updated(digest: Any, data: Any) -> bytes:
    """Return what a hash or MAC is after taking something in."""
    digest.update(data)
    result: bytes = digest.digest()
    return result


def appended(items: Any, data: Any) -> object:
    """Return an array with the items that bytes stand for."""
    items.frombytes(data)
    return items


READERS: dict[str, Callable[[Any], object]] = {
    "hashlib.sha256": lambda data: hashlib.sha256(data).digest(),
    "hashlib.blake2b, as key": lambda data: hashlib.blake2b(b"message", key=data).digest(),
    "hash.update": lambda data: updated(hashlib.sha3_256(), data),
    "hashlib.pbkdf2_hmac": lambda data: hashlib.pbkdf2_hmac("sha256", data, data, 2),
    "hashlib.scrypt": lambda data: hashlib.scrypt(data, salt=data, n=2, r=1, p=1),
    "hmac.digest, as key": lambda data: hmac.digest(data, b"message", "sha256"),
    "hmac.digest, as message": lambda data: hmac.digest(b"key", data, "sha256"),
    "hmac.update": lambda data: updated(hmac.new(b"key", digestmod="sha256"), data),
    "hmac.compare_digest": lambda data: (hmac.compare_digest(data, CONTENT), hmac.compare_digest(CONTENT[1:], data)),
    "zlib.crc32": zlib.crc32,
    "zlib.adler32": zlib.adler32,
    "zlib.compress": lambda data: zlib.decompress(zlib.compress(data)),
    "zlib.compressobj": lambda data: (packer := zlib.compressobj(), packer.compress(data) + packer.flush())[1],
    "base64.b64encode": base64.b64encode,
    "base64.b32encode": base64.b32encode,
    "base64.a85encode": base64.a85encode,
    "binascii.hexlify": binascii.hexlify,
    "struct.unpack": lambda data: struct.unpack("<4Q", data),
    "struct.unpack_from": lambda data: struct.unpack_from("<I", data, 7),
    "struct.iter_unpack": lambda data: list(struct.iter_unpack("<H", data)),
    "int.from_bytes": lambda data: int.from_bytes(data, "big"),
    "bytes": bytes,
    "bytearray": bytearray,
    "bytes.join": lambda data: b", ".join([data, data]),
    "bytes +": lambda data: b"" + data,
    "bytes.find": lambda data: CONTENT.find(data),
    "bytes %": lambda data: b"%b" % data,
    "array": lambda data: array.array("B", data),
    "array.frombytes": lambda data: appended(array.array("Q"), data),
    "io.BytesIO": lambda data: io.BytesIO(data).read(),
    "memoryview": lambda data: memoryview(data).tolist(),
    "memoryview.cast": lambda data: memoryview(data).cast("Q").tolist(),
    "memoryview, two dimensions": lambda data: memoryview(data).cast("B", (4, 8)).tolist(),
}


@pytest.mark.parametrize("name", READERS)
def test_what_reads_a_buffer_reads_a_view(view: View, name: str) -> None:
    """Each gives for a View what it gives for the same bytes, and has given the buffer back when it returns."""
    assert READERS[name](view) == READERS[name](CONTENT)


def test_asyncio_sends_it_from_a_socket_and_not_through_a_stream(view: View) -> None:
    """``sock_sendall`` takes the memory itself; a stream keeps what it could not send, and takes no View."""

    async def send() -> bytes:
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(here, view)
            _reader, writer = await asyncio.open_connection(sock=here)
            with pytest.raises(TypeError):
                writer.write(view)  # type: ignore[arg-type]
            writer.close()
            return there.recv(len(view))

    assert asyncio.run(send()) == bytes(view)


def test_a_queue_of_processes_refuses_it(view: View) -> None:
    """What such a queue would do in its own thread, where nobody hears of it."""
    with pytest.raises(TypeError, match="pickled"):
        ForkingPickler.dumps(view)


def test_hmac_new_takes_a_key_or_says_that_it_does_not(view: View) -> None:
    """Python 3.11 to 3.13 take only bytes and bytearray for a key there; hmac.digest takes any buffer."""
    key: Any = view
    told = ""
    try:
        told = hmac.new(key, b"message", "sha256").hexdigest()
    except TypeError as error:
        told = str(error)
    assert "key: expected bytes" in told or told == hmac.digest(CONTENT, b"message", "sha256").hex()


def test_decoders_read_a_view() -> None:
    """base64, hex and zlib decode what a View holds."""
    for encoded, decode in (
        (base64.b64encode(CONTENT), base64.b64decode),
        (CONTENT.hex().encode(), binascii.unhexlify),
        (zlib.compress(CONTENT), zlib.decompress),
    ):
        with made_of(encoded).open() as opened:
            assert decode(opened) == CONTENT


def test_struct_packs_into_a_view(empty: View) -> None:
    """At an offset, in place; past the end is struct.error, and nothing was written."""
    struct.pack_into("<QH", empty, 22, 2**64 - 2, 513)
    assert bytes(empty) == bytes(22) + b"\xfe" + b"\xff" * 7 + b"\x01\x02"
    with pytest.raises(struct.error):
        struct.pack_into("<Q", empty, 25, 7)
    assert empty[31] == 2


def test_a_read_only_view_is_not_filled() -> None:
    """What writes into a buffer asks for a writable one, and is refused by the View itself."""
    with made_of(CONTENT).open() as opened:
        for fill in (io.BytesIO(b"x" * 32).readinto, lambda v: struct.pack_into("<I", v, 0, 1)):
            with pytest.raises((TypeError, BufferError)):
                fill(opened)
        assert opened == CONTENT


# ---- files ----


def test_files_read_into_and_write_from_views(view: View, empty: View, tmp_path: Path) -> None:
    """Unbuffered and buffered files, and a mapped one."""
    path = tmp_path / "file"
    with open(path, "wb", buffering=0) as raw:
        assert raw.write(view) == 32
    with open(path, "ab") as buffered:
        assert buffered.write(view[:4]) == 4
    assert path.read_bytes() == CONTENT + CONTENT[:4]
    for buffering in (0, -1):
        empty[:] = bytes(32)
        with open(path, "rb", buffering=buffering) as file:
            assert file.readinto(empty[:20]) == 20  # type: ignore[attr-defined]
        assert bytes(empty) == CONTENT[:20] + bytes(12)
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 32) as mapped:
        mapped[:32] = b"m" * 32
        mapped[4:36] = view[:28]
        empty[:] = mapped
    assert bytes(empty) == b"mmmm" + CONTENT[:28]


@needs.unix
def test_vectored_calls_take_views(view: View, empty: View, tmp_path: Path) -> None:
    """os.write, writev, pwrite, pwritev, readv, preadv and preadv of several Views at once."""
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert os.write(descriptor, view) == 32
        assert os.writev(descriptor, [view[:16], view[16:]]) == 32
        assert os.pwrite(descriptor, view[8:16], 64) == 8
        assert os.pwritev(descriptor, [view[:1], view[1:2]], 72) == 2
        assert os.preadv(descriptor, [empty[:16], empty[16:]], 32) == 32
        assert empty == CONTENT
        os.lseek(descriptor, 64, os.SEEK_SET)
        empty[:] = bytes(32)
        assert os.readv(descriptor, [empty[:4], empty[10:]]) == 10
        assert bytes(empty) == CONTENT[8:12] + bytes(6) + CONTENT[12:16] + CONTENT[:2] + bytes(16)
    finally:
        os.close(descriptor)


def test_pipes_carry_views(view: View, empty: View) -> None:
    """From View to View through a pipe, whichever way it is read."""
    reading, writing = os.pipe()
    with io.FileIO(reading) as source, io.FileIO(writing, "w") as sink:
        assert os.write(sink.fileno(), view) == 32
        assert source.readinto(empty) == 32
    assert empty == CONTENT


# ---- sockets ----


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected stream sockets."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_sockets_send_and_fill_views(pair: tuple[socket.socket, socket.socket], view: View, empty: View) -> None:
    """send, sendall, recv_into, recv_into with a size, recvfrom_into."""
    one, other = pair
    assert one.send(view) == 32
    one.sendall(view)
    assert other.recv_into(empty, 10) == 10
    assert bytes(empty) == CONTENT[:10] + bytes(22)
    assert other.recv_into(empty[10:], 22) == 22
    assert empty == CONTENT
    empty[:] = bytes(32)
    assert other.recvfrom_into(empty)[0] == 32
    assert empty == CONTENT


@needs.unix
def test_sockets_gather_and_scatter_views(pair: tuple[socket.socket, socket.socket], view: View, empty: View) -> None:
    """sendmsg and recvmsg_into with several Views."""
    one, other = pair
    assert one.sendmsg([view[:5], view[5:]]) == 32
    size, *_ = other.recvmsg_into([empty[:16], empty[16:]])
    assert size == 32
    assert empty == CONTENT


def test_a_socket_that_is_closed_keeps_nothing(view: View) -> None:
    """A call that fails has given the buffer back: the block ends without a BufferError."""
    one, other = socket.socketpair()
    one.close()
    other.close()
    with (
        pytest.raises(OSError, match=r"descriptor|socket|10038"),
        LockedBuffer(32) as buffer,
        buffer.open("rw") as mine,
    ):
        one.recv_into(mine)
    with pytest.raises(OSError, match=r"descriptor|socket|10038"):
        one.send(view)
