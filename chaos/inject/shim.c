// Faults of the disk and of the clocks below one process, for LD_PRELOAD.
//
// VEDFOLNIR_CHAOS_CONTROL names a file that shim.rs lays out and writes while the process runs; it is mapped, so that what is
// written there is in force at the next call. VEDFOLNIR_CHAOS_DIRECTORY is the directory whose files the disk's faults hit:
// everything else, sockets above all, works on.
//
// Whoever hits no fault pays one load from memory: the path behind a descriptor is looked up only while a fault is set.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SYNC_OK = 0, SYNC_EIO = 1, SYNC_EIO_ONCE = 2, SYNC_HANG = 3, SYNC_SLOW = 4 };
enum { BILLION = 1000000000 };

// The layout is shim.rs's: every field has 8 bytes.
struct slot {
    uint64_t generation;
    uint64_t sync_mode;
    uint64_t sync_delay_ms;
    uint64_t write_errno;
    // The clocks are off by the offset, and by rate_ppb for each nanosecond since base_ns of the true monotonic clock.
    int64_t base_ns;
    int64_t real_offset_ns;
    int64_t real_rate_ppb;
    int64_t mono_offset_ns;
    int64_t mono_rate_ppb;
    uint64_t clocks_are_off;
};

struct control {
    uint64_t magic;
    uint64_t current;
    uint64_t processes;
    uint64_t syncs;
    uint64_t syncs_failed;
    uint64_t syncs_waiting;
    uint64_t syncs_delayed;
    uint64_t writes_failed;
    uint64_t failed_once_in;
    uint64_t unused[7];
    struct slot slots[2];
};

static const uint64_t MAGIC = 0x31534f4148434456;  // "VDCHAOS1"

static struct control *control;
static char directory[4096];
static size_t directory_bytes;

// Resolved at the first call, which may come before the constructor.
#define REAL(name)                                                          \
    static __typeof__(&name) real;                                          \
    if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define COUNT(field) __atomic_fetch_add(&control->field, 1, __ATOMIC_RELAXED)

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("VEDFOLNIR_CHAOS_CONTROL");
    const char *below = getenv("VEDFOLNIR_CHAOS_DIRECTORY");
    if (name == NULL || below == NULL || strlen(below) >= sizeof directory) return;
    int fd = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) return;
    struct control *mapped = mmap(NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED || mapped->magic != MAGIC) return;
    strcpy(directory, below);
    directory_bytes = strlen(directory);
    control = mapped;
    COUNT(processes);
}

// What is in force; NULL without a control file. shim.rs never writes the slot that is current.
static const struct slot *now_in_force(void) {
    if (control == NULL) return NULL;
    return &control->slots[__atomic_load_n(&control->current, __ATOMIC_ACQUIRE) & 1];
}

static int is_below(const char *path) {
    return strncmp(path, directory, directory_bytes) == 0 && (path[directory_bytes] == '/' || path[directory_bytes] == 0);
}

static int is_ours(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    if (bytes < 0) return 0;
    path[bytes] = 0;
    return is_below(path);
}

