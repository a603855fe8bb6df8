"""``Secret``: the class most users need."""

from __future__ import annotations

from strongroom import _native
from strongroom.secret import sealing, sources  # now: a child forked while a thread imports them would wait for ever

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["Secret"]


class Secret(_native.Sealed):
    """Keep bytes encrypted in ordinary memory and decrypt them into locked memory for the length of a block.

    Any number of secrets fit under any lock limit: at rest each is ciphertext, and only the key and what is open at
    the moment occupy locked pages. A secret never changes; make another one instead.

        token = Secret.from_env("API_TOKEN")
        with token.open() as view:
            signature = hmac.digest(view, message, "sha256")

    ``repr`` shows the length; ``str``, ``format``, ``pickle`` and ``copy`` refuse; ``==`` takes the same time wherever
    two values of one length differ.

    Raises:
        TypeError: It was called directly; ``random``, ``build``, ``from_env`` and ``from_prompt`` make secrets.

    Platform notes: the cipher is AEGIS-256 where the CPU has AES instructions and PyNaCl the cipher, else
    XChaCha20-Poly1305. A forked child does not have its parent's key: there ``open`` raises ``ForkedError``.

    Does not protect against: whoever reads this process's memory while the secret is open, or reads the key's page;
    copies made from it (``reveal``, other libraries); code running in this process. It does not hide its length.

    Source: draft-irtf-cfrg-aegis-aead, draft-irtf-cfrg-xchacha, as libsodium computes them; mlock(2), VirtualLock.

    Version added: 0.1.
    """

    __slots__ = ()

    def __init__(self, *_wrong: object) -> None:
        raise TypeError("make a secret with Secret.random, Secret.build, Secret.from_env or Secret.from_prompt")

    @classmethod
    def build(cls, size: int, fill: Callable[[_native.View], int | None]) -> Self:
        """Let ``fill`` write a secret into locked memory, then seal it.

        Args:
            size: Bytes the View has, at least 1, not rounded. The locked memory around it is: with the canary, up to
                whole pages.
            fill: Called once with a writable View of ``size`` zero bytes. What it returns is the number of bytes it
                wrote (``os.readv`` returns that), or ``None`` for all of them.

        Returns:
            The sealed secret; the memory that ``fill`` wrote to is wiped.

        Raises:
            ValueError, TypeError: A size that makes no sense, or ``fill`` returned one; or a wrong word in
                ``STRONGROOM_POLICY``.
            LockLimitError: No memory can be locked for the key or for the View.
            BufferError: ``fill`` kept a buffer of the View; says who holds it.
            PurgedError, ForkedError: ``purge()`` or a fork came while ``fill`` ran.
            UnsupportedError: The installed PyNaCl has no cipher that computes its published example.
            MemoryError: There is no ordinary memory for the ciphertext.
            SystemCallError: Another refusal, with the call's name.
            Whatever ``fill`` raises; no secret is made then.

        Platform notes: the first secret of a process also draws the key and loads the cipher library.

        Does not protect against: copies of the bytes that ``fill`` takes them from or makes on the way.

        Source: mlock(2), mprotect(2); VirtualLock and VirtualProtect on Windows.

        Version added: 0.1.
        """
        if not _native.has_sealer():
            sealing.ensure_key()
        secret: Self = cls.__new__(cls)
        secret._seal(size, fill)
        return secret

    @classmethod
    def random(cls, size: int) -> Self:
        """Draw ``size`` random bytes from the operating system's generator, straight into locked memory.

        Args:
            size: Bytes, at least 1, not rounded.

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
        return cls.build(size, _native.fill_random)

    @classmethod
    def from_env(cls, name: str, *, scrub: bool = True) -> Self:
        """Take the value of an environment variable, as bytes.

        Args:
            name: The variable's name, without ``=``.
            scrub: Also overwrite the value where it lies (the block the kernel put on the stack, the C library's
                string, the bytes object in ``os.environ``) and remove the variable.

        Returns:
            The sealed secret, as long as the value: nothing is stripped or decoded.

        Raises:
            KeyError: There is no such variable.
            ValueError: It is empty, or the name cannot be one.
            LockLimitError: No memory can be locked.
            SystemCallError: The variable changed while it was read, or the system refused to read or remove it.
            UnsupportedError, MemoryError: As ``build``.

        Platform notes: on Windows the value is taken as UTF-8, and the system's copy and those in the C runtime's
        tables are overwritten; what each runtime's start-up code left on the heap cannot be reached.

        Does not protect against: copies made before (a ``str`` from ``os.environ[...]``, the parent process, a child
        already started, the shell's history); whoever read ``/proc/PID/environ`` until then; another thread that uses
        the environment at the same time.

        Source: getenv(3), environ(7), unsetenv(3); GetEnvironmentVariable on Windows.

        Version added: 0.1.
        """
        size, fill = sources.from_env(name)
        secret = cls.build(size, fill)
        if scrub:
            sources.scrub_env(name)
        return secret

    @classmethod
    def from_prompt(cls, text: str = "Secret: ", *, confirm: bool = False) -> Self:
        """Ask at the terminal with echo off; what is typed goes straight into locked memory.

        Args:
            text: The question, shown as it is.
            confirm: Ask twice and refuse two different answers.

        Returns:
            The sealed secret: the line without its newline.

        Raises:
            UnsupportedError: There is no terminal.
            EOFError: The terminal was closed.
            ValueError: Nothing was typed, the line is too long (over 4,094 bytes), or the two answers differ.
            LockLimitError: No memory can be locked.
            OSError, termios.error: The terminal refuses to be read, or to switch its echo off.
            SystemCallError, MemoryError: As ``build``.

        Platform notes: Unix reads ``/dev/tty``, whatever standard input is, and what was typed before the question is
        dropped. Windows reads the console, whose lines may be two bytes longer, counted in UTF-8; each character
        passes through a ``str`` of its own. ``termios.error`` is Unix's.

        Does not protect against: the kernel's terminal buffer, a terminal emulator or a multiplexer that keeps what is
        typed, a key logger.

        Source: termios(3), tty(4); _getwch in the C runtime of Windows.

        Version added: 0.1.
        """
        secret = cls.build(*sources.from_prompt(text))
        if confirm:
            again = cls.build(*sources.from_prompt(f"Again, {text}"))
            is_same = secret == again
            again.destroy()
            if not is_same:
                secret.destroy()
                raise ValueError("the two answers differ")
        return secret

    def reveal(self) -> bytes:
        """Return a copy as ``bytes``, in ordinary memory, which nobody can wipe.

        Returns:
            All bytes of the secret.

        Raises:
            DestroyedError, ForkedError, PurgedError, SealBrokenError: There is nothing to reveal.
            LockLimitError: No memory can be locked to open it.
            SystemCallError: Another refusal, with the call's name.

        Does not protect against: anything, from here on: the copy may be swapped, dumped, inherited by a child and
        left in freed heap. Prefer ``open()``.

        Version added: 0.1.
        """
        with self.open() as view:
            return bytes(view)

    def reveal_text(self) -> str:
        """Return a copy as ``str`` (UTF-8), in ordinary memory, which nobody can wipe.

        Returns:
            The text of all its bytes.

        Raises:
            ValueError: It is not UTF-8; the error does not hold the bytes.
            DestroyedError, ForkedError, PurgedError, SealBrokenError: There is nothing to reveal.
            LockLimitError: No memory can be locked to open it.
            SystemCallError: Another refusal, with the call's name.

        Does not protect against: anything, from here on: the copy may be swapped, dumped, inherited by a child and
        left in freed heap. Prefer ``open()``.

        Version added: 0.1.
        """
        with self.open() as view:
            try:
                return str(view, "utf-8")
            except UnicodeDecodeError:
                pass  # that error carries the bytes: it must not travel, nor be the context of another
        raise ValueError("this secret is not UTF-8 text: use reveal() or open()")
