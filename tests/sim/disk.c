/* The controllers' disk: an SQLite VFS, and in the place of the few system calls with which the journal makes its
 * directory and takes its lock.
 *
 *  1. What a process has written is seen by all, also after it was killed.
 *  2. What was not synced when the power went is there or not, each sector by itself; one may be torn in its middle.
 *     (Only sectors within what was written: SQLITE_IOCAP_POWERSAFE_OVERWRITE, as SQLite's own VFS says.)
 *  3. A file made or removed is so for certain only after the directory was synced.  Where one was removed
 *     and made again before that, the name leads to the old one, whole, or to the new one: never to some of
 *     both.
 *
 * SPDX-License-Identifier: MIT */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define FILES  64 /* a journal that never came to be leaves two */
#define FDS    8
#define FIRST  (1 << 20) /* of our descriptors */

struct piece {
    size_t offset, len; /* len SIZE_MAX: cut to `offset` */
    size_t bytes;       /* where its bytes begin in `loose` */
};

struct image {
    uint8_t *v;
    size_t n, room;
};

struct file {
    char name[64];
    bool exists, durable_name;
    struct image seen, durable;
    bool has_old; /* 3: `old` is what the name leads to on the disk */
    struct image old;
    struct piece *pieces; /* written since the last sync */
    size_t n_pieces, room_pieces;
    struct image loose;
};

static struct {
    struct file files[FILES];
    int n_files;      /* that had a name once */
    int fd_file[FDS]; /* index + 1 */
    int lock_fd;      /* who holds the flock; -1 */
    enum disk_fault fault;
    uint64_t ops, from, to;
    uint64_t random;
    unsigned named; /* by mkostemp */
} disk = {.lock_fd = -1};

/* ---- Images. ---- */

static void image_resize(struct image *i, size_t n)
{
    if (n > i->room) {
        i->room = n < 8192 ? 8192 : 2 * n;
        i->v = realloc(i->v, i->room);
    }
    if (n > i->n)
        memset(i->v + i->n, 0, n - i->n);
    i->n = n;
}

static void image_write(struct image *i, size_t offset, const void *bytes, size_t len)
{
    if (offset + len > i->n)
        image_resize(i, offset + len);
    memcpy(i->v + offset, bytes, len);
}

static void file_forget(struct file *f)
{
    f->n_pieces = 0;
    f->loose.n = 0;
}

static void add_piece(struct file *f, size_t offset, const void *bytes, size_t len)
{
    if (f->n_pieces == f->room_pieces) {
        f->room_pieces = f->room_pieces ? 2 * f->room_pieces : 64;
        f->pieces = realloc(f->pieces, f->room_pieces * sizeof *f->pieces);
    }
    f->pieces[f->n_pieces++] = (struct piece){offset, len, f->loose.n};
    if (len != SIZE_MAX)
        image_write(&f->loose, f->loose.n, bytes, len);
}

static void settle(struct file *f, const struct piece *p)
{
    if (p->len == SIZE_MAX)
        image_resize(&f->durable, p->offset);
    else
        image_write(&f->durable, p->offset, f->loose.v + p->bytes, p->len);
}

static void file_sync(struct file *f)
{
    for (size_t i = 0; i < f->n_pieces; i++)
        settle(f, &f->pieces[i]);
    file_forget(f);
}

static void sync_names(void)
{
    for (int i = 0; i < disk.n_files; i++) {
        disk.files[i].durable_name = disk.files[i].exists;
        disk.files[i].has_old = false;
    }
}

static struct file *file_find(const char *name, bool make)
{
    struct file *free_one = NULL;
    for (int i = 0; i < disk.n_files; i++) {
        if (!strcmp(disk.files[i].name, name))
            return &disk.files[i];
        if (!disk.files[i].exists && !disk.files[i].durable_name && !free_one)
            free_one = &disk.files[i];
    }
    if (!make || strlen(name) >= sizeof free_one->name)
        return NULL;
    if (!free_one && disk.n_files == FILES)
        abort();
    if (!free_one)
        free_one = &disk.files[disk.n_files++];
    strcpy(free_one->name, name);
    free_one->seen.n = free_one->durable.n = 0;
    file_forget(free_one);
    return free_one;
}

