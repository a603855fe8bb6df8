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
    """The names of a protection and its modifiers: ``"READ_WRITE | GUARD"``; ``"reserved"`` for none at all."""
    names = [name for name, bit in PROTECTIONS.items() if protection & bit]
    return " | ".join(names) if names else "reserved"


def is_protection_possible(protection):
    """Whether private memory of this system can have a protection; ``ValueError`` if nothing could."""
    return _checked_protection(protection, False) != 0


cdef unsigned _known_protection(object protection) except? 0:
    """One of the eight, with or without a modifier, wherever that may be possible."""
    cdef size_t value, base, modifiers
    if isinstance(protection, bool) or not PyIndex_Check(protection):
        raise TypeError(f"protection must be one of the constants of strongroom.vm, not {_describe(protection)}")
    try:
        value = _checked_number(protection, "protection")
    except ValueError:  # too large, or negative
        raise ValueError(f"protection {protection:#x} is none of the eight protections, with or without modifiers")
    base = value & 0xFF
    modifiers = value & ~<size_t>0xFF
    if base == 0 or base & (base - 1) or modifiers & ~<size_t>(SR_GUARD | SR_NO_CACHE | SR_WRITE_COMBINE):
        raise ValueError(f"protection {value:#x} is none of the eight protections, with or without modifiers")
    if modifiers & (modifiers - 1) or (modifiers and base == SR_NO_ACCESS):
        raise ValueError(
            f"protection {protection_name(value)}: GUARD, NO_CACHE and WRITE_COMBINE exclude each other and NO_ACCESS")
    return <unsigned>value


cdef unsigned _checked_protection(object protection, bint must_be_possible=True) except? 0:
    """One that private memory of this system can have; 0 for another, if that is no error."""
    cdef unsigned value = _known_protection(protection), base = value & 0xFF
    if value & ~sr_os_protections():
        if must_be_possible:
            raise UnsupportedError(
                f"{protection_name(value)} can become nothing for private memory on this system"
                + (": private pages are copied on write by themselves, use READ_WRITE"
                   if base == SR_WRITE_COPY or base == SR_EXECUTE_WRITE_COPY else ""))
        return 0
    return value


cdef size_t _checked_number(object value, str what) except? 0:
    """An offset, size or address: not negative, and no more than this machine can count to."""
    cdef size_t number
    if type(value) is not int:
        if isinstance(value, bool) or not PyIndex_Check(value):
            raise TypeError(f"{what} must be an integer, not {_describe(value)}")
        value = PyNumber_Index(value)
    try:
        number = value
    except OverflowError:
        raise ValueError(f"{what} must be from 0 to {SIZE_MAX:,}, not {value:,}") from None
    return number
