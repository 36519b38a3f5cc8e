/* Pages of 4,096 bytes in one reserved range of addresses, given out in runs.

   The range is reserved once and made usable in steps, from its beginning. A table has one entry
   of 16 bytes for each page, so who owns a block is found by its address alone. Free runs stand
   in bins by length, and neighbours are joined when a run is freed (boundary tags: Knuth, The Art
   of Computer Programming, vol. 1, 2.5). Everything here needs the GIL. */

#ifndef PINFUT_PAGES_H
#define PINFUT_PAGES_H

#include "module.h" /* Python.h is the first */

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define STEP ((size_t)1024) /* pages that are made usable at a time */
#define DIRTY ((size_t)256) /* free pages that are kept with memory behind them, at most */
#define TRIES 16            /* runs of a bin that are looked at, at most */
#define GRANULES (PAGE / 16)

#define NEVER_INLINE __attribute__((noinline))

/* What memcheck and AddressSanitizer have to know, where they are used. */
#ifdef PINFUT_ANNOTATE
#include <valgrind/memcheck.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif
#define NOTE(asan, memcheck) do { asan; memcheck; } while (0)
#define NOTE_ALLOCATED(p, n, zeroed) \
    NOTE(ASAN_UNPOISON_MEMORY_REGION(p, n), VALGRIND_MALLOCLIKE_BLOCK(p, n, 0, zeroed))
#define NOTE_FREED(p, n) NOTE(ASAN_POISON_MEMORY_REGION(p, n), VALGRIND_FREELIKE_BLOCK(p, 0))
#define NOTE_OPEN(p, n) NOTE(ASAN_UNPOISON_MEMORY_REGION(p, n), VALGRIND_MAKE_MEM_DEFINED(p, n))
#define NOTE_CLOSED(p, n) NOTE(ASAN_POISON_MEMORY_REGION(p, n), VALGRIND_MAKE_MEM_NOACCESS(p, n))
#else
#define NOTE_ALLOCATED(p, n, zeroed) ((void)0)
#define NOTE_FREED(p, n) ((void)0)
#define NOTE_OPEN(p, n) ((void)0)
#define NOTE_CLOSED(p, n) ((void)0)
#endif

typedef struct Payer Payer;

enum Kind {
    FREE = 1,
    MIXED, /* blocks of several sizes; `granules` has the class of each where it begins */
    CLASS, /* blocks of one size */
    LARGE, /* one block, that begins here */
    TAIL   /* a further page of a run that is in use */
};

typedef struct {
    union {
        Payer *payer;                         /* in use: who pays */
        struct { uint32_t next, prev; } link; /* free: the others of the bin, 0 for none */
    } as;
    uint32_t run;  /* pages: at the first of a run, and at the last of a free one */
    uint16_t live; /* in use: blocks in use. Free: how many pages may have memory behind them */
    uint8_t kind;
    uint8_t size_class; /* of a CLASS page */
} Page;
_Static_assert(sizeof(Page) == 16, "an entry of the page table has 16 bytes");

#define BINS 56 /* runs of 1 to 31 pages have one each; then one for each power of two */

/* An allocator belongs to the process, so this is no state of a module. */
static struct {
    char *base;
    size_t bytes;      /* of the range; 0 until it is reserved */
    Page *pages;       /* the table; entry 0 is nobody's */
    uint8_t *granules; /* size class + 1 where a block of a MIXED page begins, else 0 */
    size_t top;        /* pages from here on were never used */
    size_t usable;     /* pages below may be touched */
    size_t dirty;      /* free pages that may have memory behind them: DIRTY at most */
    size_t used;       /* pages in use */
    uint64_t filled;   /* the bins that are not empty */
    uint32_t bins[BINS];
} range;

static inline int in_range(const void *p)
{
    return (size_t)((const char *)p - range.base) < range.bytes;
}

static inline size_t page_of(const void *p)
{
    return (size_t)((const char *)p - range.base) / PAGE;
}

static inline char *address_of(size_t at)
{
    return range.base + at * PAGE;
}

