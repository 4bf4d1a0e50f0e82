/* A disk that is slow to sync, for servers that the benchmarks start themselves: loaded in front of
 * libc (LD_PRELOAD), it makes fsync and fdatasync take SLOWSYNC_MS longer, each in the thread that
 * called it. Nothing else changes: what is synced is synced. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int after_a_while(const char *name, int fd) {
    const char *text = getenv("SLOWSYNC_MS");
    long wait = text == NULL ? 0 : atol(text);
    struct timespec left = {wait / 1000, wait % 1000 * 1000000};
    while (nanosleep(&left, &left)) {
    }
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return sync(fd);
}

int fsync(int fd) { return after_a_while("fsync", fd); }

int fdatasync(int fd) { return after_a_while("fdatasync", fd); }
