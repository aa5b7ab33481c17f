/* The record of what a lab has created, and the lock.  Neighbours: run.h (interface), lab.c (who writes it
 * when).
 *
 *  1. The record lists every namespace before it is created; what it does not list is not the lab's.
 *  2. Once the lab is complete it also holds their inodes: a namespace that someone else has made since under
 *     the same name is told apart and left alone.
 *  3. It lists the first process of each machine before that process does anything, with its start time.
 *  4. The lock is a flock on one file.  Children inherit it, so that `lab down` after a `kill -9` of `lab up`
 *     waits for the last of them.
 *
 * SPDX-License-Identifier: MIT */
#include "lab.h"
#include "run.h"

#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_MS 30000

static void put_json(json_object **o)
{
    json_object_put(*o);
}

static int make_dir(struct ferry_err *err)
{
    const char *parts[] = {"/run/ferry", FERRY_LAB_DIR};
    for (size_t i = 0; i < FERRY_COUNT(parts); i++) {
        if (mkdir(parts[i], 0755) < 0 && errno != EEXIST) {
            return ferry_error(err, FERRY_EIO, "%s: %s", parts[i], strerror(errno));
        }
    }
    return 0;
}

static char *record_path(const char *topology_name)
{
    return ferry_asprintf("%s/%s.json", FERRY_LAB_DIR, topology_name);
}

void ferry_lab_record_free(struct ferry_lab_record *record)
{
    if (!record) {
        return;
    }
    for (size_t i = 0; i < record->n_netns; i++) {
        free(record->netns[i].name);
    }
    for (size_t i = 0; i < record->n_processes; i++) {
        free(record->processes[i].netns);
    }
    for (size_t i = 0; i < record->n_paths; i++) {
        free(record->paths[i]);
    }
    free(record->paths);
    free(record->processes);
    free(record->netns);
    free(record->name);
    free(record);
}

static void record_cleanup(struct ferry_lab_record **record)
{
    ferry_lab_record_free(*record);
}

static const char *text_of(json_object *o, const char *key)
{
    json_object *v;
    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
               ? json_object_get_string(v)
               : NULL;
}

static void load_processes(json_object *root, struct ferry_lab_record *record)
{
    json_object *list, *pid, *start;
    record->files =
        json_object_object_get_ex(root, "processes", &list) && json_object_is_type(list, json_type_array);
    for (size_t i = 0; record->files && i < json_object_array_length(list); i++) {
        json_object *item = json_object_array_get_idx(list, i);
        const char *netns = text_of(item, "namespace");
        if (netns && json_object_object_get_ex(item, "pid", &pid) &&
            json_object_object_get_ex(item, "start", &start) && json_object_get_int(pid) > 1) {
            FERRY_GROW(record->processes, record->n_processes);
            record->processes[record->n_processes++] =
                (struct ferry_lab_record_process){.netns = ferry_strdup(netns),
                                                  .pid = json_object_get_int(pid),
                                                  .start = (uint64_t)json_object_get_int64(start)};
        }
    }
}

/* A directory right below FRR's own, and nothing else: it will be removed with all that is in it. */
static bool is_own_path(const char *path)
{
    static const char *const tops[] = {"/etc/frr/", "/run/frr/"};
    for (size_t i = 0; path && i < FERRY_COUNT(tops); i++) {
        size_t n = strlen(tops[i]);
        if (!strncmp(path, tops[i], n) && path[n] && path[n] != '.' && !strchr(path + n, '/')) {
            return true;
        }
    }
    return false;
}

static void load_paths(json_object *root, struct ferry_lab_record *record)
{
    json_object *list;
    bool there =
        json_object_object_get_ex(root, "paths", &list) && json_object_is_type(list, json_type_array);
    for (size_t i = 0, n = there ? json_object_array_length(list) : 0; i < n; i++) {
        const char *path = json_object_get_string(json_object_array_get_idx(list, i));
        if (is_own_path(path)) {
            FERRY_GROW(record->paths, record->n_paths);
            record->paths[record->n_paths++] = ferry_strdup(path);
        }
    }
}

static json_object *paths_json(const struct ferry_lab_record *record)
{
    json_object *list = json_object_new_array();
    for (size_t i = 0; i < record->n_paths; i++) {
        json_object_array_add(list, json_object_new_string(record->paths[i]));
    }
    return list;
}

static json_object *processes_json(const struct ferry_lab_record *record)
{
    json_object *list = json_object_new_array();
    for (size_t i = 0; i < record->n_processes; i++) {
        const struct ferry_lab_record_process *p = &record->processes[i];
        json_object *item = json_object_new_object();
        json_object_object_add(item, "namespace", json_object_new_string(p->netns));
        json_object_object_add(item, "pid", json_object_new_int(p->pid));
        json_object_object_add(item, "start", json_object_new_int64((int64_t)p->start));
        json_object_array_add(list, item);
    }
    return list;
}