static void file_make(struct file *f)
{
    if (f->exists)
        return;
    f->exists = true;
    f->seen.n = 0;
    if (f->durable_name && !f->has_old) { /* 3 */
        struct image old = f->old;
        f->old = f->durable;
        f->durable = old;
        f->has_old = true;
    }
    f->durable.n = 0;
    file_forget(f);
}

/* ---- The power goes. ---- */

static void lose(struct file *f, struct rng *r)
{
    unsigned keeps =
        rng_below(r, 4) ? rng_below(r, 1001) : rng_below(r, 2) * 1000; /* of a thousand sectors */
    for (size_t i = 0; i < f->n_pieces; i++) {
        struct piece *p = &f->pieces[i];
        if (p->len == SIZE_MAX) {
            if (rng_in(r, keeps))
                settle(f, p);
            continue;
        }
        for (size_t done = 0, n; done < p->len; done += n) {
            n = SECTOR - (p->offset + done) % SECTOR;
            n = n < p->len - done ? n : p->len - done;
            size_t some = rng_in(r, 30) ? rng_below(r, (unsigned)n) : rng_in(r, keeps) ? n : 0;
            the_world->counts->faults[F_TORN] += some && some < n;
            if (some)
                image_write(&f->durable, p->offset + done, f->loose.v + p->bytes + done, some);
        }
    }
    file_forget(f);
}

static void lose_all(struct rng *r)
{
    for (int i = 0; i < disk.n_files; i++) {
        struct file *f = &disk.files[i];
        if (f->has_old && rng_below(r, 2)) {
            struct image new = f->durable;
            f->durable = f->old;
            f->old = new;
            file_forget(f);
        } else {
            lose(f, r);
        }
        f->has_old = false;
        if (f->exists != f->durable_name && rng_below(r, 2))
            f->durable_name = f->exists;
        f->exists = f->durable_name;
        f->seen.n = 0;
        if (f->durable.n)
            image_write(&f->seen, 0, f->durable.v, f->durable.n);
    }
}

void disk_process_gone(struct rng *r, bool power)
{
    bool was = world_enter();
    memset(disk.fd_file, 0, sizeof disk.fd_file);
    disk.lock_fd = -1;
    if (power)
        lose_all(r);
    world_leave(was);
}

void disk_reset(void)
{
    for (int i = 0; i < disk.n_files; i++) {
        struct file *f = &disk.files[i];
        f->exists = f->durable_name = f->has_old = false;
        f->seen.n = f->durable.n = 0;
        file_forget(f);
    }
    memset(disk.fd_file, 0, sizeof disk.fd_file);
    disk.lock_fd = -1;
    disk.fault = DISK_FINE;
    disk.ops = disk.named = 0;
    disk.n_files = 0;
    disk.random = the_world->seed;
    sqlite3_randomness(0, NULL); /* its own generator begins anew */
}

void disk_break(enum disk_fault fault, uint64_t from_op, uint64_t n_ops)
{
    disk.fault = fault;
    disk.from = disk.ops + from_op;
    disk.to = disk.from + n_ops;
}

/* Every op of the disk is also a place where the process may die. */
static bool breaks(enum disk_fault a, enum disk_fault b)
{
    crash_point(the_world);
    uint64_t op = disk.ops++;
    bool does = (disk.fault == a || disk.fault == b) && op >= disk.from && op < disk.to;
    if (does) {
        the_world->counts->faults[disk.fault == DISK_FULL ? F_DISK_FULL : F_DISK_EIO]++;
        trace(the_world, "disk: fault %d", disk.fault);
    }
    return does;
}

/* ---- SQLite's view. ---- */

