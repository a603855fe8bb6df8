# What the C layer declares, as far as _native.pyx uses it; the headers say what each thing means.

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, intptr_t, uint32_t, uint64_t

cdef extern from "Python.h":
    int Py_AtExit(void (*function)() noexcept)
    Py_ssize_t Py_REFCNT(PyObject *)

cdef extern from "native/sr_os.h" nogil:
    enum: SR_UNSUPPORTED
    ctypedef struct sr_error:
        const char *call
        int64_t code
    ctypedef enum sr_protection:
        SR_NO_ACCESS
        SR_READ_ONLY
        SR_READ_WRITE
        SR_WRITE_COPY
        SR_EXECUTE
        SR_EXECUTE_READ
        SR_EXECUTE_READ_WRITE
        SR_EXECUTE_WRITE_COPY
        SR_GUARD
        SR_NO_CACHE
        SR_WRITE_COMBINE
    ctypedef enum sr_place:
        SR_PLACE_ANYWHERE
        SR_PLACE_NEAR
        SR_PLACE_EXACT
        SR_PLACE_TOP_DOWN
    ctypedef enum sr_mutex:
        SR_MUTEX_WINDOWS
        SR_MUTEX_REGIONS
    sr_protection sr_os_resting_protection()
    int sr_os_is_lock_limit(const sr_error *error)
    int sr_os_random(void *buffer, size_t size, sr_error *error)
    void sr_os_wipe(void *address, size_t size)
    int sr_os_environment_size(const char *name, size_t *size, sr_error *error)
    int sr_os_environment_read(const char *name, void *buffer, size_t size, sr_error *error)
    int sr_os_environment_wipe(const char *name, sr_error *error)
    size_t sr_os_page_size()
    size_t sr_os_granularity()
    size_t sr_os_large_page_size()
    unsigned sr_os_protections()
    void sr_os_enter(sr_mutex which)
    int sr_os_try_enter(sr_mutex which)
    void sr_os_leave(sr_mutex which)
    int sr_os_is_locked(void *address, size_t size)
    int sr_os_copy(void *to, const void *source, size_t size, sr_error *error)
    int sr_os_working_set(size_t *minimum, size_t *maximum, sr_error *error)
    int sr_os_set_working_set(size_t minimum, size_t maximum, sr_error *error)

    int sr_os_protect(void *address, size_t size, unsigned protection, sr_error *error)
    int sr_os_lock(void *address, size_t size, sr_error *error)
    int sr_os_unlock(void *address, size_t size, sr_error *error)

cdef extern from "native/listing.h" nogil:
    enum: SR_FLAG_LOCKED, SR_FLAG_UNDUMPABLE, SR_FLAG_ABSENT_IN_CHILD, SR_FLAG_ZEROS_IN_CHILD, SR_FLAG_DROPPABLE
    enum: SR_TOLD_RESIDENT, SR_TOLD_PROPORTIONAL, SR_TOLD_SHARED_CLEAN, SR_TOLD_SHARED_DIRTY, SR_TOLD_SWAPPED
    enum: SR_TOLD_SHARED_HUGE, SR_TOLD_PRIVATE_HUGE, SR_TOLD_COUNT, SR_TOLD_FLAGS
    ctypedef struct sr_mapping:
        uint64_t start, end, offset, inode
        uint32_t major, minor
        char letters[4]
        size_t path, path_size, flags_at, flags_size
        uint64_t sizes[7]
        uint32_t told, flags
    ctypedef struct sr_listing:
        size_t line
        int is_torn
    void sr_listing_begin(sr_listing *listing, const char *text, size_t size, int is_detailed)
    int sr_listing_next(sr_listing *listing, sr_mapping *row)

