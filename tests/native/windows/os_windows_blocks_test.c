/* Blocks in pages of private files on Windows: where their contents go, what is lost, and what is left at the end. */
#include "named_checks.h"

#include "guarded.h"
#include "backing.h"
#include "private_files.h"

static void test_blocks(sr_backing backing)
{
    sr_block block;
    sr_making making = {.backing = backing, .untried = 1u << SR_STEP_LOCK, .directory = directory};
    if (!CHECK("a block is made", sr_block_create_as(&block, 100, &making, &error) == 0)) {
        printf("      %s: %lld\n", error.call, (long long)error.code);
        return;
    }
    size_t offset = (size_t)(block.pages - block.reservation) + (backing == SR_BACKING_FILE ? page - 512 : 0);
    CHECK("it is read-only at rest", told(block.pages).Protect == PAGE_READONLY);
    CHECK("and opened", sr_block_protect(&block, SR_READ_WRITE, &error) == 0 && sr_block_is_intact(&block));
    memset(block.data, 's', 100);
    CHECK("its file is written", sr_os_private_flush(block.file, block.pages, block.pages_size, &error) == 0);
    int is_in_file = memcmp(in_file(block.file, offset) + 512 - 100, block.data, 100) == 0;
    if (backing == SR_BACKING_FILE) {
        CHECK("its contents go to its file", is_in_file && block.data[99] == 's');
    } else {
        CHECK("its contents go nowhere", is_all(in_file(block.file, offset), 512, 0));
        if (has_wine()) {
            CHECK("and are lost, which is seen", sr_block_condition(&block) == SR_LOST);
            CHECK("the page is written back before they begin anew", sr_block_flush(&block, &error) == 0);
            sr_block_renew(&block);
            CHECK("they are what was stored again", sr_block_condition(&block) == SR_INTACT);
            CHECK("as zeros", is_all(block.data, 100, 0));
        }
    }
    CHECK("it is wiped", sr_block_wipe(&block, &error) == 0);
    sr_block_burn(&block);
    CHECK("and burned", block.burned.call == NULL && is_all(in_file(block.file, offset), 512 - 116, 0)
                            && is_all(in_file(block.file, offset) + 512 - 100, 100, 0));
    CHECK("and destroyed", sr_block_destroy(&block, &error) == 0 && block.burned.call == NULL && files() == 0);
    making.directory = "C:\\not\\there";
    CHECK("a block that cannot be made is none", sr_block_create_as(&block, 100, &making, &error) == -1
                                                     && block.reservation == NULL);
}

int main(void)
{
    begins();
    CHECK("blocks begin", sr_blocks_begin(&error) == 0);
    test_blocks(SR_BACKING_FILE);
    test_blocks(SR_BACKING_PARTIAL);
    ends();
    return check_result();
}