struct handle {
    sqlite3_file base;
    struct file *file;
    bool delete_on_close;
    bool syncs_names; /* SQLite's own syncs the directory with a new journal's first sync, no other */
};

static int v_close(sqlite3_file *h)
{
    struct handle *handle = (struct handle *)h;
    if (handle->delete_on_close)
        handle->file->exists = false;
    return SQLITE_OK;
}

static int v_read(sqlite3_file *h, void *buf, int n, sqlite3_int64 offset)
{
    const struct image *i = &((struct handle *)h)->file->seen;
    size_t has = (size_t)offset < i->n ? i->n - (size_t)offset : 0;
    has = has < (size_t)n ? has : (size_t)n;
    if (has)
        memcpy(buf, i->v + offset, has);
    memset((char *)buf + has, 0, (size_t)n - has);
    return has == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int v_write(sqlite3_file *h, const void *buf, int n, sqlite3_int64 offset)
{
    struct file *f = ((struct handle *)h)->file;
    if (breaks(DISK_FULL, DISK_EIO_WRITE))
        return disk.fault == DISK_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    bool was = world_enter();
    image_write(&f->seen, (size_t)offset, buf, (size_t)n);
    add_piece(f, (size_t)offset, buf, (size_t)n);
    world_leave(was);
    return SQLITE_OK;
}

static int v_truncate(sqlite3_file *h, sqlite3_int64 size)
{
    struct file *f = ((struct handle *)h)->file;
    if (breaks(DISK_EIO_WRITE, DISK_EIO_WRITE))
        return SQLITE_IOERR_TRUNCATE;
    bool was = world_enter();
    image_resize(&f->seen, (size_t)size);
    add_piece(f, (size_t)size, NULL, SIZE_MAX);
    world_leave(was);
    return SQLITE_OK;
}

static int v_sync(sqlite3_file *h, int flags)
{
    (void)flags;
    if (breaks(DISK_EIO_SYNC, DISK_EIO_SYNC))
        return SQLITE_IOERR_FSYNC;
    struct handle *handle = (struct handle *)h;
    bool was = world_enter();
    file_sync(handle->file);
    if (handle->syncs_names)
        sync_names();
    handle->syncs_names = false;
    world_leave(was);
    return SQLITE_OK;
}

static int v_size(sqlite3_file *h, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)((struct handle *)h)->file->seen.n;
    return SQLITE_OK;
}

static int v_lock(sqlite3_file *h, int level)
{
    (void)h, (void)level; /* one process at a time has it open: the program's own lock sees to that */
    return SQLITE_OK;
}

static int v_reserved(sqlite3_file *h, int *ret)
{
    (void)h;
    *ret = 0;
    return SQLITE_OK;
}

static int v_control(sqlite3_file *h, int op, void *arg)
{
    (void)h, (void)op, (void)arg;
    return SQLITE_NOTFOUND;
}

static int v_sector(sqlite3_file *h)
{
    (void)h;
    return 4096;
}

static int v_characteristics(sqlite3_file *h)
{
    (void)h;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    1,      v_close,    v_read,    v_write,  v_truncate,        v_sync, v_size, v_lock,
    v_lock, v_reserved, v_control, v_sector, v_characteristics, NULL,   NULL,   NULL,
    NULL,   NULL,       NULL};

static int v_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *h, int flags, int *ret_flags)
{
    struct handle *handle = (struct handle *)h;
    (void)vfs;
    bool was = world_enter();
    struct file *f = file_find(name ? name : "temporary", true);
    world_leave(was);
    if (!f || (!f->exists && !(flags & SQLITE_OPEN_CREATE)))
        return SQLITE_CANTOPEN;
    if (!f->exists && breaks(DISK_FULL, DISK_EIO_WRITE))
        return disk.fault == DISK_FULL ? SQLITE_FULL : SQLITE_IOERR;
    const int new_one =
        SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_CREATE; /* also where a file is there already */
    *handle = (struct handle){.base = {&methods},
                              .file = f,
                              .delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0,
                              .syncs_names = (flags & new_one) == new_one};
    was = world_enter();
    file_make(f);
    world_leave(was);
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *vfs, const char *name, int sync_directory)
{
    (void)vfs;
    struct file *f = file_find(name, false);
    if (!f || !f->exists)
        return SQLITE_IOERR_DELETE_NOENT;
    if (breaks(DISK_EIO_WRITE, DISK_EIO_SYNC))
        return SQLITE_IOERR_DELETE;
    f->exists = false;
    if (sync_directory) {
        crash_point(the_world);
        sync_names();
    }
    return SQLITE_OK;
}