cdef extern from "native/sr_os_asking.h" nogil:
    enum: SR_PAGES_RESIDENT, SR_PAGES_SWAPPED, SR_PAGES_EXCLUSIVE, SR_PAGES_LOCKED, SR_PAGES_TELL_LOCKS
    enum: SR_PAGES_SHARES_SHIFT
    ctypedef struct sr_page_run:
        uint64_t start, end
        unsigned kinds
    int sr_os_listing(int64_t pid, int is_detailed, char *buffer, size_t room, size_t *size, sr_error *error)
    int sr_os_entry_at(size_t address, char *buffer, size_t room, size_t *size, sr_error *error)
    int sr_os_mapping_at(size_t address, sr_mapping *row, char *text, size_t room, sr_error *error)
    int sr_os_page_runs(int64_t pid, uint64_t start, uint64_t end, sr_page_run *runs, size_t room, size_t *count,
                        uint64_t *reached, sr_error *error)

cdef extern from "native/sr_os_paging.h" nogil:
    const uint64_t SR_NOT_TOLD
    ctypedef struct sr_page_file:
        char path[1024]
        uint64_t size, used
        int64_t priority
        int is_device
    int sr_os_faults(int64_t pid, int is_thread, uint64_t *minor, uint64_t *major, sr_error *error)
    int sr_os_resident(void *address, size_t size, size_t *pages, sr_error *error)
    int sr_os_page_out(void *address, size_t size, sr_error *error)
    int sr_os_prefetch(void *address, size_t size, int is_waited, sr_error *error)
    ctypedef struct sr_range:
        void *address
        size_t size
    int sr_os_prefetch_all(const sr_range *ranges, size_t count, sr_error *error)
    int sr_os_page_files(sr_page_file *files, size_t room, size_t *count, sr_error *error)
    int sr_os_user_space(uint64_t *start, uint64_t *end, sr_error *error)

cdef extern from "native/sr_os_signals.h" nogil:
    void sr_os_add(volatile int32_t *number, int32_t change)
    int sr_os_wipe_before(int number, void (*wipe)(int is_last) noexcept nogil, sr_error *error)

cdef extern from "native/sr_os_mapping.h" nogil:
    int sr_os_section_create(intptr_t file, unsigned protection, uint64_t *size, intptr_t *section, sr_error *error)
    int sr_os_section_named(const char *name, unsigned protection, uint64_t *size, intptr_t *section, int *existed,
                            sr_error *error)
    void sr_os_section_close(intptr_t section, const char *name, int is_maker)
    int sr_os_map_file(intptr_t file, uint64_t offset, size_t *size, sr_protection protection, void **address,
                       sr_error *error)
    int sr_os_map_view(intptr_t section, uint64_t offset, size_t *size, sr_protection protection, void **address,
                       sr_error *error)
    int sr_os_unmap_view(void *address, size_t size, sr_error *error)
    int sr_os_flush_view(void *address, size_t size, sr_error *error)
    int sr_os_crypt_protect(void *address, size_t size, unsigned flags, sr_error *error)
    int sr_os_crypt_unprotect(void *address, size_t size, unsigned flags, sr_error *error)

cdef extern from "native/sr_os_backing.h" nogil:
    ctypedef struct sr_filesystem:
        char kind[64]
        char source[1024]
    int sr_os_filesystem(const char *directory, sr_filesystem *found, sr_error *error)
    int sr_os_drops_tails(const char *directory, size_t tail, sr_error *error)

cdef extern from "native/backing.h" nogil:
    enum: SR_PARTIAL_HEAD

cdef extern from "native/names.h" nogil:
    ctypedef struct sr_name:
        pass
    sr_name *sr_name_begin(intptr_t section, const char *text, int is_maker)
    void sr_name_end(sr_name *name)
    void sr_names_end_all()

cdef extern from "native/generation.h" nogil:
    uint64_t sr_generation()
    uint64_t sr_forks()

cdef extern from "native/canary.h" nogil:
    enum: SR_CANARY_SIZE

