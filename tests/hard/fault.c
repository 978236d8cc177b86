/* Preloaded: the N-th call that writes below a folder fails once, or a signal comes just before it.

   What is to happen stands in a file that all processes of a draw have mapped (GRAFT_FAULT_STATE), so that the count
   goes on through forks, git and DVC. See fault_injection.py, which has the same layout. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct state {
    int32_t armed;
    int32_t error;  /* an errno, or 0 */
    int32_t signal; /* a signal for the whole process group, or 0 */
    int32_t hit;
    int64_t count;
    int64_t at;
    char folder[1024];
    char left_out[64]; /* paths that hold this text are not counted */
    char what[1024];
};

static struct state *state;

__attribute__((constructor)) static void map_state(void) {
    const char *path = getenv("GRAFT_FAULT_STATE");
    int (*really)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int descriptor = path && really ? really(path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0) return;
    void *found = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (found != MAP_FAILED) state = found;
}

static int is_below(const char *path) {
    size_t length = strlen(state->folder);
    if (strncmp(path, state->folder, length) || (path[length] != '/' && path[length])) return 0;
    return !state->left_out[0] || !strstr(path, state->left_out);
}

/* 1 where the call has to fail; errno is set then. */
static int fails(const char *call, const char *path) {
    if (!is_below(path)) return 0;
    int64_t number = __atomic_add_fetch(&state->count, 1, __ATOMIC_SEQ_CST);
    if (number != state->at) return 0;
    state->hit = 1;
    snprintf(state->what, sizeof state->what, "%s %.900s", call, path + strlen(state->folder));
    if (state->signal) {
        kill(0, state->signal);
        return 0;
    }
    errno = state->error;
    return 1;
}

static int fails_at(const char *call, int folder, const char *path) {
    char where[2 * PATH_MAX] = "", link[64];
    ssize_t length = 0;
    if (!state || !state->armed || !path) return 0;
    int before = errno;
    if (path[0] != '/') {
        if (folder == AT_FDCWD)
            strcpy(link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        length = readlink(link, where, PATH_MAX - 1);
        if (length < 0) length = 0;
        where[length++] = '/';
    }
    snprintf(where + length, sizeof where - length, "%s", path);
    int found = fails(call, where);
    if (!found) errno = before;
    return found;
}

static int fails_on(const char *call, int descriptor) {
    char link[64], where[PATH_MAX];
    if (!state || !state->armed) return 0;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, where, sizeof where - 1);
    int found = 0;
    if (length > 0) {
        where[length] = 0;
        found = fails(call, where);
    }
    if (!found) errno = before;
    return found;
}

#define REALLY(type, name, ...)                                        \
    static type (*really)(__VA_ARGS__);                                \
    if (!really) really = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define WRITES(flags) (((flags) & (O_CREAT | O_TRUNC)) || ((flags) & O_ACCMODE) != O_RDONLY)

