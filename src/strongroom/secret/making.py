"""How secrets are made of what this process has: each way fills locked memory, and what is there is sealed."""

from __future__ import annotations

from strongroom import _native
from strongroom.secret import sealing, sources  # noqa: F401, now: a child forked while a thread imports them would wait for ever

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, Self

    from typing_extensions import Buffer

__all__ = ["Making"]


@_native.lean
class Making(_native.Sealed):
    """The ways in, from memory."""

    __slots__ = ()

    @classmethod
    def build(
        cls,
        size: int,
        fill: Callable[[_native.View], int | None],
        *,
        in_children: Literal["forget", "keep"] = "forget",
        shielded: bool = False,
    ) -> Self:
        """Let ``fill`` write a secret into locked memory, then seal it.

        Args:
            size: Bytes the View has, at least 1, not rounded. The locked memory around it is: with the canary, up to
                whole pages.
            fill: Called once with a writable View of ``size`` zero bytes. What it returns is the number of bytes it
                wrote (``os.readv`` returns that), or ``None`` for all of them.
            in_children: ``"keep"``: children made by ``os.fork``, and theirs, can open it too; its key is handed over
                to them. ``"forget"``: they cannot, and their ``open`` says so.
            shielded: Hash its key anew from 16 KiB in locked memory for each opening, so that who reads that memory
                with a few errors has nothing. It makes an opening about 20 microseconds longer.

        Returns:
            The sealed secret; the memory that ``fill`` wrote to is wiped.

        Raises:
            ValueError, TypeError: A size that makes no sense, or ``fill`` returned one; another word for
                ``in_children``, or a wrong one in ``STRONGROOM_POLICY``.
            LockLimitError: No memory can be locked for the key or for the View.
            BufferError: ``fill`` kept a buffer of the View; says who holds it.
            PurgedError, ForkedError: ``purge()`` or a fork came while ``fill`` ran.
            UnsupportedError: No cipher is installed that computes its published example.
            MemoryError: There is no ordinary memory for the ciphertext.
            SystemCallError: Another refusal, with the call's name.
            Whatever ``fill`` raises; no secret is made then.

        Platform notes: the first secret of a process also draws the key and loads the cipher library.

        Does not protect against: copies of the bytes that ``fill`` takes them from or makes on the way. With
        ``in_children="keep"`` whoever reads one child's key reads what all of them keep.

        Source: mlock(2), mprotect(2); VirtualLock and VirtualProtect on Windows.

        Version added: 0.1.
        """
        secret = cls.__new__(cls)
        secret._seal(size, fill, in_children, shielded)
        return secret

    @classmethod
    def random(
        cls,
        size: int,
        *,
        in_children: Literal["forget", "keep"] = "forget",
        shielded: bool = False,
    ) -> Self:
        """Draw ``size`` random bytes from the operating system's generator, straight into locked memory.

        Args:
            size: Bytes, at least 1, not rounded.
            in_children, shielded: As in ``build``.

        Returns:
            The sealed secret.

        Raises:
            ValueError, TypeError: A size that makes no sense.
            LockLimitError: No memory can be locked.
            UnsupportedError, SystemCallError, MemoryError: As ``build``; also when the generator fails.

        Platform notes: Linux, macOS and BSD ask the kernel, and early in a boot Linux waits until its pool is ready. On
        Windows the generator lies inside this process, seeded by the kernel.

        Does not protect against: a machine whose generator is weak or known, such as two copies of one virtual machine
        that were resumed from the same snapshot.

        Source: getrandom(2) on Linux, getentropy(2) on macOS and BSD, BCryptGenRandom on Windows.

        Version added: 0.1.
        """
        secret = cls.__new__(cls)
        secret._seal_random(size, in_children, shielded)
        return secret

    @classmethod
    def from_buffer(
        cls,
        source: Buffer,
        *,
        wipe: bool = True,
        in_children: Literal["forget", "keep"] = "forget",
        shielded: bool = False,
    ) -> Self:
        """Take what lies in a buffer, and overwrite it there with zeros.

        Args:
            source: Anything with a contiguous buffer: ``bytearray``, ``array``, a View, a NumPy array.
            wipe: ``False`` leaves the source as it is, and takes ``bytes`` too.
            in_children, shielded: As in ``build``.

        Returns:
            The sealed secret, as long as the buffer.

        Raises:
            TypeError: The source has no buffer (encode a ``str``), or ``wipe`` is true and it cannot be overwritten.
            ValueError: It is empty.
            BufferError: It is not contiguous (NumPy says that as a ValueError).
            LockLimitError: No memory can be locked. The source is as it was then, as after every error.
            UnsupportedError, SystemCallError, MemoryError: As ``build``.

        Does not protect against: copies made of the source before: by growing a ``bytearray``, for example.

        Version added: 0.1.
        """
        secret = cls.__new__(cls)
        secret._seal_copy(source, wipe, in_children, shielded)
        return secret

    @classmethod
    def from_hex(
        cls,
        text: str | Buffer,
        *,
        in_children: Literal["forget", "keep"] = "forget",
        shielded: bool = False,
    ) -> Self:
        """Decode hexadecimal digits straight into locked memory.

        Args:
            text: ``str`` or bytes; digits in small or capital letters, with blanks between them or not.
            in_children, shielded: As in ``build``.

        Returns:
            The sealed secret: half as many bytes as there are digits.

        Raises:
            ValueError: It is no such text, or empty. The error says where, and nothing of what stands there.
            TypeError: Neither ``str`` nor a buffer.
            LockLimitError, UnsupportedError, SystemCallError, MemoryError: As ``build``.

        Does not protect against: the text itself, which is the secret in another form and stays where it is. A
        ``bytearray`` can be overwritten afterwards, a ``str`` by nobody.

        Version added: 0.1.
        """
        return cls.build(*sources.from_text("hex", text), in_children=in_children, shielded=shielded)

    @classmethod
    def from_base64(
        cls,
        text: str | Buffer,
        *,
        in_children: Literal["forget", "keep"] = "forget",
        shielded: bool = False,
    ) -> Self:
        """Decode base64 straight into locked memory, in constant time for texts of one length.

        Args:
            text: ``str`` or bytes, in the usual alphabet or the one for URLs, with padding or without, with blanks and
                newlines between the characters or not.
            in_children, shielded: As in ``build``.

        Returns:
            The sealed secret.

        Raises:
            ValueError: It is no such text, empty, or ends in bits that are not zero and stand for nothing. Says where.
            TypeError: Neither ``str`` nor a buffer.
            LockLimitError, UnsupportedError, SystemCallError, MemoryError: As ``build``.

        Does not protect against: the text itself, as with ``from_hex``.

        Source: RFC 4648, sections 4 and 5.

        Version added: 0.1.
        """
        return cls.build(*sources.from_text("base64", text), in_children=in_children, shielded=shielded)
