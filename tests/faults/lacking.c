/* A file system that has no locks, cannot sync folders, or fails to read: below the folder LACKING, calls of a kind
   fail with the error that LACKING_LOCK, LACKING_SYNC or LACKING_READ names by its number. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) (*(__typeof__(name) *)dlsym(RTLD_NEXT, #name))

/* the error with which a call of a kind fails, or 0 */
static int lacks(int fd, const char *kind) {
    const char *folder = getenv("LACKING"), *number = getenv(kind);
    char link[64], path[PATH_MAX];
    if (!folder || !number) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strncmp(path, folder, strlen(folder)) ? 0 : atoi(number);
}

#define OR(error, call) int failed = error; return failed ? (errno = failed, -1) : call;

int flock(int fd, int operation) { OR(lacks(fd, "LACKING_LOCK"), REAL(flock)(fd, operation)) }

static int locks(int command) {
    return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
}

#define FCNTL(name)                                                                                     \
    int name(int fd, int command, ...) {                                                                \
        va_list rest;                                                                                   \
        va_start(rest, command);                                                                        \
        void *argument = va_arg(rest, void *);                                                          \
        va_end(rest);                                                                                   \
        OR(locks(command) ? lacks(fd, "LACKING_LOCK") : 0, REAL(name)(fd, command, argument))           \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

int fsync(int fd) {
    struct stat found;
    int folder = !fstat(fd, &found) && S_ISDIR(found.st_mode);
    OR(folder ? lacks(fd, "LACKING_SYNC") : 0, REAL(fsync)(fd))
}

ssize_t read(int fd, void *to, size_t n) { OR(lacks(fd, "LACKING_READ"), REAL(read)(fd, to, n)) }