cdef extern from "native/guarded.h" nogil:
    enum: SR_STEP_LOCK
    enum: SR_STEP_COUNT
    ctypedef enum sr_backing:
        SR_BACKING_LOCKED
        SR_BACKING_SECRETMEM
        SR_BACKING_DROPPABLE
        SR_BACKING_PARTIAL
        SR_BACKING_FILE
        SR_BACKING_COUNT
    int sr_can_vanish(sr_backing backing)
    int sr_has_file(sr_backing backing)
    ctypedef struct sr_block:
        unsigned char *reservation
        size_t reserved_size
        unsigned char *pages
        size_t pages_size
        unsigned char *data
        size_t size
        uint64_t generation
        sr_backing backing
        sr_protection protection
        sr_error outcomes[SR_STEP_COUNT]
        sr_error burned
        int is_renewing
        unsigned renewals
        unsigned borne_out
    ctypedef struct sr_making:
        sr_backing backing
        unsigned required
        unsigned untried
        const char *directory
    ctypedef enum sr_condition:
        SR_INTACT
        SR_LOST
        SR_DAMAGED
    int sr_blocks_begin(sr_error *error)
    size_t sr_block_max_size(sr_backing backing)
    int sr_block_create(sr_block *block, size_t size, sr_backing backing, unsigned required, sr_error *error)
    int sr_block_create_as(sr_block *block, size_t size, const sr_making *making, sr_error *error)
    sr_condition sr_block_condition(const sr_block *block)
    int sr_block_flush(const sr_block *block, sr_error *error)
    void sr_block_renew(sr_block *block)
    void sr_block_lose(sr_block *block)
    int sr_block_fetch(sr_block *block, sr_error *error)
    int sr_block_fetch_marks(const sr_block *block, sr_error *error)
    int sr_block_close(sr_block *block, sr_error *error)
    int sr_block_protect(sr_block *block, sr_protection protection, sr_error *error)
    void sr_block_place(sr_block *block, size_t size)
    int sr_block_is_intact(const sr_block *block)
    int sr_block_wipe(sr_block *block, sr_error *error)
    int sr_block_destroy(sr_block *block, sr_error *error)
    void sr_block_forget(sr_block *block)
    ctypedef struct sr_block_totals:
        size_t isolated
        size_t pages_size[SR_BACKING_COUNT]
        size_t unlocked_size
    void sr_blocks_count(sr_block_totals *totals)

cdef extern from "native/ending.h" nogil:
    void sr_blocks_wipe_all()
    sr_block *sr_blocks_hold_files()
    int sr_blocks_wipe_files(sr_block *newest, sr_error *error)
    int sr_blocks_are_ours()
    void sr_blocks_expect_walks()
    enum:
        SR_WALK_LIVES_ON
        SR_WALK_LAST
    void sr_blocks_await_walk()
    void sr_blocks_wipe_at_once(int why, volatile int32_t *count)
    const char *SR_DAMAGED_CANARY
    void sr_blocks_die(const char *message)

cdef extern from "native/sr_os_file.h" nogil:
    ctypedef struct sr_memory_file:
        intptr_t descriptor
    void sr_os_file_close(sr_memory_file *file)

cdef extern from "native/file.h" nogil:
    enum: SR_PATH_ROOM
    ctypedef struct sr_file:
        sr_block block
        sr_memory_file opened
    int sr_file_create(sr_file *file, size_t size, char *path, sr_error *error)
    int sr_file_destroy(sr_file *file, sr_error *error)
    void sr_files_wipe_all()