static int v_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    (void)vfs, (void)flags;
    const struct file *f = file_find(name, false);
    *ret = f && f->exists && (flags != SQLITE_ACCESS_EXISTS || f->seen.n);
    return SQLITE_OK;
}

static int v_path(sqlite3_vfs *vfs, const char *name, int n, char *ret)
{
    (void)vfs;
    sqlite3_snprintf(n, ret, "%s", name);
    return SQLITE_OK;
}

static int v_random(sqlite3_vfs *vfs, int n, char *ret)
{
    struct rng r = {disk.random++};
    (void)vfs;
    for (int i = 0; i < n; i++)
        ret[i] = (char)rng_next(&r);
    return n;
}

static int v_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    if (process_alive())
        fiber_sleep((uint64_t)us);
    return us;
}

static int v_time(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    (void)vfs;
    *ret = 210866760000000ll +
           (sqlite3_int64)(now_us() / 1000); /* SQLite counts milliseconds of the Julian day */
    return SQLITE_OK;
}

static int v_error(sqlite3_vfs *vfs, int n, char *ret)
{
    (void)vfs, (void)n, (void)ret;
    return 0;
}

static sqlite3_vfs vfs_of_the_world = {
    .iVersion = 2,
    .szOsFile = sizeof(struct handle),
    .mxPathname = 64,
    .zName = "simulated",
    .xOpen = v_open,
    .xDelete = v_delete,
    .xAccess = v_access,
    .xFullPathname = v_path,
    .xRandomness = v_random,
    .xSleep = v_sleep,
    .xGetLastError = v_error,
    .xCurrentTimeInt64 = v_time,
};

void disk_install(void)
{
    if (sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK || sqlite3_initialize() != SQLITE_OK ||
        sqlite3_vfs_register(&vfs_of_the_world, 1) != SQLITE_OK)
        abort();
}

/* ---- In the place of system calls: paths below /simulated, descriptors from FIRST. ---- */

int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
int __real_mkdir(const char *path, mode_t mode);
int __real_stat(const char *path, struct stat *ret);
int __real_lstat(const char *path, struct stat *ret);
int __real_fstat(int fd, struct stat *ret);
int __real_faccessat(int dir, const char *path, int mode, int flags);
int __real_mkostemp(char *path, int flags);
int __real_link(const char *from, const char *to);
int __real_unlink(const char *path);
ssize_t __real_read(int fd, void *buf, size_t n);
int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_stat(const char *path, struct stat *ret);
int __wrap_lstat(const char *path, struct stat *ret);
int __wrap_fstat(int fd, struct stat *ret);
int __wrap_faccessat(int dir, const char *path, int mode, int flags);
int __wrap_mkostemp(char *path, int flags);
int __wrap_link(const char *from, const char *to);
int __wrap_unlink(const char *path);
ssize_t __wrap_read(int fd, void *buf, size_t n);
int __wrap_flock(int fd, int how);
int __wrap_ftruncate(int fd, off_t size);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t offset);

static bool simulated(const char *path)
{
    return !strncmp(path, "/simulated", 10);
}

