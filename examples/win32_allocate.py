"""The same by Windows' own names: what a C program would call, in the same order, on any system."""

from strongroom.vm.win32 import (
    MEM_COMMIT,
    MEM_DECOMMIT,
    MEM_RELEASE,
    MEMORY_BASIC_INFORMATION,
    PAGE_READWRITE,
    RtlMoveMemory,
    VirtualAlloc,
    VirtualFree,
    VirtualQuery,
)

# Example 1: commit 8 bytes, which become a page, and give the page back.
pointer_to_memory = VirtualAlloc(None, 8, MEM_COMMIT, PAGE_READWRITE)
print(f"The base address of allocated memory is: {pointer_to_memory:x}")
VirtualFree(pointer_to_memory, 8, MEM_DECOMMIT)
VirtualFree(pointer_to_memory, 0, MEM_RELEASE)  # decommitted pages stay reserved until then

# Example 2: the same with data in it.
pointer_to_memory = VirtualAlloc(None, 8, MEM_COMMIT, PAGE_READWRITE)
print(f"The base address of allocated memory is: {pointer_to_memory:x}")
RtlMoveMemory(pointer_to_memory, b"1337", 4)
buffer = bytearray(4)
RtlMoveMemory(buffer, pointer_to_memory, 4)
print(f"The data which is stored in the memory is {buffer.decode()}")

VirtualFree(pointer_to_memory, 8, MEM_DECOMMIT)
information = MEMORY_BASIC_INFORMATION()
VirtualQuery(pointer_to_memory, information)
print(f"Decommitted: {information.RegionSize:,} bytes in state {information.State:#x}")
VirtualFree(pointer_to_memory, 0, MEM_RELEASE)
VirtualQuery(pointer_to_memory, information)
print(f"Released: state {information.State:#x}")