cdef extern from "native/pool.h" nogil:
    enum: SR_SLOT_MAX_SIZE
    ctypedef struct sr_pooled:
        pass
    ctypedef struct sr_slot:
        sr_pooled *home
        unsigned char *data
    int sr_pool_take(size_t size, sr_backing backing, unsigned required, sr_slot *slot, sr_error *error)
    int sr_pool_take_ready(size_t size, sr_backing backing, unsigned required, unsigned proven, sr_slot *slot)
    int sr_pool_take_free(size_t size, sr_backing backing, unsigned required, sr_slot *slot)
    void sr_pool_give(sr_slot *slot)
    int sr_slot_is_intact(const sr_slot *slot)
    const sr_block *sr_slot_pages(const sr_slot *slot)
    void sr_pool_distrust(const sr_slot *slot, unsigned steps)
    void sr_pool_wipe_all()
    size_t sr_pool_trim()
    ctypedef struct sr_pool_row:
        sr_backing backing
        size_t slot_size
        size_t pages_size
        size_t count
        size_t taken
    size_t sr_pool_list(sr_pool_row *rows, size_t most)

cdef extern from "native/sealing.h" nogil:
    enum: SR_KEY_SIZE
    ctypedef int (*sr_encrypt)(unsigned char *, unsigned long long *, const unsigned char *, unsigned long long)
    ctypedef int (*sr_decrypt)(unsigned char *, unsigned long long *, unsigned char *, const unsigned char *)
    ctypedef struct sr_engine:
        sr_encrypt encrypt
        sr_decrypt decrypt
        size_t nonce_size
        size_t tag_size
    ctypedef int (*sr_hash)(unsigned char *, size_t, const unsigned char *)
    ctypedef enum sr_keeping:
        SR_KEY_AS_IT_IS
        SR_KEY_SHIELDED
    ctypedef struct sr_key:
        sr_engine engine
        sr_hash hash
        sr_keeping keeping
        uint32_t number
        unsigned char *memory
    ctypedef struct sr_envelope:
        uint32_t size
        uint32_t key_number
    const uint32_t SR_SEALED_MAX_SIZE  # too large for an enum, which is an int
    int sr_engine_self_test(const sr_engine *engine, const unsigned char *key, const unsigned char *nonce,
                            const unsigned char *bound, size_t bound_size, const unsigned char *message,
                            size_t message_size, const unsigned char *expected)
    int sr_hash_self_test(sr_hash hash)
    sr_keeping sr_key_usual_keeping()
    size_t sr_key_memory_size(sr_keeping keeping)
    size_t sr_key_content_size(sr_keeping keeping)
    int sr_key_begin(sr_key *key, const sr_engine *engine, sr_keeping keeping, sr_hash hash, unsigned char *memory,
                     uint32_t number, sr_error *error)
    int sr_seal(sr_key *key, uint64_t identity, const unsigned char *plain, size_t size, sr_envelope *envelope,
                sr_error *error)
    int sr_unseal(const sr_key *key, uint64_t identity, const sr_envelope *envelope, unsigned char *plain,
                  sr_error *error)
    void sr_envelope_drop(sr_envelope *envelope)

cdef extern from "native/scrub.h" nogil:
    void sr_forget_registers()

cdef extern from "native/pagemap.h" nogil:
    ctypedef struct sr_run:
        size_t first
        unsigned locks
        unsigned protection

cdef extern from "native/store.h" nogil:
    ctypedef enum sr_store_kind:
        SR_STORE_SECRETMEM
        SR_STORE_LOCKED
        SR_STORE_AWE
    ctypedef struct sr_physical:
        sr_store_kind kind
        size_t page_count
    ctypedef struct sr_store:
        sr_physical native
        size_t shown_count
        void *owner
        int is_ended
    ctypedef struct sr_pane:
        sr_store *store
        size_t page
    ctypedef struct sr_window:
        sr_pane *panes
    ctypedef struct sr_store_run:
        size_t first
        size_t count
    sr_store *sr_store_make(sr_store_kind kind, size_t page_count, void *owner, sr_error *error)
    int sr_store_end(sr_store *store, sr_error *error)
    void sr_store_let_go(sr_store *store)
    int sr_store_is_ours(const sr_store *store)
    int sr_window_is_ours(const sr_window *window)
    size_t sr_panes_alike(const sr_pane *panes, size_t first, size_t end)

