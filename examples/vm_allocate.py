"""Memory the Windows way on any system: reserve, commit, write, read, decommit, release."""

from strongroom import AccessError, vm

region = vm.reserve(1 << 30)  # a gigabyte of address space: no memory yet
print(f"reserved: {region}")

offset, size = region.commit(0, 8, vm.READ_WRITE)  # 8 bytes become a page
print(f"committed: {size:,} bytes from offset {offset}, all zeros: {region.read(0, 8)!r}")

region.write(0, b"1337")
print(f"the data which is stored in the memory is {region.read(0, 4).decode()}")

old = region.protect(0, size, vm.READ_ONLY)
print(f"protection: {vm.protection_name(old)}, now {vm.protection_name(vm.query(region.address).protection)}")
try:
    region.write(0, b"7331")
except AccessError as error:
    print(f"AccessError: {error}")

region.decommit(0, size)
print(f"decommitted: the pages are {vm.query(region.address).state}")
region.release()
print(f"released: {region}")