#define OPEN(name)                                                     \
    int name(const char *path, int flags, ...) {                       \
        REALLY(int, #name, const char *, int, ...);                    \
        mode_t mode = 0;                                               \
        if (flags & (O_CREAT | __O_TMPFILE)) {                         \
            va_list more;                                              \
            va_start(more, flags);                                     \
            mode = va_arg(more, mode_t);                               \
            va_end(more);                                              \
        }                                                              \
        if (WRITES(flags) && fails_at("open", AT_FDCWD, path)) return -1; \
        return really(path, flags, mode);                              \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                   \
    int name(int folder, const char *path, int flags, ...) {           \
        REALLY(int, #name, int, const char *, int, ...);               \
        mode_t mode = 0;                                               \
        if (flags & (O_CREAT | __O_TMPFILE)) {                         \
            va_list more;                                              \
            va_start(more, flags);                                     \
            mode = va_arg(more, mode_t);                               \
            va_end(more);                                              \
        }                                                              \
        if (WRITES(flags) && fails_at("open", folder, path)) return -1; \
        return really(folder, path, flags, mode);                      \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                    \
    FILE *name(const char *path, const char *mode) {                   \
        REALLY(FILE *, #name, const char *, const char *);             \
        int writes = mode[0] != 'r' || strchr(mode, '+');              \
        if (writes && fails_at("open", AT_FDCWD, path)) return NULL;   \
        return really(path, mode);                                     \
    }
FOPEN(fopen)
FOPEN(fopen64)

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream) {
    REALLY(size_t, "fwrite", const void *, size_t, size_t, FILE *);
    if (fails_on("write", fileno(stream))) return 0;
    return really(data, size, count, stream);
}

int fflush(FILE *stream) {
    REALLY(int, "fflush", FILE *);
    if (stream && fails_on("write", fileno(stream))) return EOF;
    return really(stream);
}

/* Calls on a descriptor, and calls on a path: their result is -1 where they fail. */
#define ON(type, name, called, parameters, arguments, ...)             \
    type name parameters {                                             \
        REALLY(type, #name, __VA_ARGS__);                              \
        if (fails_on(called, descriptor)) return -1;                   \
        return really arguments;                                       \
    }
ON(ssize_t, write, "write", (int descriptor, const void *data, size_t size), (descriptor, data, size), int, const void *, size_t)
ON(ssize_t, pwrite, "write", (int descriptor, const void *data, size_t size, off_t at), (descriptor, data, size, at), int, const void *, size_t, off_t)
ON(ssize_t, pwrite64, "write", (int descriptor, const void *data, size_t size, off64_t at), (descriptor, data, size, at), int, const void *, size_t, off64_t)
ON(ssize_t, writev, "write", (int descriptor, const struct iovec *data, int count), (descriptor, data, count), int, const struct iovec *, int)
ON(ssize_t, sendfile, "write", (int descriptor, int from, off_t *at, size_t size), (descriptor, from, at, size), int, int, off_t *, size_t)
ON(ssize_t, sendfile64, "write", (int descriptor, int from, off64_t *at, size_t size), (descriptor, from, at, size), int, int, off64_t *, size_t)
ON(int, ftruncate, "truncate", (int descriptor, off_t size), (descriptor, size), int, off_t)
ON(int, ftruncate64, "truncate", (int descriptor, off64_t size), (descriptor, size), int, off64_t)
ON(int, fallocate, "truncate", (int descriptor, int mode, off_t at, off_t size), (descriptor, mode, at, size), int, int, off_t, off_t)
ON(int, fallocate64, "truncate", (int descriptor, int mode, off64_t at, off64_t size), (descriptor, mode, at, size), int, int, off64_t, off64_t)

/* Nothing is really synced: no draw cuts the power, and the disk is other people's too. */
int fsync(int descriptor) { return fails_on("fsync", descriptor) ? -1 : 0; }
int fdatasync(int descriptor) { return fails_on("fsync", descriptor) ? -1 : 0; }
void sync(void) {}

ssize_t copy_file_range(int from, off64_t *from_at, int descriptor, off64_t *at, size_t size, unsigned flags) {
    REALLY(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    if (fails_on("write", descriptor)) return -1;
    return really(from, from_at, descriptor, at, size, flags);
}

#define AT(name, called, folder, path, parameters, arguments, ...)     \
    int name parameters {                                              \
        REALLY(int, #name, __VA_ARGS__);                               \
        if (fails_at(called, folder, path)) return -1;                 \
        return really arguments;                                       \
    }
AT(creat, "open", AT_FDCWD, path, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
AT(creat64, "open", AT_FDCWD, path, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
AT(rename, "rename", AT_FDCWD, to, (const char *from, const char *to), (from, to), const char *, const char *)
AT(renameat, "rename", b, to, (int a, const char *from, int b, const char *to), (a, from, b, to), int, const char *, int, const char *)
AT(renameat2, "rename", b, to, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags), int, const char *, int, const char *, unsigned)
AT(link, "link", AT_FDCWD, to, (const char *from, const char *to), (from, to), const char *, const char *)
AT(linkat, "link", b, to, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), int, const char *, int, const char *, int)
AT(symlink, "link", AT_FDCWD, to, (const char *from, const char *to), (from, to), const char *, const char *)
AT(symlinkat, "link", b, to, (const char *from, int b, const char *to), (from, b, to), const char *, int, const char *)
AT(unlink, "unlink", AT_FDCWD, path, (const char *path), (path), const char *)
AT(remove, "unlink", AT_FDCWD, path, (const char *path), (path), const char *)
AT(unlinkat, "unlink", b, path, (int b, const char *path, int flags), (b, path, flags), int, const char *, int)
AT(mkdir, "mkdir", AT_FDCWD, path, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
AT(mkdirat, "mkdir", b, path, (int b, const char *path, mode_t mode), (b, path, mode), int, const char *, mode_t)
AT(rmdir, "rmdir", AT_FDCWD, path, (const char *path), (path), const char *)
AT(truncate, "truncate", AT_FDCWD, path, (const char *path, off_t size), (path, size), const char *, off_t)
AT(chmod, "chmod", AT_FDCWD, path, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