cdef extern from "native/region.h" nogil:
    ctypedef enum sr_hold_kind:
        SR_HOLD_VIEW
        SR_HOLD_SECURE
        SR_HOLD_PERMANENT
        SR_HOLD_CALL
    ctypedef struct sr_hold:
        uint64_t id
        size_t first
        size_t count
        sr_protection mode
        sr_hold_kind kind
    ctypedef struct sr_pagemap:
        size_t page_count
    ctypedef enum sr_region_kind:
        SR_KIND_PRIVATE
        SR_KIND_LARGE
        SR_KIND_MAPPED
        SR_KIND_WINDOW
    ctypedef struct sr_region:
        char *address
        sr_region_kind kind
        size_t page_size
        sr_pagemap pages
        sr_hold *holds
        size_t hold_count
        sr_mutex mutex
        sr_window *window
    ctypedef enum sr_verb:
        SR_COMMIT
        SR_DECOMMIT
        SR_RELEASE
        SR_PROTECT
        SR_LOCK
        SR_UNLOCK
        SR_HOLD
        SR_UNHOLD
        SR_COPY_OUT
        SR_COPY_IN
        SR_FILL
        SR_LIST
        SR_LIST_HOLDS
        SR_MAP_PAGES
        SR_PAGE_OUT
        SR_PREFETCH
        SR_RESET
        SR_UNDO_RESET
    ctypedef enum sr_answer:
        SR_DONE
        SR_FAILED
        SR_NO_HEAP
        SR_IS_RELEASED
        SR_NOT_COMMITTED
        SR_FORBIDDEN
        SR_GUARD_TOUCHED
        SR_HELD
        SR_NOT_LOCKED
        SR_TOO_MANY_LOCKS
        SR_WOULD_UNLOCK
        SR_STAYS_COMMITTED
        SR_NOT_ALLOWED
        SR_IS_WINDOW
        SR_IS_PARENTS
        SR_STORE_RELEASED
        SR_SHOWN_ELSEWHERE
        SR_NO_SUCH_HOLD
        SR_IS_LOCKED
        SR_NOT_PRIVATE
    ctypedef struct sr_request:
        sr_verb verb
        size_t first
        size_t count
        size_t offset
        size_t size
        unsigned protection
        void *memory
        unsigned char byte
        int wants_runs
        sr_protection mode
        sr_hold_kind kind
        uint64_t hold
        sr_run *runs
        size_t run_count
        sr_hold *holds
        size_t hold_count
        sr_store *store
        const sr_store_run *store_runs
        int is_whole
        sr_error error
        size_t page
        unsigned found
        sr_hold held
        size_t store_page
    int sr_region_reserve_window(sr_region *region, size_t page_count, sr_error *error)
    int sr_region_reserve(
        sr_region *region, size_t page_count, sr_place place, void *wish, size_t alignment, sr_error *error)
    int sr_region_reserve_large(sr_region *region, size_t page_count, unsigned protection, sr_error *error)
    void sr_region_adopt(
        sr_region *region, void *address, size_t page_count, unsigned protection, unsigned allowed)
    sr_answer sr_region_do(sr_region *region, sr_request *request)
    sr_answer sr_region_copy(const sr_region *region, sr_request *request)
    void sr_region_end(sr_region *region)

cdef extern from "native/decoding.h" nogil:
    ctypedef enum sr_decoded:
        SR_DECODED
        SR_NOT_A_DIGIT
        SR_CUT_SHORT
        SR_NO_ROOM
    sr_decoded sr_decode_hex(const unsigned char *text, size_t size, unsigned char *out, size_t room, size_t *written,
                             size_t *position)
    sr_decoded sr_decode_base64(const unsigned char *text, size_t size, unsigned char *out, size_t room, size_t *written,
                                size_t *position)
