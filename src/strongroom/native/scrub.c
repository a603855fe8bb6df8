#include "scrub.h"

#include "sr_os.h"

#if defined(_MSC_VER)
#define SR_APART __declspec(noinline)
#else
#define SR_APART __attribute__((noinline))
#endif

#if defined(__GNUC__) && defined(__x86_64__)

#include <cpuid.h>
#include <stdatomic.h>

/* What the CPU has and the system saves: each width includes those before it. */
enum { WIDTH_UNKNOWN, WIDTH_SSE, WIDTH_AVX, WIDTH_AVX512 };

#define STATE_AVX 0x06u    /* XCR0, Intel's manual volume 1, section 13.3: SSE, AVX */
#define STATE_AVX512 0xE6u /* and opmask, upper halves of 0 to 15, all of 16 to 31 */

/* Not by __builtin_cpu_supports: what it looks at is not in every compiler's library. */
static int find_width(void)
{
    unsigned eax, ebx, ecx, edx, state, high;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE) || !(ecx & bit_AVX)) {
        return WIDTH_SSE;
    }
    __asm__ volatile("xgetbv" : "=a"(state), "=d"(high) : "c"(0));
    if ((state & STATE_AVX) != STATE_AVX) {
        return WIDTH_SSE;
    }
    int has_wide = (state & STATE_AVX512) == STATE_AVX512 && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)
        && (ebx & bit_AVX512F);
    return has_wide ? WIDTH_AVX512 : WIDTH_AVX;
}

static atomic_int known_width; /* asked once: in a virtual machine the question takes microseconds */

#define FORGET_WIDE(number) "vpxorq %%zmm" #number ", %%zmm" #number ", %%zmm" #number "\n\t"
#define FORGET_NARROW(number) "pxor %%xmm" #number ", %%xmm" #number "\n\t"
#define LOW_REGISTERS                                                                                                  \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",         \
        "xmm13", "xmm14", "xmm15"

/* Not by the compiler's zero_call_used_regs: GCC 12 passes over registers 16 to 31, and without -mavx over the upper
 * halves of the others. */
void sr_forget_registers(void)
{
    int width = atomic_load_explicit(&known_width, memory_order_relaxed);
    if (width == WIDTH_UNKNOWN) {
        width = find_width();
        atomic_store_explicit(&known_width, width, memory_order_relaxed);
    }
    if (width == WIDTH_AVX512) {
        __asm__ volatile(FORGET_WIDE(16) FORGET_WIDE(17) FORGET_WIDE(18) FORGET_WIDE(19) FORGET_WIDE(20) FORGET_WIDE(21)
                             FORGET_WIDE(22) FORGET_WIDE(23) FORGET_WIDE(24) FORGET_WIDE(25) FORGET_WIDE(26) FORGET_WIDE(27)
                                 FORGET_WIDE(28) FORGET_WIDE(29) FORGET_WIDE(30) FORGET_WIDE(31)::
                                     : "memory"); /* no other code of this file uses these */
    }
    if (width != WIDTH_SSE) {
        __asm__ volatile("vzeroall" ::: LOW_REGISTERS);
    } else {
        __asm__ volatile(FORGET_NARROW(0) FORGET_NARROW(1) FORGET_NARROW(2) FORGET_NARROW(3) FORGET_NARROW(4) FORGET_NARROW(5) FORGET_NARROW(6) FORGET_NARROW(7)
                             FORGET_NARROW(8) FORGET_NARROW(9) FORGET_NARROW(10) FORGET_NARROW(11) FORGET_NARROW(12) FORGET_NARROW(13) FORGET_NARROW(14)
                                 FORGET_NARROW(15)::
                                     : LOW_REGISTERS);
    }
}

#elif defined(__has_attribute)
#if __has_attribute(zero_call_used_regs) && (defined(__aarch64__) || defined(__i386__)) /* elsewhere GCC knows it, and cannot */
__attribute__((noinline, zero_call_used_regs("all")))
#endif
void sr_forget_registers(void)
{
}

#else

void sr_forget_registers(void)
{
}

#endif

/* Not to be put into its caller, whose frame would then hold the array. */
SR_APART void sr_scrub(void)
{
    unsigned char used[SR_SCRUB_SIZE];
    sr_os_wipe(used, sizeof used);
    sr_forget_registers();
}
