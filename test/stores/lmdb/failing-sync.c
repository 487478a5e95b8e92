/*
 * Makes every flush to the disk fail once the file named by MILLRACE_TEST_FAIL exists. With
 * MILLRACE_TEST_FAIL_META, what fails is a write to a file opened for synchronous writing instead:
 * that is how the database writes its metadata, after the flush of its pages.
 *
 * To be preloaded (LD_PRELOAD) into a process that has the store open.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static int failing(const char *variable) {
  const char *path = getenv(variable);
  if (path == NULL || access(path, F_OK) != 0) return 0;
  errno = EIO;
  return 1;
}

int fdatasync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  return failing("MILLRACE_TEST_FAIL") ? -1 : real(fd);
}

int fsync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  return failing("MILLRACE_TEST_FAIL") ? -1 : real(fd);
}

int msync(void *address, size_t length, int flags) {
  int (*real)(void *, size_t, int) = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync");
  return failing("MILLRACE_TEST_FAIL") ? -1 : real(address, length, flags);
}

static ssize_t write_at(const char *name, int fd, const void *bytes, size_t length, off_t offset) {
  ssize_t (*real)(int, const void *, size_t, off_t) =
      (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, name);
  if ((fcntl(fd, F_GETFL) & O_DSYNC) != 0 && failing("MILLRACE_TEST_FAIL_META")) return -1;
  return real(fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  return write_at("pwrite", fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  return write_at("pwrite64", fd, bytes, length, (off_t)offset);
}