int ferry_lab_record_load(const char *topology_name, struct ferry_lab_record **ret, struct ferry_err *err)
{
    if (!*topology_name || strchr(topology_name, '/') || topology_name[0] == '.') {
        return ferry_error(err, FERRY_EUSAGE, "\"%s\" is not the name of a topology", topology_name);
    }
    FERRY_AUTOFREE char *path = record_path(topology_name);
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        return 1;
    }
    return ferry_lab_record_read(path, topology_name, ret, err);
}

int ferry_lab_record_read(const char *path, const char *topology_name, struct ferry_lab_record **ret,
                          struct ferry_err *err)
{
    FERRY_CLEANUP(put_json) json_object *root = json_object_from_file(path);
    json_object *list, *v;
    const char *sha = root ? text_of(root, "topology_sha256") : NULL,
               *state = root ? text_of(root, "state") : NULL;
    if (!sha || !state || !json_object_object_get_ex(root, "namespaces", &list) ||
        !json_object_is_type(list, json_type_array)) {
        return ferry_error(err, FERRY_EIO, "%s is damaged: remove its namespaces by hand, then the file",
                           path);
    }
    FERRY_CLEANUP(record_cleanup)
    struct ferry_lab_record *record = ferry_calloc(1, sizeof *record);
    record->name = ferry_strdup(topology_name);
    snprintf(record->topology_sha256, sizeof record->topology_sha256, "%s", sha);
    record->complete = !strcmp(state, "up");
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *item = json_object_array_get_idx(list, i);
        const char *name = text_of(item, "name");
        if (!name || !*name || strchr(name, '/') || name[0] == '.') {
            return ferry_error(err, FERRY_EIO, "%s is damaged: entry %zu has no usable name", path, i);
        }
        FERRY_GROW(record->netns, record->n_netns);
        record->netns[record->n_netns++] = (struct ferry_lab_record_netns){
            .name = ferry_strdup(name),
            .inode = json_object_object_get_ex(item, "inode", &v) ? (ino_t)json_object_get_int64(v) : 0};
    }
    load_processes(root, record);
    load_paths(root, record);
    *ret = FERRY_STEAL(record);
    return 0;
}

static char *record_text(const struct ferry_lab_record *record)
{
    FERRY_CLEANUP(put_json) json_object *root = json_object_new_object();
    json_object *list = json_object_new_array();
    json_object_object_add(root, "ferry", json_object_new_int(1));
    json_object_object_add(root, "kind", json_object_new_string("lab"));
    json_object_object_add(root, "name", json_object_new_string(record->name));
    json_object_object_add(root, "topology_sha256", json_object_new_string(record->topology_sha256));
    json_object_object_add(root, "state", json_object_new_string(record->complete ? "up" : "building"));
    for (size_t i = 0; i < record->n_netns; i++) {
        json_object *item = json_object_new_object();
        json_object_object_add(item, "name", json_object_new_string(record->netns[i].name));
        if (record->netns[i].inode) {
            json_object_object_add(item, "inode", json_object_new_int64((int64_t)record->netns[i].inode));
        }
        json_object_array_add(list, item);
    }
    json_object_object_add(root, "namespaces", list);
    if (record->files) {
        json_object_object_add(root, "processes", processes_json(record));
        json_object_object_add(root, "paths", paths_json(record));
    }
    return ferry_asprintf("%s\n", json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
                                                                           JSON_C_TO_STRING_SPACED |
                                                                           JSON_C_TO_STRING_NOSLASHESCAPE));
}

int ferry_lab_record_save(const struct ferry_lab_record *record, struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = record_path(record->name), *fresh = NULL, *text = record_text(record);
    fresh = ferry_asprintf("%s.new", path);
    FILE *f = fopen(fresh, "we");
    if (!f) {
        return ferry_error(err, FERRY_EIO, "%s: %s", fresh, strerror(errno));
    }
    bool failed = fputs(text, f) < 0;
    failed |= fclose(f) != 0; /* /run is memory: there is nothing to sync */
    if (failed || rename(fresh, path) < 0) {
        int code = errno;
        unlink(fresh);
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(code));
    }
    return 0;
}

int ferry_lab_record_remove(const char *topology_name, struct ferry_err *err)
{
    FERRY_AUTOFREE char *path = record_path(topology_name);
    if (unlink(path) < 0 && errno != ENOENT) {
        return ferry_error(err, FERRY_EIO, "%s: %s", path, strerror(errno));
    }
    return 0;
}

int ferry_lab_lock(ferry_lab_interrupted *interrupted, int *ret_fd, struct ferry_err *err)
{
    int r = make_dir(err);
    if (r < 0) {
        return r;
    }
    int fd = open(FERRY_LAB_DIR "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return ferry_error(err, FERRY_EIO, FERRY_LAB_DIR "/lock: %s", strerror(errno));
    }
    for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited_ms += 20) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || waited_ms >= LOCK_WAIT_MS) {
            close(fd);
            return ferry_error(err, FERRY_ELOCKED, "another lab command is at work");
        }
        if ((r = ferry_lab_may_go_on(interrupted, err)) < 0) {
            close(fd);
            return r;
        }
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    *ret_fd = fd;
    return 0;
}

void ferry_lab_unlock(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}
