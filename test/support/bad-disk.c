/*
 * A disk that a test can make slow, full, or unable to sync, in front of an unchanged redis-server (LD_PRELOAD).
 *
 * It stands between the server and libc for the calls that reach the disk: fsync and fdatasync take as long as is set, or
 * fail; write to a regular file gets as many bytes down as there is room for and then fails with ENOSPC, as a full file
 * system does it, short write first; ftruncate can fail too, so that the short write stays; rename can be made slow.
 * What a test sets of all this, and what it may look at, is one page of a file that both have open
 * (test/support/bad-disk.ts has the same offsets), so a fault begins and ends in the middle of the load without a
 * signal, a connection or a restart.
 *
 * `synced` is how long the append only file was when the last sync that has ended began: what a power loss leaves of
 * it at least. Rejected: a small file system of its own, which only root may mount and which cannot be slow.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct page {
  /* Set by the test. */
  volatile int32_t sync_ms;
  volatile int32_t rename_ms;
  volatile int32_t limited;
  volatile int32_t keep_short;
  volatile int32_t sync_fails;
  volatile int32_t unused;
  volatile int64_t room;
  /* Set here. */
  volatile int32_t syncing;
  volatile int32_t renames;
  volatile int32_t refused;
  volatile int32_t shortened;
  volatile int64_t synced;
  volatile int64_t written;
};

static struct page *disk;

static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void open_page(void) {
  real_write = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  real_ftruncate = (int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate");
  real_rename = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
  const char *path = getenv("BAD_DISK_PAGE");
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *map = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (map != MAP_FAILED) disk = map;
}

/* In slices, so that a delay which is taken back ends at once. */
static void wait_while(volatile int32_t *ms) {
  const struct timespec slice = {0, 2000000};
  for (int32_t waited = 0; waited < *ms; waited += 2) nanosleep(&slice, NULL);
}

static int is_log(int fd) {
  char link[32], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, ".incr.aof") != NULL;
}

static int64_t length_of(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 && S_ISREG(found.st_mode) ? (int64_t)found.st_size : -1;
}

static int sync_slowly(int fd, int (*sync)(int)) {
  if (!disk) return sync(fd);
  int log = is_log(fd);
  int64_t length = length_of(fd);
  __sync_fetch_and_add(&disk->syncing, 1);
  wait_while(&disk->sync_ms);
  int failed = disk->sync_fails;
  int result = failed ? -1 : sync(fd);
  if (log && result == 0) disk->synced = length;
  __sync_fetch_and_sub(&disk->syncing, 1);
  if (failed) errno = EIO;
  return result;
}

int fsync(int fd) { return sync_slowly(fd, real_fsync); }
int fdatasync(int fd) { return sync_slowly(fd, real_fdatasync); }

ssize_t write(int fd, const void *bytes, size_t count) {
  if (!disk || length_of(fd) < 0) return real_write(fd, bytes, count);
  size_t fits = count;
  if (disk->limited) {
    int64_t room = disk->room;
    if (room <= 0 && count > 0) {
      disk->refused++;
      errno = ENOSPC;
      return -1;
    }
    if ((int64_t)count > room) {
      fits = (size_t)room;
      disk->shortened++;
    }
  }
  ssize_t done = real_write(fd, bytes, fits);
  if (done > 0 && disk->limited) disk->room -= done;
  if (done > 0 && is_log(fd)) disk->written += done;
  return done;
}

int ftruncate(int fd, off_t length) {
  if (disk && disk->keep_short) {
    errno = EIO;
    return -1;
  }
  return real_ftruncate(fd, length);
}
int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

int rename(const char *from, const char *to) {
  if (!disk) return real_rename(from, to);
  __sync_fetch_and_add(&disk->renames, 1);
  wait_while(&disk->rename_ms);
  return real_rename(from, to);
}
