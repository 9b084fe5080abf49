/* A clock of the day that jumps by up to three years, back and forth, five times a second; the monotonic one goes on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) (*(__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static long jump(const struct timespec *now) {
    unsigned long mixed = (now->tv_sec * 5 + now->tv_nsec / 200000000 + getpid()) * 6364136223846793005UL;
    return (long)(mixed >> 33) % 200000000 - 100000000;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
    int result = REAL(clock_gettime)(clock, t);
    if (clock == CLOCK_REALTIME && !result) t->tv_sec += jump(t);
    return result;
}

time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    out->tv_sec = t.tv_sec, out->tv_usec = t.tv_nsec / 1000;
    return 0;
}

/* the heartbeat of a lease: the time of a host whose clock jumps */
int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    struct timespec now[2];
    clock_gettime(CLOCK_REALTIME, now);
    now[1] = now[0];
    return REAL(utimensat)(folder, path, times ? times : now, flags);
}