static void wait_ms(uint64_t ms) {
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

// 0, or the error that this fsync fails with; waits as long as the disk hangs or is slow.
static int sync_fault(int fd) {
    const struct slot *at = now_in_force();
    if (at == NULL) return 0;
    if (at->sync_mode == SYNC_OK || !is_ours(fd)) {
        COUNT(syncs);
        return 0;
    }
    if (at->sync_mode == SYNC_HANG) {
        COUNT(syncs_waiting);
        while (now_in_force()->sync_mode == SYNC_HANG) wait_ms(2);
        __atomic_fetch_sub(&control->syncs_waiting, 1, __ATOMIC_RELAXED);
        at = now_in_force();
    }
    if (at->sync_mode == SYNC_SLOW) {
        wait_ms(at->sync_delay_ms);
        COUNT(syncs_delayed);
    }
    int fails = at->sync_mode == SYNC_EIO;
    if (at->sync_mode == SYNC_EIO_ONCE) {
        fails = __atomic_exchange_n(&control->failed_once_in, at->generation, __ATOMIC_RELAXED) != at->generation;
    }
    if (fails) {
        COUNT(syncs_failed);
        return EIO;
    }
    COUNT(syncs);
    return 0;
}

// 0, or the error that what would take room fails with.
static int write_fault(int fd) {
    const struct slot *at = now_in_force();
    if (at == NULL || at->write_errno == 0 || !is_ours(fd)) return 0;
    COUNT(writes_failed);
    return (int)at->write_errno;
}

static int create_fault(const char *path, int flags) {
    const struct slot *at = now_in_force();
    if (at == NULL || at->write_errno == 0 || (flags & O_CREAT) == 0 || !is_below(path)) return 0;
    // One that is there takes no room.
    if (access(path, F_OK) == 0) return 0;
    COUNT(writes_failed);
    return (int)at->write_errno;
}

#define FAIL(fault)          \
    do {                     \
        int error = (fault); \
        if (error != 0) {    \
            errno = error;   \
            return -1;       \
        }                    \
    } while (0)

#define FAULTY(type, name, parameters, arguments, fault) \
    type name parameters {                               \
        REAL(name);                                      \
        FAIL(fault);                                     \
        return real arguments;                           \
    }

FAULTY(int, fsync, (int fd), (fd), sync_fault(fd))
FAULTY(int, fdatasync, (int fd), (fd), sync_fault(fd))
FAULTY(int, syncfs, (int fd), (fd), sync_fault(fd))
FAULTY(int, sync_file_range, (int fd, off64_t at, off64_t bytes, unsigned how), (fd, at, bytes, how), sync_fault(fd))

FAULTY(ssize_t, write, (int fd, const void *from, size_t bytes), (fd, from, bytes), write_fault(fd))
FAULTY(ssize_t, pwrite, (int fd, const void *from, size_t bytes, off_t at), (fd, from, bytes, at), write_fault(fd))
FAULTY(ssize_t, pwrite64, (int fd, const void *from, size_t bytes, off64_t at), (fd, from, bytes, at), write_fault(fd))
FAULTY(ssize_t, writev, (int fd, const struct iovec *from, int pieces), (fd, from, pieces), write_fault(fd))
FAULTY(ssize_t, pwritev, (int fd, const struct iovec *from, int pieces, off_t at), (fd, from, pieces, at), write_fault(fd))
FAULTY(ssize_t, pwritev64, (int fd, const struct iovec *from, int pieces, off64_t at), (fd, from, pieces, at), write_fault(fd))
FAULTY(int, ftruncate, (int fd, off_t bytes), (fd, bytes), write_fault(fd))
FAULTY(int, ftruncate64, (int fd, off64_t bytes), (fd, bytes), write_fault(fd))
FAULTY(int, fallocate, (int fd, int mode, off_t at, off_t bytes), (fd, mode, at, bytes), write_fault(fd))
FAULTY(int, fallocate64, (int fd, int mode, off64_t at, off64_t bytes), (fd, mode, at, bytes), write_fault(fd))

// These return the error.
int posix_fallocate(int fd, off_t offset, off_t bytes) {
    REAL(posix_fallocate);
    int error = write_fault(fd);
    return error != 0 ? error : real(fd, offset, bytes);
}

int posix_fallocate64(int fd, off64_t offset, off64_t bytes) {
    REAL(posix_fallocate64);
    int error = write_fault(fd);
    return error != 0 ? error : real(fd, offset, bytes);
}

#define MODE_OF(flags)                                     \
    mode_t mode = 0;                                       \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {          \
        va_list rest;                                      \
        va_start(rest, flags);                             \
        mode = va_arg(rest, mode_t);                       \
        va_end(rest);                                      \
    }                                                      \
    FAIL(create_fault(path, flags))

int open(const char *path, int flags, ...) {
    REAL(open);
    MODE_OF(flags);
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    REAL(open64);
    MODE_OF(flags);
    return real(path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    REAL(openat);
    MODE_OF(flags);
    return real(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    REAL(openat64);
    MODE_OF(flags);
    return real(at, path, flags, mode);
}

int creat(const char *path, mode_t mode) {
    REAL(creat);
    FAIL(create_fault(path, O_CREAT));
    return real(path, mode);
}

// The clocks.

static int true_time(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    return real(clock, now);
}

static int64_t nanoseconds(const struct timespec *at) {
    return (int64_t)at->tv_sec * BILLION + at->tv_nsec;
}

static struct timespec timespec_of(int64_t ns) {
    if (ns < 0) ns = 0;
    return (struct timespec){.tv_sec = ns / BILLION, .tv_nsec = ns % BILLION};
}

static int is_wall(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

static int is_monotonic(clockid_t clock) {
    return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_BOOTTIME;
}

// By how much a clock is off.
static int64_t error_of(clockid_t clock) {
    const struct slot *at = now_in_force();
    if (at == NULL || !at->clocks_are_off) return 0;
    int wall = is_wall(clock);
    if (!wall && !is_monotonic(clock)) return 0;
    int64_t offset = wall ? at->real_offset_ns : at->mono_offset_ns;
    int64_t rate = wall ? at->real_rate_ppb : at->mono_rate_ppb;
    if (rate == 0) return offset;
    struct timespec mono;
    if (true_time(CLOCK_MONOTONIC, &mono) != 0) return offset;
    return offset + (int64_t)((double)(nanoseconds(&mono) - at->base_ns) * (double)rate / BILLION);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = true_time(clock, now);
    int64_t error = result == 0 ? error_of(clock) : 0;
    if (error != 0) *now = timespec_of(nanoseconds(now) + error);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int (*real)(struct timeval *, void *) = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(now, zone);
    int64_t error = result == 0 ? error_of(CLOCK_REALTIME) : 0;
    if (error != 0) {
        struct timespec at = timespec_of((int64_t)now->tv_sec * BILLION + (int64_t)now->tv_usec * 1000 + error);
        *now = (struct timeval){.tv_sec = at.tv_sec, .tv_usec = at.tv_nsec / 1000};
    }
    return result;
}

time_t time(time_t *now) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (now != NULL) *now = at.tv_sec;
    return at.tv_sec;
}

// Deadlines were computed from the clocks above, and the kernel knows only the true ones. (A jump during such a wait does not
// move it.)
static struct timespec true_deadline(clockid_t clock, const struct timespec *deadline) {
    int64_t error = error_of(clock);
    return error == 0 ? *deadline : timespec_of(nanoseconds(deadline) - error);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
    REAL(clock_nanosleep);
    if ((flags & TIMER_ABSTIME) == 0) return real(clock, flags, until, left);
    struct timespec deadline = true_deadline(clock, until);
    return real(clock, flags, &deadline, left);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    static __typeof__(&pthread_cond_timedwait) real;
    // x86-64 has an older, incompatible one of this name, which dlsym may find.
    if (real == NULL) real = (__typeof__(real))dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (real == NULL) real = (__typeof__(real))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    struct timespec deadline = true_deadline(CLOCK_REALTIME, until);
    return real(condition, mutex, &deadline);
}

// Rust's standard library waits by futex until an instant of its own monotonic clock.
long syscall(long number, ...) {
    REAL(syscall);
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    struct timespec deadline;
    if (number == SYS_futex && a[3] != 0 && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET) {
        clockid_t clock = (a[1] & FUTEX_CLOCK_REALTIME) != 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
        deadline = true_deadline(clock, (const struct timespec *)a[3]);
        a[3] = (long)&deadline;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
