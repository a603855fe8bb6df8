/* What a cipher leaves behind where its caller cannot see it: on the stack, and in the registers for vectors.
 *
 * libsodium's AEGIS-256 ends with both halves of the key in registers, and OpenSSL's ChaCha20 with all of its words, on
 * CPUs with AVX-512. They stay until somebody needs those registers; and whoever saves them puts the key into memory: the
 * dynamic linker, on the stack, when the process calls any function for the first time, or the kernel for a signal.
 */
#ifndef SR_SCRUB_H
#define SR_SCRUB_H

/* Bytes of stack below the caller's frame that are overwritten. Too few, and what a deep call kept there stays (measured:
 * 1.8 KiB below for libsodium, 3.7 KiB for OpenSSL in Python's `cryptography`); too many, and each open pays for them. */
#define SR_SCRUB_SIZE 6144

/* Overwrite what a call made from the caller's own frame has just left. */
void sr_scrub(void);

/* The registers alone: after a copy of our own, which leaves nothing on the stack. */
void sr_forget_registers(void);

#endif