static void *reserve(size_t size)
{
    void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Reserve 64 GiB of addresses, or as many as there are; 0 when there is not even 1 GiB. */
static int reserve_range(void)
{
    for (size_t size = (size_t)64 << 30; size >= (size_t)1 << 30; size >>= 1) {
        size_t count = size / PAGE;
        range.base = reserve(size);
        range.pages = reserve(count * sizeof(Page));
        range.granules = reserve(count * GRANULES);
        if (range.base && range.pages && range.granules) {
            range.bytes = size;
            return 1;
        }
        if (range.base) munmap(range.base, size);
        if (range.pages) munmap(range.pages, count * sizeof(Page));
        if (range.granules) munmap(range.granules, count * GRANULES);
    }
    range.base = NULL;
    return 0;
}

/* Whether the pages below `end` may be touched now. */
static int make_usable(size_t end)
{
    size_t from = range.usable, to = (end + STEP - 1) / STEP * STEP;
    if (end <= from) return 1;
    if (to > range.bytes / PAGE) return 0;
    const int both = PROT_READ | PROT_WRITE;
    if (mprotect(range.pages + from, (to - from) * sizeof(Page), both) < 0
        || mprotect(range.granules + from * GRANULES, (to - from) * GRANULES, both) < 0
        || mprotect(address_of(from), (to - from) * PAGE, both) < 0)
        return 0;
    if (from == 0) {
        range.pages[0].kind = TAIL; /* what is before the first run is not free */
        range.top = 1;
    }
    range.usable = to;
    return 1;
}

static inline unsigned bin_of(size_t run)
{
    return run < 32 ? (unsigned)run : 32 + (63 - 5) - (unsigned)__builtin_clzll(run);
}

static void put_in_bin(size_t at, size_t run, size_t dirty)
{
    Page *page = &range.pages[at];
    unsigned bin = bin_of(run);
    page->kind = FREE;
    page->run = (uint32_t)run;
    page->live = (uint16_t)dirty;
    page->as.link.prev = 0;
    page->as.link.next = range.bins[bin];
    if (range.bins[bin]) range.pages[range.bins[bin]].as.link.prev = (uint32_t)at;
    range.bins[bin] = (uint32_t)at;
    range.filled |= (uint64_t)1 << bin;
    Page *last = &range.pages[at + run - 1];
    last->kind = FREE;
    last->run = (uint32_t)run;
}

static void take_from_bin(size_t at)
{
    Page *page = &range.pages[at];
    unsigned bin = bin_of(page->run);
    uint32_t next = page->as.link.next, prev = page->as.link.prev;
    if (next) range.pages[next].as.link.prev = prev;
    if (prev)
        range.pages[prev].as.link.next = next;
    else if ((range.bins[bin] = next) == 0)
        range.filled &= ~((uint64_t)1 << bin);
}

static size_t find_free(size_t run)
{
    unsigned bin = bin_of(run);
    size_t at = range.bins[bin];
    for (int tries = TRIES; at && tries; tries--, at = range.pages[at].as.link.next)
        if (range.pages[at].run >= run) return at;
    uint64_t longer = range.filled & ~(((uint64_t)2 << bin) - 1);
    return longer ? range.bins[__builtin_ctzll(longer)] : 0;
}

/* The first of `run` pages in a row, or 0. `*zeroed` says whether all of them read as zero. */
static size_t take_run(size_t run, int *zeroed)
{
    size_t at = find_free(run);
    *zeroed = 1;
    if (at) {
        take_from_bin(at);
        size_t left = range.pages[at].run - run, dirty = range.pages[at].live;
        *zeroed = dirty == 0;
        range.dirty -= dirty;
        if (left) {
            /* which of them have memory behind them is not known: as many as may have */
            size_t still = dirty < left ? dirty : left;
            put_in_bin(at + run, left, still);
            range.dirty += still;
        }
    } else {
        if (run > range.bytes / PAGE || !make_usable(range.top + run + 1)) return 0;
        at = range.top;
        range.top += run;
    }
    for (size_t i = 0; i < run; i++) range.pages[at + i].kind = TAIL; /* in use, from here on */
    range.pages[at].run = (uint32_t)run;
    range.used += run;
    return at;
}

static void give_back(size_t at, size_t run)
{
    size_t dirty = run;
    range.used -= run;
    range.pages[at].kind = FREE;
    NOTE_CLOSED(address_of(at), run * PAGE);
    if (range.pages[at - 1].kind == FREE) {
        size_t before = range.pages[at - 1].run;
        at -= before;
        take_from_bin(at);
        run += before;
        dirty += range.pages[at].live;
        range.dirty -= range.pages[at].live;
    }
    if (at + run < range.top && range.pages[at + run].kind == FREE) {
        Page *after = &range.pages[at + run];
        take_from_bin(at + run);
        run += after->run;
        dirty += after->live;
        range.dirty -= after->live;
    }
    if (range.dirty + dirty > DIRTY && madvise(address_of(at), run * PAGE, MADV_DONTNEED) == 0)
        dirty = 0;
    if (dirty > UINT16_MAX) dirty = UINT16_MAX; /* only where madvise fails */
    range.dirty += dirty;
    put_in_bin(at, run, dirty);
}

#endif
