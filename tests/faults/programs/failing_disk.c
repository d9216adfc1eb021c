/* A library to be loaded before others: what is written to a database, or synced, fails while the file named by
 * FAILING_DISK is there. It holds "write 28" or "sync 5": which calls fail, and with which error. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_database(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strstr(path, "gateway.db") != NULL && strstr(path, "-shm") == NULL;
}

static int fails(const char *call, int fd) {
    const char *name = getenv("FAILING_DISK");
    char which[16];
    int error = 0, found = 0;
    FILE *order = name == NULL ? NULL : fopen(name, "re");
    if (order == NULL) return 0;
    found = fscanf(order, "%15s %d", which, &error) == 2 && strcmp(which, call) == 0;
    fclose(order);
    if (!found || !is_database(fd)) return 0;
    errno = error;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return fails("write", fd) ? -1 : REAL(pwrite64)(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return fails("write", fd) ? -1 : REAL(pwrite)(fd, data, size, at);
}

ssize_t write(int fd, const void *data, size_t size) {
    return fails("write", fd) ? -1 : REAL(write)(fd, data, size);
}

int fsync(int fd) {
    return fails("sync", fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd) {
    return fails("sync", fd) ? -1 : REAL(fdatasync)(fd);
}
