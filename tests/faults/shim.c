/* Ends the process at the n-th call that changes a file below a folder: before it, after it, or with half of it done. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <unistd.h>

enum { BEFORE, AFTER, HALF };
static char folder[PATH_MAX];
static long calls, stop_at;
static int how;

void shim_arm(const char *where, long at, int mode) {
    strncpy(folder, where, sizeof folder - 1);
    calls = 0, stop_at = at, how = mode;
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

/* 1 where this is the call to stop at, and half of it shall be done first */
static int due(int ours) {
    if (!ours || ++calls != stop_at) return 0;
    if (how == BEFORE) _exit(99);
    return 1;
}

#define REAL(name) (*(__typeof__(name) *)dlsym(RTLD_NEXT, #name))
#define AROUND(ours, call, half)                  \
    int last = due(ours);                         \
    if (last && how == HALF) { half; _exit(99); } \
    __auto_type result = call;                    \
    if (last) _exit(99);                          \
    return result;

ssize_t write(int fd, const void *b, size_t n) { AROUND(at_fd(fd), REAL(write)(fd, b, n), REAL(write)(fd, b, n / 2)) }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) {
    AROUND(at_fd(fd), REAL(pwrite)(fd, b, n, o), REAL(pwrite)(fd, b, n / 2, o))
}
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    AROUND(at_fd(fd), REAL(pwrite64)(fd, b, n, o), REAL(pwrite64)(fd, b, n / 2, o))
}
ssize_t sendfile64(int out, int in, off64_t *o, size_t n) {
    AROUND(at_fd(out), REAL(sendfile64)(out, in, o, n), REAL(sendfile64)(out, in, o, n / 2))
}
ssize_t sendfile(int out, int in, off_t *o, size_t n) {
    AROUND(at_fd(out), REAL(sendfile)(out, in, o, n), REAL(sendfile)(out, in, o, n / 2))
}
int fsync(int fd) { AROUND(at_fd(fd), REAL(fsync)(fd), (void)0) }
int fdatasync(int fd) { AROUND(at_fd(fd), REAL(fdatasync)(fd), (void)0) }
int ftruncate(int fd, off_t n) { AROUND(at_fd(fd), REAL(ftruncate)(fd, n), (void)0) }
int ftruncate64(int fd, off64_t n) { AROUND(at_fd(fd), REAL(ftruncate64)(fd, n), (void)0) }
int rename(const char *a, const char *b) { AROUND(below(b), REAL(rename)(a, b), (void)0) }
int renameat(int c, const char *a, int d, const char *b) { AROUND(below(b), REAL(renameat)(c, a, d, b), (void)0) }
int unlink(const char *a) { AROUND(below(a), REAL(unlink)(a), (void)0) }
int unlinkat(int d, const char *a, int f) { AROUND(folder[0] && at_fd(d), REAL(unlinkat)(d, a, f), (void)0) }
int mkdir(const char *a, mode_t m) { AROUND(below(a), REAL(mkdir)(a, m), (void)0) }
int open64(const char *a, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    AROUND((flags & O_CREAT) && below(a), REAL(open64)(a, flags, mode), (void)0)
}
