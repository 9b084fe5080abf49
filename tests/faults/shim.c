/* At the n-th call that changes a file below a folder, ends the process: before it, after it, or with half of it done;
   or has the disk refuse from there on: full, read-only, or without permission to change names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <unistd.h>

enum { BEFORE, AFTER, HALF, FULL, READ_ONLY, DENIED };
enum { DATA, WITHIN, NAME, REMOVAL };
static char folder[PATH_MAX];
static long calls, stop_at;
static int how, coarse, full;

/* in_names: writes within an HDF5 file are not counted */
void shim_arm(const char *where, long at, int mode, int in_names) {
    strncpy(folder, where, sizeof folder - 1);
    calls = 0, stop_at = at, how = mode, coarse = in_names, full = 0;
}

long shim_calls(void) { return calls; }

static int below(const char *path) {
    char full[PATH_MAX];
    if (!folder[0] || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(full, sizeof full / 2)) return 0;
        strncat(full, "/", 2), strncat(full, path, sizeof full / 2 - 1), path = full;
    }
    return !strncmp(path, folder, strlen(folder));
}

static int at_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below(path);
}

/* the error with which a call of a kind fails, from the n-th call on */
static int refusal(int kind) {
    if (how < FULL || !stop_at || calls < stop_at) return 0;
    if (how == READ_ONLY) return EROFS;
    if (how == DENIED) return kind <= WITHIN ? 0 : EACCES;
    return kind == REMOVAL ? 0 : ENOSPC;
}

/* 1 where this is the call to stop at, and half of it shall be done first */
static int due(void) {
    if (!stop_at || calls != stop_at || how >= FULL) return 0;
    if (how == BEFORE) _exit(99);
    return 1;
}

#define REAL(name) (*(__typeof__(name) *)dlsym(RTLD_NEXT, #name))
#define AROUND(ours, kind, call, half)                                         \
    if (!(ours)) return call;                                                  \
    calls += !(coarse && kind == WITHIN);                                      \
    if (how == FULL && calls == stop_at && kind <= WITHIN && !full++) return half; \
    if (refusal(kind)) return errno = refusal(kind), -1;                       \
    int last = due();                                                          \
    if (last && how == HALF) _exit((half, 99));                                \
    __auto_type result = call;                                                 \
    if (last) _exit(99);                                                       \
    return result;

/* a disk that is nearly full takes half of the first write, and nothing after it */
ssize_t write(int fd, const void *b, size_t n) { AROUND(at_fd(fd), DATA, REAL(write)(fd, b, n), REAL(write)(fd, b, n / 2)) }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) {
    AROUND(at_fd(fd), WITHIN, REAL(pwrite)(fd, b, n, o), REAL(pwrite)(fd, b, n / 2, o))
}
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    AROUND(at_fd(fd), WITHIN, REAL(pwrite64)(fd, b, n, o), REAL(pwrite64)(fd, b, n / 2, o))
}
ssize_t sendfile64(int out, int in, off64_t *o, size_t n) {
    AROUND(at_fd(out), DATA, REAL(sendfile64)(out, in, o, n), REAL(sendfile64)(out, in, o, n / 2))
}
ssize_t sendfile(int out, int in, off_t *o, size_t n) {
    AROUND(at_fd(out), DATA, REAL(sendfile)(out, in, o, n), REAL(sendfile)(out, in, o, n / 2))
}
int fsync(int fd) { AROUND(at_fd(fd), DATA, REAL(fsync)(fd), (errno = ENOSPC, -1)) }
int fdatasync(int fd) { AROUND(at_fd(fd), DATA, REAL(fdatasync)(fd), (errno = ENOSPC, -1)) }
int ftruncate(int fd, off_t n) { AROUND(at_fd(fd), DATA, REAL(ftruncate)(fd, n), (errno = ENOSPC, -1)) }
int ftruncate64(int fd, off64_t n) { AROUND(at_fd(fd), DATA, REAL(ftruncate64)(fd, n), (errno = ENOSPC, -1)) }
int rename(const char *a, const char *b) { AROUND(below(b), REMOVAL, REAL(rename)(a, b), -1) }
int renameat(int c, const char *a, int d, const char *b) { AROUND(below(b), REMOVAL, REAL(renameat)(c, a, d, b), -1) }
int unlink(const char *a) { AROUND(below(a), REMOVAL, REAL(unlink)(a), -1) }
int unlinkat(int d, const char *a, int f) { AROUND(folder[0] && at_fd(d), REMOVAL, REAL(unlinkat)(d, a, f), -1) }
int mkdir(const char *a, mode_t m) { AROUND(below(a), NAME, REAL(mkdir)(a, m), -1) }
int open64(const char *a, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    AROUND((flags & O_CREAT) && below(a), NAME, REAL(open64)(a, flags, mode), -1)
}
