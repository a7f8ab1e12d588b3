/* Fails the n-th open, write, fsync, rename or unlink below one folder, once, or kills the process there.
 *
 * LD_PRELOADed. FAULT_STATE names a file that all processes share (see faults.py): what is to be done, and how many
 * calls of each kind there were. Calls outside of `root`, and on what is no file, are neither counted nor failed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, WRITE, FSYNC, RENAME, UNLINK, KINDS };

struct state {
  atomic_long count[KINDS];
  long kind, at, error; /* error: errno, or -1: kill */
  atomic_long done;
  char root[PATH_MAX];
};

static struct state *state;

__attribute__((constructor)) static void attach(void) {
  const char *name = getenv("FAULT_STATE");
  int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *place = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (place != MAP_FAILED) state = place;
}

static int below(const char *path) {
  size_t length = strlen(state->root);
  return !strncmp(path, state->root, length) && (path[length] == '/' || !path[length]);
}

/* Whether this call is the one that fails. */
static int fails(enum kind kind) {
  long number = atomic_fetch_add(&state->count[kind], 1) + 1;
  if (kind != state->kind || number != state->at || atomic_exchange(&state->done, 1)) return 0;
  if (state->error < 0) kill(getpid(), SIGKILL);
  errno = (int)state->error;
  return 1;
}

static int fails_at(enum kind kind, int folder, const char *path) {
  char whole[2 * PATH_MAX], link[64], place[PATH_MAX];
  if (!state || !state->root[0] || !path) return 0;
  if (path[0] == '/') return below(path) && fails(kind);
  if (folder == AT_FDCWD) {
    if (!getcwd(place, sizeof place)) return 0;
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, place, sizeof place - 1);
    if (length < 0) return 0;
    place[length] = 0;
  }
  snprintf(whole, sizeof whole, "%s/%s", place, path);
  return below(whole) && fails(kind);
}

static int fails_on(enum kind kind, int file) {
  char link[64], place[PATH_MAX];
  if (!state || !state->root[0]) return 0;
  int before = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, place, sizeof place - 1);
  errno = before;
  if (length < 0) return 0;
  place[length] = 0;
  return below(place) && fails(kind);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MODE(last)                                       \
  mode_t mode = 0;                                       \
  if (flags & (O_CREAT | __O_TMPFILE)) {                 \
    va_list more;                                        \
    va_start(more, last);                                \
    mode = va_arg(more, mode_t);                         \
    va_end(more);                                        \
  }

int open(const char *path, int flags, ...) {
  MODE(flags)
  return fails_at(OPEN, AT_FDCWD, path) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE(flags)
  return fails_at(OPEN, AT_FDCWD, path) ? -1 : REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
  MODE(flags)
  return fails_at(OPEN, folder, path) ? -1 : REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
  MODE(flags)
  return fails_at(OPEN, folder, path) ? -1 : REAL(openat64)(folder, path, flags, mode);
}
int mkdir(const char *path, mode_t mode) {
  return fails_at(OPEN, AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode);
}
ssize_t write(int file, const void *data, size_t size) {
  return fails_on(WRITE, file) ? -1 : REAL(write)(file, data, size);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
  return fails_on(WRITE, file) ? -1 : REAL(pwrite)(file, data, size, at);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
  return fails_on(WRITE, file) ? -1 : REAL(pwrite64)(file, data, size, at);
}
ssize_t writev(int file, const struct iovec *pieces, int count) {
  return fails_on(WRITE, file) ? -1 : REAL(writev)(file, pieces, count);
}
int ftruncate(int file, off_t size) { return fails_on(WRITE, file) ? -1 : REAL(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { return fails_on(WRITE, file) ? -1 : REAL(ftruncate64)(file, size); }
int fsync(int file) { return fails_on(FSYNC, file) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return fails_on(FSYNC, file) ? -1 : REAL(fdatasync)(file); }
int rename(const char *from, const char *to) {
  return fails_at(RENAME, AT_FDCWD, to) ? -1 : REAL(rename)(from, to);
}
int renameat(int some, const char *from, int other, const char *to) {
  return fails_at(RENAME, other, to) ? -1 : REAL(renameat)(some, from, other, to);
}
int unlink(const char *path) { return fails_at(UNLINK, AT_FDCWD, path) ? -1 : REAL(unlink)(path); }
int unlinkat(int folder, const char *path, int flags) {
  return fails_at(UNLINK, folder, path) ? -1 : REAL(unlinkat)(folder, path, flags);
}
int rmdir(const char *path) { return fails_at(UNLINK, AT_FDCWD, path) ? -1 : REAL(rmdir)(path); }
