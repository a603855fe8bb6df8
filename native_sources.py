"""Which C files, compiler arguments and libraries each operating system takes.

The one list that ``setup.py`` builds from and that ``.ci/check_targets.py`` checks. Files that every system shares are
not named: every ``native/*.c`` that does not begin with ``os_`` is one of them.
"""

from pathlib import Path

_ROOT = Path(__file__).parent
_NATIVE = Path("src/strongroom/native")

_UNIX = (
    "os_posix.c",
    "os_posix_process.c",
    "os_posix_signals.c",
    "os_posix_mapping.c",
    "os_posix_backing.c",
    "os_posix_physical.c",
    "os_pipe.c",
    "os_posix_paging.c",
)
_OTHER_UNIX = (
    *_UNIX,
    "os_darwin_bsd.c",
    "os_darwin_bsd_mapping.c",
    "os_darwin_bsd_physical.c",
    "os_darwin_bsd_place.c",
    "os_lacking.c",
    "os_darwin_bsd_paging.c",
)
_BSD = (*_OTHER_UNIX, "os_bsd.c")
_OF_PLATFORM = {
    "linux": (
        *_UNIX,
        "os_linux.c",
        "os_linux_mapping.c",
        "os_linux_physical.c",
        "os_linux_file.c",
        "os_linux_backing.c",
        "os_linux_asking.c",
        "os_linux_paging.c",
        "os_posix_resident.c",
    ),
    "darwin": (
        *_OTHER_UNIX,
        "os_darwin.c",
        "os_darwin_asking.c",
        "os_darwin_paging.c",
        "os_posix_mincore.c",
        "os_posix_resident.c",
    ),
    "freebsd": (*_BSD, "os_freebsd_asking.c", "os_freebsd_paging.c", "os_posix_mincore.c", "os_posix_resident.c"),
    "netbsd": (
        *_BSD,
        "os_netbsd_asking.c",
        "os_netbsd_paging.c",
        "os_posix_mincore.c",
        "os_posix_resident.c",
        "os_swapctl.c",
    ),
    "openbsd": (*_BSD, "os_openbsd_asking.c", "os_openbsd_paging.c", "os_swapctl.c"),
    "windows": (
        "os_windows.c",
        "os_windows_process.c",
        "os_windows_signals.c",
        "os_windows_environment.c",
        "os_windows_mapping.c",
        "os_windows_physical.c",
        "os_windows_backing.c",
        "os_windows_place.c",
        "os_windows_asking.c",
        "os_windows_paging.c",
        "os_lacking.c",
    ),
}

# BCryptGenRandom, LsaNtStatusToWinError, CryptProtectMemory.
_WINDOWS_LIBRARIES = ("bcrypt", "advapi32", "crypt32")
# shm_open, before glibc 2.34; an empty library since.
_LINUX_LIBRARIES = ("rt",)
# pthread_atfork, where the C library has no threads of its own.
_THREADS_APART = ("freebsd", "netbsd", "openbsd")


def platform_of(name: str) -> str:
    """Return the platform for a ``sys.platform`` value such as ``"win32"`` or ``"freebsd14"``."""
    if name == "win32":
        return "windows"
    for platform in _OF_PLATFORM:
        if name.startswith(platform):
            return platform
    raise ValueError(f"no native sources for {name!r}; known: {', '.join(_OF_PLATFORM)}")


def sources(platform: str) -> list[str]:
    """Return the C files of ``platform``, relative to the repository, in a fixed order."""
    common = sorted(path.name for path in (_ROOT / _NATIVE).glob("*.c") if not path.name.startswith("os_"))
    return [(_NATIVE / name).as_posix() for name in (*common, *_OF_PLATFORM[platform])]


def libraries(platform: str) -> list[str]:
    """Return the names of the libraries to link with, besides the C library."""
    if platform == "windows":
        return list(_WINDOWS_LIBRARIES)
    if platform == "linux":
        return list(_LINUX_LIBRARIES)
    return ["pthread"] if platform in _THREADS_APART else []


def link_args(platform: str) -> list[str]:
    """Return linker arguments for the extension.

    Every function is bound when the module is loaded. Bound on first call instead (the default in many places), the
    dynamic linker saves the vector registers to the stack right after a copy may have left a secret in them.
    """
    return [] if platform in ("windows", "darwin") else ["-Wl,-z,relro,-z,now"]


def compile_args(platform: str) -> list[str]:
    """Return compiler arguments for the extension: C11, and nothing visible outside but the module's entry.

    Where every function is bound at load time (``link_args``), the stubs that would bind it later are a detour over
    pages of their own; after a change of protection, which on some machines empties the TLB, each page counts.
    """
    if platform == "windows":
        return ["/std:c11"]  # MSVC; for _Noreturn and _Static_assert
    arguments = ["-std=c11", "-fvisibility=hidden"]
    return arguments if platform == "darwin" else [*arguments, "-fno-plt"]
