# Why a region refused, in words. A part of _native.pyx.

_VERBS = ("commit", "decommit", "release", "protect", "lock", "unlock", "secure", "unsecure", "read", "write", "fill",
          "query", "query", "map", "page_out", "prefetch", "reset", "undo_reset")


cdef object _refused_reservation(sr_error *error, size_t size, address):
    call = error.call.decode()
    if address is not None:
        return SystemCallError(
            call, error.code, f"{size:,} bytes at {address:#x} are not free or not for this process; near= takes "
            "another place when that one is taken")
    if b"LARGE" in error.call or b"HUGE" in error.call:
        return SystemCallError(
            call, error.code, f"{size:,} bytes of large pages were asked for: Linux keeps a pool of them (sysctl "
            "vm.nr_hugepages), Windows wants the privilege to lock pages in memory")
    return SystemCallError(
        call, error.code, f"{size:,} bytes of address space were asked for: that, or the number of mappings "
        "(sysctl vm.max_map_count), may have run out")


cdef object _refusal(AddressSpace region, sr_answer outcome, sr_request *request):
    verb = _VERBS[request.verb]
    if request.verb == SR_HOLD and request.kind == SR_HOLD_VIEW:
        verb = "view"
    elif request.verb == SR_HOLD and request.kind == SR_HOLD_CALL:
        verb = "flush"  # of the calls that hold only this one asks for nothing else
    elif request.verb == SR_MAP_PAGES and request.store == NULL:
        verb = "unmap"
    where = f"{verb}: the page at offset {request.page * region.region.page_size:#x}"
    if outcome == SR_FAILED:
        return _failure(region, verb, request)
    if outcome == SR_NO_HEAP:
        return MemoryError()
    if outcome == SR_IS_RELEASED:
        return DestroyedError(f"{verb}: this {region.noun()} was released")
    if outcome == SR_NOT_COMMITTED and region.region.kind == SR_KIND_WINDOW:
        return AccessError(f"{where} shows nothing: map() pages there first")
    if outcome == SR_NOT_COMMITTED:
        return AccessError(f"{where} is reserved, not committed: commit() it first")
    if outcome == SR_FORBIDDEN:
        return AccessError(f"{where} is {protection_name(request.found)}, which forbids that: protect() it first")
    if outcome == SR_GUARD_TOUCHED:
        return AccessError(
            f"{where} was a guard page; this touch was the one it waited for, and it guards no more")
    if outcome == SR_HELD:
        return _held(region, verb, request)
    if outcome == SR_NOT_LOCKED:
        return AccessError(f"{where} is not locked by strongroom: each unlock() undoes one lock()")
    if outcome == SR_TOO_MANY_LOCKS:
        return AccessError(f"{where} is locked 4,294,967,295 times, more cannot be counted")
    if outcome == SR_WOULD_UNLOCK:
        return AccessError(
            f"{where} is locked, and this system unlocks pages that become inaccessible: unlock() first")
    if outcome >= SR_IS_WINDOW and outcome <= SR_SHOWN_ELSEWHERE:
        return _refused_by_window(outcome, verb, request)
    if outcome == SR_NOT_ALLOWED and region.region.kind == SR_KIND_WINDOW:
        return AccessError(f"{verb}: physical pages are READ_WRITE, READ_ONLY or NO_ACCESS, not "
                           f"{protection_name(request.protection)}")
    if outcome == SR_NOT_ALLOWED and request.verb == SR_MAP_PAGES:
        return AccessError("map: this is no window: vm.window() makes one")
    if outcome == SR_NOT_ALLOWED:
        return AccessError(
            f"{verb}: a {protection_name(region.allocation_protection)} view cannot become "
            f"{protection_name(request.protection)}: map() another")
    if outcome == SR_IS_LOCKED:
        return AccessError(
            f"{where} is {'large, and' if region.region.kind == SR_KIND_LARGE else 'locked: unlock() it first, else it'} "
            "stays in memory as it is")
    if outcome == SR_NOT_PRIVATE:
        return UnsupportedError(f"{verb}: what is in a view is its section's, and is not for one view to let go of")
    if outcome == SR_STAYS_COMMITTED:
        what = "the pages of a view" if region.region.kind == SR_KIND_MAPPED else "large pages"
        return UnsupportedError(f"{what} are committed until all of them are given back: release() it")
    return AccessError(f"{verb}: there is no such hold on this region")


