# Protections and numbers: what may be asked of a region. A part of _native.pyx.

#: The eight protections and the modifiers, with Windows' values; strongroom.vm exports them.
PROTECTIONS = {
    "NO_ACCESS": SR_NO_ACCESS,
    "READ_ONLY": SR_READ_ONLY,
    "READ_WRITE": SR_READ_WRITE,
    "WRITE_COPY": SR_WRITE_COPY,
    "EXECUTE": SR_EXECUTE,
    "EXECUTE_READ": SR_EXECUTE_READ,
    "EXECUTE_READ_WRITE": SR_EXECUTE_READ_WRITE,
    "EXECUTE_WRITE_COPY": SR_EXECUTE_WRITE_COPY,
    "GUARD": SR_GUARD,
    "NO_CACHE": SR_NO_CACHE,
    "WRITE_COMBINE": SR_WRITE_COMBINE,
}

def protection_name(protection):
    """Name a protection and its modifiers.

    Args:
        protection: Any combination of the constants.

    Returns:
        The names, as in ``"READ_WRITE | GUARD"``; bits without one as a number; ``"reserved"`` for 0, which stands for
        pages that are not committed.

    Raises:
        ValueError, TypeError: What no protection could be.

    Source: memory protection constants (winnt.h).

    Version added: 0.1.
    """
    cdef size_t left = _checked_number(protection, "protection")
    names = []
    for name, bit in PROTECTIONS.items():
        if left & <size_t>bit:
            names.append(name)
            left &= ~<size_t>bit
    if left:
        names.append(f"{left:#x}")
    return " | ".join(names) if names else "reserved"


def is_protection_possible(protection):
    """Whether private memory of this system can have a protection; ``ValueError`` if nothing could."""
    return _checked_protection(protection, False) != 0


cdef unsigned _known_protection(object protection, str what="protection") except? 0:
    """One of the eight, with or without a modifier, wherever that may be possible."""
    cdef size_t value, base, modifiers
    if isinstance(protection, bool) or not PyIndex_Check(protection):
        raise TypeError(f"{what} must be one of the constants of strongroom.vm, not {_describe(protection)}")
    number = protection if type(protection) is int else _whole(protection, what)
    try:
        value = number
    except OverflowError:
        raise ValueError(
            f"{what} {_counted(number, '#x')} is none of the eight protections, with or without modifiers") from None
    base = value & 0xFF
    modifiers = value & ~<size_t>0xFF
    if base == 0 or base & (base - 1) or modifiers & ~<size_t>(SR_GUARD | SR_NO_CACHE | SR_WRITE_COMBINE):
        raise ValueError(f"{what} {value:#x} is none of the eight protections, with or without modifiers")
    if modifiers & (modifiers - 1) or (modifiers and base == SR_NO_ACCESS):
        raise ValueError(
            f"{what} {protection_name(value)}: GUARD, NO_CACHE and WRITE_COMBINE exclude each other and NO_ACCESS")
    return <unsigned>value


cdef unsigned _checked_protection(object protection, bint must_be_possible=True, str what="protection") except? 0:
    """One that private memory of this system can have; 0 for another, if that is no error."""
    cdef unsigned value = _known_protection(protection, what), base = value & 0xFF
    if value & ~sr_os_protections():
        if must_be_possible:
            raise UnsupportedError(
                f"{protection_name(value)} can become nothing for private memory on this system"
                + (": private pages are copied on write by themselves, use READ_WRITE"
                   if base == SR_WRITE_COPY or base == SR_EXECUTE_WRITE_COPY else ""))
        return 0
    return value


cdef size_t _checked_number(object value, str what, size_t told=SIZE_MAX) except? 0:
    """An offset, size or address: not negative, and no more than this machine can count to; ``told``, the most in words."""
    cdef size_t number
    if type(value) is not int:
        if isinstance(value, bool) or not PyIndex_Check(value):
            raise TypeError(f"{what} must be an integer, not {_describe(value)}")
        value = _whole(value, what)
    try:
        number = value
    except OverflowError:
        raise ValueError(f"{what} must be from 0 to {told:,}, not {_counted(value)}") from None
    return number


cdef int _require_some(size_t size) except -1:
    """Refuse sizes of address space that are none, or that no pointer difference could tell."""
    if size == 0 or size > SIZE_MAX // 2:
        raise ValueError(f"size must be from 1 to {SIZE_MAX // 2:,} bytes, not {size:,}")
    return 0


def checked_number(value, str what not None):
    """The same for the Python layers: the integer, or an error that names ``what`` it was to be."""
    return _checked_number(value, what)


def checked_flag(value, str what not None):
    """A yes or no, as a bool; anything else is refused, for ``"no"`` would be taken for yes."""
    if value is not True and value is not False:
        raise TypeError(f"{what} must be True or False, not {_describe(value)}")
    return value
