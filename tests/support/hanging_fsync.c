// A disk that hangs: fsync and fdatasync wait for as long as the file named by VEDFOLNIR_TEST_HANG_WHILE is there.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_for_disk(void) {
    const char *file = getenv("VEDFOLNIR_TEST_HANG_WHILE");
    while (file != NULL && access(file, F_OK) == 0) usleep(5000);
}

int fsync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_for_disk();
    return real(fd);
}

int fdatasync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_for_disk();
    return real(fd);
}