cdef object _refused_by_window(sr_answer outcome, str verb, sr_request *request):
    if outcome == SR_IS_PARENTS:
        return ForkedError(f"{verb}: this window was made before a fork: its pages are not in this child")
    if outcome == SR_STORE_RELEASED:
        return DestroyedError(f"{verb}: these physical pages were released")
    if outcome == SR_SHOWN_ELSEWHERE:
        return AccessError(
            f"{verb}: page {request.store_page:,} is shown already, in another place or window, or was named twice: a page "
            "is in one place at a time, unmap() it there")
    if request.verb == SR_LOCK or request.verb >= SR_PAGE_OUT:
        return AccessError(f"{verb}: a window shows physical pages, which are in memory for good and never paged out anyway")
    return UnsupportedError(f"{verb}: the pages of a window come with map(), and go with unmap()")


cdef object _failure(AddressSpace region, str verb, sr_request *request):
    call = request.error.call.decode()
    code = request.error.code
    is_copy = request.verb in (SR_COPY_OUT, SR_COPY_IN, SR_FILL)
    is_touch = is_copy or request.verb == SR_HOLD and request.kind == SR_HOLD_VIEW
    if is_touch and request.found & SR_GUARD:
        return SystemCallError(
            call, code, f"{verb}: the page at offset {request.page * region.region.page_size:#x} is a guard page, and "
            "this touch could not end its guarding: memory, or the number of mappings (sysctl vm.max_map_count), may "
            "have run out, or other code has unmapped it; nothing was changed")
    if is_copy:
        return AccessError(
            f"{verb}: the system forbids it ({SystemCallError(call, code)}) although strongroom's own calls left "
            "these pages accessible: other code has protected or unmapped them"
            + (", or the file has become shorter, or its disk is full" if region.region.kind == SR_KIND_MAPPED else ""))
    if request.verb == SR_HOLD and (code == ENOSYS or code == NO_SUCH_CALL):
        return UnsupportedError(
            "permanent: this system cannot seal pages for good (mseal(2): Linux 6.10, 64 bits, and not inside some "
            "sandboxes); without permanent, secure() holds against every call through strongroom")
    if request.verb >= SR_PAGE_OUT:
        return _not_moved(verb, &request.error, request.size)
    if request.verb == SR_LOCK or (request.verb == SR_MAP_PAGES and sr_os_is_lock_limit(&request.error)):
        refused = _host.refusal(call, code, sr_os_is_lock_limit(&request.error), request.size)
        if region.region.kind != SR_KIND_MAPPED or type(refused) is not SystemCallError:
            return refused
    if request.verb == SR_MAP_PAGES and code != ENOMEM:
        return SystemCallError(call, code, f"{verb} of {request.size:,} bytes: other code has closed a descriptor of the "
                               "store, or unmapped pages of it or of the window")
    return SystemCallError(
        call, code, f"{verb} of {request.size or region.size:,} bytes: memory, or the number of mappings (sysctl "
        "vm.max_map_count), may have run out, or other code has unmapped pages of it"
        + (", or the file has become shorter, or its disk is full" if region.region.kind == SR_KIND_MAPPED else "") + "; nothing was changed")


cdef object _held(AddressSpace region, str verb, sr_request *request):
    start = request.held.first * region.region.page_size
    words = f"the {request.held.count * region.region.page_size:,} bytes from offset {start:#x}"
    mode = protection_name(<unsigned>request.held.mode)
    if request.held.kind == SR_HOLD_VIEW:
        error = BufferError(f"{verb}: a View of {words} is in use: leave its block, and release what was kept of it")
    elif request.held.kind == SR_HOLD_CALL:
        error = BufferError(f"{verb}: another thread is copying, fetching or flushing {words}: wait for it")
    elif request.held.kind == SR_HOLD_PERMANENT:
        error = SecuredError(f"{verb}: {words} were secured permanently, until the process ends")
    else:
        would = "take away what they hold" if request.verb == SR_RESET else "be more restrictive"
        error = SecuredError(f"{verb}: {words} are secured as {mode}, and this would {would}: unsecure() the handle first")
    error._held = (start, request.held.count * region.region.page_size)  # for protected(), which goes round it
    return error