int __wrap_open(const char *path, int flags, ...)
{
    if (!simulated(path))
        return __real_open(path, flags, 0600);
    bool was = world_enter();
    struct file *f = file_find(path, true);
    world_leave(was);
    if (!f) {
        errno = ENFILE;
        return -1;
    }
    if (!f->exists && breaks(DISK_FULL, DISK_EIO_WRITE)) {
        errno = disk.fault == DISK_FULL ? ENOSPC : EIO;
        return -1;
    }
    was = world_enter();
    file_make(f);
    world_leave(was);
    for (int i = 0; i < FDS; i++)
        if (!disk.fd_file[i]) {
            disk.fd_file[i] = (int)(f - disk.files) + 1;
            return FIRST + i;
        }
    errno = EMFILE;
    return -1;
}

int __wrap_close(int fd)
{
    if (fd < FIRST)
        return __real_close(fd);
    disk.fd_file[fd - FIRST] = 0;
    if (disk.lock_fd == fd)
        disk.lock_fd = -1;
    return 0;
}

int __wrap_flock(int fd, int how)
{
    (void)how;
    if (disk.lock_fd != -1 && disk.lock_fd != fd) {
        errno = EWOULDBLOCK;
        return -1;
    }
    disk.lock_fd = fd;
    return 0;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    if (!simulated(path))
        return __real_mkdir(path, mode);
    errno = EEXIST;
    return -1;
}

int __wrap_stat(const char *path, struct stat *ret)
{
    if (!simulated(path))
        return __real_stat(path, ret);
    *ret = (struct stat){.st_mode = S_IFDIR | 0700};
    return 0;
}

int __wrap_lstat(const char *path, struct stat *ret)
{
    if (!simulated(path))
        return __real_lstat(path, ret);
    const struct file *f = file_find(path, false);
    *ret = (struct stat){.st_mode = S_IFREG | 0600, .st_size = f ? (off_t)f->seen.n : 0};
    errno = ENOENT;
    return f && f->exists ? 0 : -1;
}

int __wrap_fstat(int fd, struct stat *ret)
{
    return fd < FIRST ? __real_fstat(fd, ret) : __wrap_stat("/simulated", ret);
}

int __wrap_faccessat(int dir, const char *path, int mode, int flags)
{
    return simulated(path) ? 0 : __real_faccessat(dir, path, mode, flags);
}

int __wrap_mkostemp(char *path, int flags)
{
    if (!simulated(path))
        return __real_mkostemp(path, flags);
    snprintf(path + strlen(path) - 6, 7, "%06u", disk.named++);
    return __wrap_open(path, O_RDWR | O_CREAT, 0600);
}

/* What the file holds goes with the new name; the old one leads to nothing any more. */
int __wrap_link(const char *from, const char *to)
{
    if (!simulated(to))
        return __real_link(from, to);
    bool was = world_enter();
    struct file *f = file_find(from, false), *t = file_find(to, true);
    world_leave(was);
    if (!f || !f->exists || !t || t->exists) {
        errno = !f || !f->exists ? ENOENT : t ? EEXIST : ENFILE;
        return -1;
    }
    if (breaks(DISK_FULL, DISK_EIO_WRITE)) {
        errno = disk.fault == DISK_FULL ? ENOSPC : EIO;
        return -1;
    }
    struct file old = *t;
    *t = *f;
    *f = old;
    memcpy(f->name, t->name, sizeof f->name);
    memcpy(t->name, old.name, sizeof t->name);
    f->exists = true;
    f->durable_name = t->durable_name;
    t->durable_name = false;
    return 0;
}

int __wrap_unlink(const char *path)
{
    if (!simulated(path))
        return __real_unlink(path);
    struct file *f = file_find(path, false);
    if (f)
        f->exists = false;
    return 0;
}

ssize_t __wrap_read(int fd, void *buf, size_t n)
{
    return fd < FIRST ? __real_read(fd, buf, n) : 0;
}

int __wrap_ftruncate(int fd, off_t size)
{
    (void)fd, (void)size;
    return 0;
}

ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    (void)fd, (void)buf, (void)offset;
    return (ssize_t)n;
}
