/* All live blocks at once: in order, by whoever purges them, or in a walk, before an end that waits for nobody.
 *
 * In: nothing. Out: zeros. What lies in private files is last everywhere, as a disk may have to be waited for. Called by the
 * purge, the exit, what a signal runs, and whoever finds memory damaged. Each that fails leaves the others their turn.
 */
#ifndef SR_ENDING_H
#define SR_ENDING_H

#include "guarded.h"

/* Wipe every live block of this process, but for those that a pool shares out, the files of secrets and what has a private
 * file, and leave its pages mapped, as accessible as they were. */
void sr_blocks_wipe_all(void);

/* The same for what has a private file, and have that overwritten too, while other threads run: what is younger than
 * `newest`, which sr_blocks_hold_files gave, is left alone. Its pages are READ_WRITE afterwards, as after a walk. Waits for
 * disks, and for those who were destroying some; whoever destroys one of these waits. NULL: there are none. An error, the
 * first: not all of it could be overwritten. */
sr_block *sr_blocks_hold_files(void);
int sr_blocks_wipe_files(sr_block *newest, sr_error *error);

/* Why there is a walk: before something that may let the process live on; before its end; or because of damage. Or that there
 * is none. */
enum { SR_WALK_LIVES_ON = 0, SR_WALK_LAST = 1, SR_WALK_DAMAGED = 2, SR_NO_WALK = 3 };

/* Have each of `visits`, up to a NULL, visit every live block, whatever other threads do and whatever this one was doing:
 * waits for nothing. Nothing joins or leaves the list meanwhile; unless the process may live on, never again. A process
 * that only shares this one's memory visits none. What `count` points to, if anything, grows by one before the first visit:
 * a block whose maker found it so, and only then asked for memory or waited (sr_blocks_await_walk), is not visited. */
typedef void sr_visit(sr_block *block, int why);
void sr_blocks_walk(sr_visit *const *visits, int why, volatile int32_t *count);

/* Whether the blocks are this process's: not so in one that only shares its memory (vfork). Async-signal-safe. */
int sr_blocks_are_ours(void);

/* From here on walks may come before which the process lives on; until then nobody waits for any. */
void sr_blocks_expect_walks(void);

/* Wait until no walk is under way that might know something older than the caller's last write. */
void sr_blocks_await_walk(void);

/* Wipe every live block at once, in such a walk. Async-signal-safe. Before the process's end what private files hold is
 * overwritten too, which waits for disks; because of damage nothing waits: what lies in private files stays. Pages
 * are READ_WRITE afterwards, whatever is noted of them: to make them what they were, or to note it, would race with whoever
 * is changing both at this moment. */
void sr_blocks_wipe_at_once(int why, volatile int32_t *count);

#define SR_DAMAGED_CANARY \
    "strongroom: memory right before or after a secret was overwritten (damaged canary). " \
    "Every secret has been wiped; ending the process.\n"

/* A canary is damaged, memory is not what it should be: forbid dumps, wipe every block, say what was found, abort. */
_Noreturn void sr_blocks_die(const char *message);

#endif
