/*
 * A stand-in for liblustreapi.so, for tests: our own code, written from the documented interface and from
 * what was seen on a live Lustre. The functions that Lustre has come last; everything named standin_* is a
 * control for tests (see standin.py).
 *
 * An MDT is a log of raw records in memory, or a file that is followed while it grows. The descriptor of a
 * handle is one end of a SOCK_SEQPACKET socket pair: a thread of this library sends whole records in packets
 * of at most 64 KiB, so that poll() works and no read splits a record.
 *
 * It does NOT model:
 *  - the one-second rhythm of FOLLOW, unless told to (new records come at once; from a file within 20 ms);
 *  - that a non-blocking read gives EAGAIN until somebody polls, and gives 0 when its buffer is too small
 *    (a packet that does not fit is cut: read with 64 KiB or more);
 *  - the kernel's limit of 1,024 records read ahead (the limit here is the socket's buffer), lseek;
 *  - the NID_BE form: NIDs come as they were fed in, only recv's choice of the flag bit is the real one;
 *  - the raw read's EIO when the MDT restarts (a socket can only give ECONNRESET, then 0; recv gives EIO),
 *    and that records read ahead still come before the error;
 *  - what a mask, a user or its absence keeps from being recorded: tests append what is to be there;
 *  - idle users, rights (inject EACCES), the mount of a client (unmounted, it is silent), RPC delays, messages on
 *    stderr but one (about a clear that fails);
 *  - path2fid, open_by_fid and everything else that is not below.
 *
 * Environment, for processes that a test starts:
 *  STANDIN_RECORDS  "lustre-MDT0000=/a/file:lustre-MDT0001=/b/file": raw records; a file may grow (whole
 *                   records become visible) and when it shrinks or is replaced, the MDT has restarted empty
 *  STANDIN_USERS    "cl1,cl2": registered on every MDT at position 0
 *  STANDIN_STATE    a file: each change of a user's position appends a line "lustre-MDT0000 cl1 812"; all
 *                   processes obey all lines. A test may append "lustre-MDT0000 cl1 gone" to deregister
 *  STANDIN_FOLLOW_MS  how often FOLLOW looks for new records, as the kernel does every 1000 ms; unset: at once
 *  STANDIN_TREE     a folder that is the mounted file system: fid2path looks there, while nobody holds its flock(2)
 *                   for himself. An object's FID is in its attribute trusted.lma, as on an MDT; the old FIDs of a
 *                   directory that was split are in trusted.stripes, 16 bytes each
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { FLAG_FOLLOW = 1, FLAG_JOBID = 4, FLAG_EXTRA = 8, FLAG_NID_BE = 16 };
enum { CLF_VERSION = 0x1000, CLF_RENAME = 0x2000, CLF_JOBID = 0x4000, CLF_EXTRA = 0x8000 };
enum { HEADER = 64, PACKET = 65536, LIBRARY_BUFFER = 4096, RECORD_ROOM = 1024, MAX = 64 };
/* 0x20 is "an extension of a later Lustre", which this library knows and its caller does not. */
enum { EXTRA_BE = 0x10, EXTRA_FUTURE = 0x20, EXTRAS = 5 };
static const struct { uint64_t bit; size_t size; } EXTRA[EXTRAS] = {
    {1, 16}, {2, 24}, {4, 4}, {8, 256}, {EXTRA_FUTURE, 16},
};

struct user { unsigned id; uint32_t mask; uint64_t position; char name[32]; };

struct mdt {
    char name[256];
    uint8_t *data; size_t size, room;            /* the log */
    size_t *starts; size_t count, starts_room;   /* where each record begins */
    size_t oldest;                               /* the first record that is not purged, by number */
    uint64_t last_index;
    struct user users[MAX]; int user_count; unsigned next_user;
    char path[PATH_MAX]; off_t file_read; ino_t inode;
    bool silent;                                 /* the client is unmounted: nothing comes, not even an error */
};

struct handle {
    bool alive, dead, stopping, ended, use_recv;
    int calls;                                   /* C calls that are inside this handle now */
    struct mdt *mdt;
    int fd, feed;
    pthread_t feeder;
    int flags, xflags; uint32_t mask;
    uint64_t next_index;
    uint8_t buffer[LIBRARY_BUFFER]; size_t at, filled;
    struct handle *link;
};

struct object { char fid[64]; char paths[8][8192]; int count; struct object *link; };
struct fault { char function[32]; int error, times; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct mdt *mdts[MAX];
static int mdt_count;
static struct handle *handles;
static struct object *objects;
static struct fault faults[MAX];
static char mount_point[PATH_MAX], state_path[PATH_MAX];
static off_t state_read;
static bool environment_read;
static long follow_ms;
static long records_out, misuses, clears;
static int message_level = 7;                    /* lustreapi.h: LLAPI_MSG_MAX */

/* ---- records ---- */

static uint16_t u16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static uint32_t u32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static uint64_t u64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static uint64_t index_of(const uint8_t *rec) { return u64(rec + 8); }

/* The length of the record at p, 0 if it is not whole. */
static size_t record_size(const uint8_t *p, size_t available)
{
    if (available < HEADER)
        return 0;
    unsigned flags = u16(p + 2);
    size_t size = HEADER + (flags & CLF_RENAME ? 32 : 0) + (flags & CLF_JOBID ? 32 : 0);
    if (flags & CLF_EXTRA) {
        if (available < size + 8)
            return 0;
        uint64_t extra = u64(p + size);
        size += 8;
        for (int i = 0; i < EXTRAS; i++)
            size += extra & EXTRA[i].bit ? EXTRA[i].size : 0;
    }
    size += u16(p);
    return available < size ? 0 : size;
}

/* Copies the record to `out` with the wanted extensions only, as the library promises its caller. */
static void repack(const uint8_t *rec, uint8_t *out, const struct handle *h)
{
    unsigned flags = u16(rec + 2), kept = (flags & 0x0FFF) | CLF_VERSION | (flags & CLF_RENAME);
    const uint8_t *from = rec + HEADER;
    uint8_t *to = out + HEADER;
    memcpy(out, rec, HEADER);
    if (flags & CLF_RENAME) {
        memcpy(to, from, 32);
        from += 32; to += 32;
    }
    if (flags & CLF_JOBID) {
        if (h->flags & FLAG_JOBID) {
            memcpy(to, from, 32);
            to += 32;
            kept |= CLF_JOBID;
        }
        from += 32;
    }
    if (flags & CLF_EXTRA) {
        uint64_t extra = u64(from), kept_extra = 0;
        uint8_t *kept_at = to;
        from += 8;
        if (h->flags & FLAG_EXTRA) {
            to += 8;
            kept |= CLF_EXTRA;
        }
        for (int i = 0; i < EXTRAS; i++) {
            if (!(extra & EXTRA[i].bit))
                continue;
            if ((h->flags & FLAG_EXTRA) && (h->xflags & EXTRA[i].bit & 0xF)) {
                memcpy(to, from, EXTRA[i].size);
                to += EXTRA[i].size;
                kept_extra |= EXTRA[i].bit;
            }
            from += EXTRA[i].size;
        }
        if ((kept_extra & 2) && (extra & EXTRA_BE) && (h->flags & FLAG_NID_BE))
            kept_extra |= EXTRA_BE;
        if (kept & CLF_EXTRA)
            memcpy(kept_at, &kept_extra, 8);
    }
    memcpy(to, from, u16(rec));
    uint16_t kept_flags = (uint16_t)kept;
    memcpy(out + 2, &kept_flags, 2);
}

/* ---- the MDTs (all below with the lock held) ---- */

static void *grown(void *memory, size_t size)
{
    void *more = realloc(memory, size);
    if (!more)
        abort();
    return more;
}

static struct mdt *find_mdt(const char *name)
{
    for (int i = 0; i < mdt_count; i++)
        if (!strcmp(mdts[i]->name, name))
            return mdts[i];
    return NULL;
}

static struct mdt *add_mdt(const char *name)
{
    struct mdt *m = find_mdt(name);
    if (m || mdt_count == MAX || strlen(name) >= sizeof(m->name))
        return m;
    m = calloc(1, sizeof(*m));
    if (!m)
        abort();
    strcpy(m->name, name);
    m->next_user = 1;
    return mdts[mdt_count++] = m;
}

/* Takes the whole records of `bytes`; returns how many bytes those are. */
static size_t append(struct mdt *m, const uint8_t *bytes, size_t size)
{
    size_t at = 0, length;
    if (m->size + size > m->room)
        m->data = grown(m->data, m->room = 2 * (m->size + size));
    while ((length = record_size(bytes + at, size - at))) {
        if (m->count == m->starts_room)
            m->starts = grown(m->starts, (m->starts_room = 2 * m->starts_room + 64) * sizeof(size_t));
        memcpy(m->data + m->size, bytes + at, length);
        m->starts[m->count++] = m->size;
        m->last_index = index_of(bytes + at);
        m->size += length;
        at += length;
    }
    return at;
}

/* The number of the first record, purged or not, whose index is not below `index`. */
static size_t search(const struct mdt *m, uint64_t index)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (index_of(m->data + m->starts[middle]) < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t position_of(const struct mdt *m, uint64_t index)
{
    size_t found = search(m, index);
    return found > m->oldest ? found : m->oldest;
}

static struct user *find_user(struct mdt *m, const char *text)
{
    unsigned id = 0;
    if (sscanf(text, "cl%u", &id) != 1)
        id = (unsigned)atoi(text);
    for (int i = 0; i < m->user_count; i++)
        if (id ? m->users[i].id == id : !strcmp(m->users[i].name, text))
            return &m->users[i];
    return NULL;
}

/* What is left follows from the users' positions alone; without a user nothing is. */
static void purge(struct mdt *m)
{
    uint64_t slowest = UINT64_MAX;
    for (int i = 0; i < m->user_count; i++)
        if (m->users[i].position < slowest)
            slowest = m->users[i].position;
    m->oldest = slowest == UINT64_MAX ? m->count : search(m, slowest + 1);
}

static struct user *add_user(struct mdt *m, unsigned id, uint32_t mask, uint64_t position)
{
    if (m->user_count == MAX)
        abort();
    struct user *u = &m->users[m->user_count++];
    memset(u, 0, sizeof(*u));
    u->id = id;
    u->mask = mask;
    u->position = position;
    if (id >= m->next_user)
        m->next_user = id + 1;
    return u;
}

/* A restart of the MDT: open handles die; with no user registered it forgets its records and its index. */
static void restart(struct mdt *m, bool forget)
{
    for (struct handle *h = handles; h; h = h->link)
        if (h->mdt == m && h->alive && !h->dead) {
            h->dead = true;
            close(h->feed); /* with the byte unread that start sent: the reader gets ECONNRESET */
            h->feed = -1;
        }
    if (forget) {
        m->size = m->count = m->oldest = 0;
        m->user_count = 0;
        m->last_index = 0;
        m->next_user = 1;
    }
    pthread_cond_broadcast(&changed);
}

static void refresh_file(struct mdt *m)
{
    struct stat st;
    if (!m->path[0] || stat(m->path, &st))
        return;
    if (m->inode && (st.st_ino != m->inode || st.st_size < m->file_read)) {
        m->file_read = 0;
        restart(m, true);
    }
    m->inode = st.st_ino;
    if (st.st_size <= m->file_read)
        return;
    int fd = open(m->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    size_t wanted = (size_t)(st.st_size - m->file_read);
    uint8_t *bytes = grown(NULL, wanted);
    ssize_t got = pread(fd, bytes, wanted, m->file_read);
    close(fd);
    if (got > 0)
        m->file_read += (off_t)append(m, bytes, (size_t)got);
    free(bytes);
}

static void refresh_state(void)
{
    char mdt[256], user[64], position[32];
    bool touched[MAX] = {false};
    FILE *file = state_path[0] ? fopen(state_path, "re") : NULL;
    if (!file)
        return;
    fseeko(file, state_read, SEEK_SET);
    while (fscanf(file, "%255s %63s %31s", mdt, user, position) == 3) {
        state_read = ftello(file);
        struct mdt *m = find_mdt(mdt);
        struct user *u = m ? find_user(m, user) : NULL;
        if (!m)
            continue;
        for (int i = 0; i < mdt_count; i++)
            touched[i] |= mdts[i] == m;
        if (strcmp(position, "gone")) {
            if (!u)
                u = add_user(m, (unsigned)atoi(user + 2), 0, 0);
            u->position = strtoull(position, NULL, 10);
        } else if (u) {
            *u = m->users[--m->user_count];
        }
    }
    fclose(file);
    /* Only now: what lies between could belong to the MDT's life before a restart. */
    for (int i = 0; i < mdt_count; i++)
        if (touched[i])
            purge(mdts[i]);
}

static void write_state(const struct mdt *m, const struct user *u)
{
    char line[512];
    int fd = state_path[0] ? open(state_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (fd < 0)
        return;
    int length = snprintf(line, sizeof(line), "%s cl%u %llu\n", m->name, u->id, (unsigned long long)u->position);
    if (write(fd, line, (size_t)length) != length)
        abort();
    close(fd);
}

static void read_environment(void)
{
    if (!environment_read) {
        char *records = getenv("STANDIN_RECORDS"), *users = getenv("STANDIN_USERS"), *rest, *inner;
        environment_read = true;
        follow_ms = atol(getenv("STANDIN_FOLLOW_MS") ? getenv("STANDIN_FOLLOW_MS") : "0");
        snprintf(state_path, sizeof(state_path), "%s", getenv("STANDIN_STATE") ? getenv("STANDIN_STATE") : "");
        records = strdup(records ? records : "");
        for (char *part = strtok_r(records, ":", &rest); part; part = strtok_r(NULL, ":", &rest)) {
            char *path = strchr(part, '=');
            if (!path)
                continue;
            *path++ = 0;
            struct mdt *m = add_mdt(part);
            snprintf(m->path, sizeof(m->path), "%s", path);
            char *names = strdup(users ? users : "");
            for (char *name = strtok_r(names, ",", &inner); name; name = strtok_r(NULL, ",", &inner))
                add_user(m, (unsigned)atoi(name + 2), 0, 0);
            free(names);
            refresh_file(m);
        }
        free(records);
    }
    for (int i = 0; i < mdt_count; i++)
        refresh_file(mdts[i]);
    refresh_state();
}

/* The errno to fail with now, or -1. */
static int fault(const char *function)
{
    for (int i = 0; i < MAX; i++)
        if (faults[i].times > 0 && !strcmp(faults[i].function, function)) {
            faults[i].times--;
            return faults[i].error;
        }
    return -1;
}

/* ---- handles ---- */

static struct handle *find_handle(void *priv)
{
    for (struct handle *h = handles; h; h = h->link)
        if (h == priv && h->alive)
            return h;
    if (priv)
        misuses++; /* in the real library this is a use after free */
    return NULL;
}

static bool wanted(const struct handle *h, const uint8_t *rec)
{
    return !h->mask || (u32(rec + 4) < 32 && h->mask & 1u << u32(rec + 4));
}

/* Copies the next records to a packet; returns its size, and in *next where to go on. */
static size_t next_packet(const struct handle *h, uint8_t *packet, uint64_t *next)
{
    const struct mdt *m = h->mdt;
    size_t limit = h->use_recv ? LIBRARY_BUFFER : PACKET, filled = 0;
    for (size_t n = position_of(m, h->next_index); n < m->count; n++) {
        const uint8_t *rec = m->data + m->starts[n];
        size_t size = (n + 1 < m->count ? m->starts[n + 1] : m->size) - m->starts[n];
        if (wanted(h, rec)) {
            if (filled + size > limit)
                break;
            memcpy(packet + filled, rec, size);
            filled += size;
        }
        *next = index_of(rec) + 1;
    }
    return filled;
}

/* Waits for `ms`, or until the handle is given up; with `early` also until something has changed. */
static void wait_a_while(const struct handle *h, long ms, bool early)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!h->stopping && !h->dead && pthread_cond_timedwait(&changed, &lock, &until) != ETIMEDOUT)
        if (early)
            return;
}

static void *feed(void *argument)
{
    struct handle *h = argument;
    uint8_t *packet = grown(NULL, PACKET);
    pthread_mutex_lock(&lock);
    while (!h->stopping && !h->dead && !h->ended) {
        if (h->mdt->silent) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        uint64_t next = h->next_index;
        size_t size = next_packet(h, packet, &next);
        if (size && send(h->feed, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
            struct pollfd room = {.fd = h->feed, .events = POLLOUT};
            pthread_mutex_unlock(&lock); /* the socket is full: the reader is slow */
            poll(&room, 1, 20);
            pthread_mutex_lock(&lock);
            continue;
        }
        h->next_index = next;
        if (size)
            continue;
        if (!(h->flags & FLAG_FOLLOW)) {
            h->ended = true;
            shutdown(h->feed, SHUT_RDWR);
        } else if (follow_ms || h->mdt->path[0]) {
            wait_a_while(h, follow_ms ? follow_ms : 20, !follow_ms);
            refresh_file(h->mdt);
        } else {
            pthread_cond_wait(&changed, &lock);
        }
    }
    pthread_mutex_unlock(&lock);
    free(packet);
    return NULL;
}

static void start_feeder(struct handle *h)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the program's own threads */
    if (pthread_create(&h->feeder, NULL, feed, h))
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int start(void **priv, int flags, const char *name, long long startrec)
{
    int ends[2], room = 1 << 20;
    if (strlen(name) + strlen("/dev/changelog-") >= PATH_MAX)
        return -EOVERFLOW;
    if (strlen(name) + strlen("changelog-") > NAME_MAX)
        return -ENAMETOOLONG;
    read_environment();
    int error = fault("start");
    if (error > 0)
        return -error;
    struct mdt *m = find_mdt(name);
    if (!m)
        return -ENOENT;
    if (startrec < 0)
        return -EINVAL;
    struct handle *h = calloc(1, sizeof(*h));
    if (!h || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return -ENOMEM;
    h->fd = ends[0];
    h->feed = ends[1];
    if (setsockopt(h->feed, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
        setsockopt(h->feed, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    if (send(h->fd, "", 1, 0) != 1) /* see restart */
        abort();
    h->alive = true;
    h->mdt = m;
    h->flags = flags;
    h->next_index = (uint64_t)startrec;
    h->link = handles;
    handles = h;
    *priv = h;
    start_feeder(h);
    return 0;
}

/* The first recv of a handle: what was sent in large packets goes back, and comes again in 4096 bytes. */
static void change_to_recv(struct handle *h)
{
    uint8_t *packet = grown(NULL, PACKET);
    uint64_t first = 0;
    bool any = false;
    while (!h->dead && recv(h->fd, packet, PACKET, MSG_DONTWAIT) > 0) {
        if (!any)
            first = index_of(packet);
        any = true;
    }
    free(packet);
    h->use_recv = true;
    if (!any)
        return;
    h->next_index = first;
    pthread_cond_broadcast(&changed); /* a feeder that follows may be waiting for newer records */
    if (!h->ended || h->dead)
        return;
    /* Everything had been sent: a new pair of ends is not possible, so the rest waits in a fresh socket. */
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) || dup3(ends[0], h->fd, O_CLOEXEC) < 0 ||
        dup3(ends[1], h->feed, O_CLOEXEC) < 0 || send(h->fd, "", 1, 0) != 1)
        abort();
    close(ends[0]);
    close(ends[1]);
    h->ended = false;
    pthread_mutex_unlock(&lock);
    pthread_join(h->feeder, NULL);
    pthread_mutex_lock(&lock);
    start_feeder(h);
}

/* ---- controls ---- */

void standin_add_mdt(const char *name)
{
    pthread_mutex_lock(&lock);
    add_mdt(name);
    pthread_mutex_unlock(&lock);
}

/* Returns how many bytes were whole records and were taken. */
size_t standin_append(const char *name, const void *bytes, size_t size)
{
    pthread_mutex_lock(&lock);
    size_t taken = append(add_mdt(name), bytes, size);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return taken;
}

/* Sends bytes as they are to the open handles of an MDT, whole records or not. */
void standin_inject(const char *name, const void *bytes, size_t size)
{
    pthread_mutex_lock(&lock);
    for (struct handle *h = handles; h; h = h->link)
        if (h->alive && !h->dead && !strcmp(h->mdt->name, name))
            if (send(h->feed, bytes, size, MSG_NOSIGNAL) < 0)
                misuses++;
    pthread_mutex_unlock(&lock);
}

/* Registers a user at the current end; returns its number. */
unsigned standin_register(const char *name, const char *user, uint32_t mask)
{
    pthread_mutex_lock(&lock);
    struct mdt *m = add_mdt(name);
    struct user *u = add_user(m, m->next_user, mask, m->last_index);
    snprintf(u->name, sizeof(u->name), "%s", user);
    unsigned id = u->id;
    pthread_mutex_unlock(&lock);
    return id;
}

int standin_deregister(const char *name, const char *user)
{
    pthread_mutex_lock(&lock);
    struct mdt *m = find_mdt(name);
    struct user *u = m ? find_user(m, user) : NULL;
    if (u) {
        *u = m->users[--m->user_count];
        purge(m);
    }
    pthread_mutex_unlock(&lock);
    return u ? 0 : -ENOENT;
}

/* The position of a user, -1 if there is none. */
long long standin_position(const char *name, const char *user)
{
    pthread_mutex_lock(&lock);
    struct mdt *m = find_mdt(name);
    struct user *u = m ? find_user(m, user) : NULL;
    long long position = u ? (long long)u->position : -1;
    pthread_mutex_unlock(&lock);
    return position;
}

void standin_restart(const char *name)
{
    pthread_mutex_lock(&lock);
    struct mdt *m = add_mdt(name);
    restart(m, m->user_count == 0);
    pthread_mutex_unlock(&lock);
}

/* Lets the next `times` calls fail: "start", "start_user", "recv" (error 0: no memory), "clear", "fid2path". */
void standin_fail_next(const char *function, int error, int times)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX; i++)
        if (!faults[i].times) {
            snprintf(faults[i].function, sizeof(faults[i].function), "%s", function);
            faults[i].error = error;
            faults[i].times = times;
            break;
        }
    pthread_mutex_unlock(&lock);
}

/* Lets FOLLOW look for new records every this many ms only; 0: at once. */
void standin_set_follow(long ms)
{
    pthread_mutex_lock(&lock);
    follow_ms = ms;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Unmounts or mounts the client: without it handles, also new ones, neither give anything nor fail. */
void standin_set_silent(const char *name, int silent)
{
    pthread_mutex_lock(&lock);
    add_mdt(name)->silent = silent;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void standin_set_mount(const char *path)
{
    pthread_mutex_lock(&lock);
    snprintf(mount_point, sizeof(mount_point), "%s", path);
    pthread_mutex_unlock(&lock);
}

/* Gives an object one more name. */
void standin_add_path(const char *fid, const char *path)
{
    pthread_mutex_lock(&lock);
    struct object *o = objects;
    while (o && strcmp(o->fid, fid))
        o = o->link;
    if (!o) {
        o = memset(grown(NULL, sizeof(*o)), 0, sizeof(*o));
        snprintf(o->fid, sizeof(o->fid), "%s", fid);
        o->link = objects;
        objects = o;
    }
    if (o->count == 8)
        abort();
    snprintf(o->paths[o->count++], sizeof(o->paths[0]), "%s", path);
    pthread_mutex_unlock(&lock);
}

/* Records that recv gave and nobody freed, and handles that nobody closed. */
long standin_leaks(void)
{
    pthread_mutex_lock(&lock);
    long leaks = records_out;
    for (struct handle *h = handles; h; h = h->link)
        leaks += h->alive;
    pthread_mutex_unlock(&lock);
    return leaks;
}

/* Calls that would have been undefined behaviour in the real library. */
long standin_misuses(void) { return misuses; }

long standin_clears(void) { return clears; }

/* How many handles of an MDT are inside a recv now. */
int standin_waiting(const char *name)
{
    int waiting = 0;
    pthread_mutex_lock(&lock);
    for (struct handle *h = handles; h; h = h->link)
        waiting += h->alive && !strcmp(h->mdt->name, name) ? h->calls : 0;
    pthread_mutex_unlock(&lock);
    return waiting;
}

int llapi_changelog_fini(void **priv);

/* Forgets everything, the open handles too. */
void standin_reset(void)
{
    for (struct handle *h = handles, *link; h; h = link) {
        void *priv = h;
        link = h->link;
        if (h->alive)
            llapi_changelog_fini(&priv);
        free(h);
    }
    handles = NULL;
    for (struct object *o = objects, *link; o; o = link) {
        link = o->link;
        free(o);
    }
    objects = NULL;
    for (int i = 0; i < mdt_count; i++) {
        free(mdts[i]->data);
        free(mdts[i]->starts);
        free(mdts[i]);
    }
    mdt_count = 0;
    memset(faults, 0, sizeof(faults));
    mount_point[0] = state_path[0] = 0;
    state_read = 0;
    records_out = misuses = clears = follow_ms = 0;
    environment_read = false;
}

/* ---- what liblustreapi exports ---- */

int llapi_changelog_start(void **priv, int flags, const char *name, long long startrec)
{
    pthread_mutex_lock(&lock);
    int code = start(priv, flags, name, startrec);
    pthread_mutex_unlock(&lock);
    return code;
}

#ifndef STANDIN_OLD
int llapi_changelog_start_user(void **priv, int flags, const char *name, const char *username, uint64_t mask,
                               long long startrec)
{
    pthread_mutex_lock(&lock);
    int code = start(priv, flags, name, startrec);
    if (!code) {
        struct handle *h = *priv;
        struct user *u = find_user(h->mdt, username);
        int error = fault("start_user");
        code = error > 0 ? -error : u ? 0 : -ENOENT; /* the handle stays, unfiltered */
        if (!code) {
            h->mask = mask ? (uint32_t)mask : u->mask;
            change_to_recv(h); /* takes back what was sent before the mask was known */
            h->use_recv = false;
        }
    }
    pthread_mutex_unlock(&lock);
    return code;
}

void llapi_msg_set_level(int level) { message_level = level; }

int llapi_changelog_in_buf(void *priv)
{
    pthread_mutex_lock(&lock);
    struct handle *h = find_handle(priv);
    int more = h && h->at < h->filled;
    pthread_mutex_unlock(&lock);
    return more;
}
#endif

int llapi_changelog_set_xflags(void *priv, int xflags)
{
    pthread_mutex_lock(&lock);
    struct handle *h = find_handle(priv);
    if (h)
        h->xflags = xflags;
    pthread_mutex_unlock(&lock);
    return h ? 0 : -EINVAL;
}

int llapi_changelog_get_fd(void *priv)
{
    pthread_mutex_lock(&lock);
    struct handle *h = find_handle(priv);
    int fd = h ? h->fd : -EINVAL;
    pthread_mutex_unlock(&lock);
    return fd;
}

int llapi_changelog_recv(void *priv, void **record)
{
    int code = 0;
    pthread_mutex_lock(&lock);
    struct handle *h = find_handle(priv);
    if (!h || !record) {
        pthread_mutex_unlock(&lock);
        return -EINVAL;
    }
    *record = NULL;
    int error = fault("recv");
    if (error > 0) {
        pthread_mutex_unlock(&lock);
        return -error;
    }
    if (!h->use_recv)
        change_to_recv(h);
    if (h->at >= h->filled) {
        h->calls++;
        pthread_mutex_unlock(&lock);
        ssize_t got = read(h->fd, h->buffer, LIBRARY_BUFFER);
        int failed = errno;
        pthread_mutex_lock(&lock);
        h->calls--;
        h->at = 0;
        h->filled = got > 0 ? (size_t)got : 0;
        if (h->dead)
            code = -EIO;
        else if (got < 0)
            code = -failed;
        else if (got == 0)
            code = 1;
    }
    if (!code) {
        size_t size = record_size(h->buffer + h->at, h->filled - h->at);
        if (!size) {
            misuses++; /* the real library would run out of its buffer */
            size = h->filled - h->at;
            code = -EIO;
        } else if (error < 0) {
            *record = calloc(1, RECORD_ROOM);
            if (!*record)
                abort();
            records_out++;
            repack(h->buffer + h->at, *record, h);
        }
        h->at += size;
    }
    pthread_mutex_unlock(&lock);
    return code;
}

int llapi_changelog_free(void **record)
{
    pthread_mutex_lock(&lock);
    records_out -= *record != NULL;
    pthread_mutex_unlock(&lock);
    free(*record);
    *record = NULL;
    return 0;
}

int llapi_changelog_fini(void **priv)
{
    pthread_mutex_lock(&lock);
    struct handle *h = find_handle(*priv);
    if (!h) {
        pthread_mutex_unlock(&lock);
        return -EINVAL;
    }
    misuses += h->calls; /* another thread is in recv */
    h->alive = false;
    h->stopping = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(h->feeder, NULL);
    close(h->fd);
    if (h->feed >= 0)
        close(h->feed);
    *priv = NULL;
    return 0;
}

int llapi_changelog_clear(const char *name, const char *idstr, long long endrec)
{
    unsigned id;
    int code = 0;
    if (endrec < 0)
        return -EINVAL;
    pthread_mutex_lock(&lock);
    read_environment();
    int error = fault("clear");
    struct mdt *m = find_mdt(name);
    struct user *u = m ? find_user(m, idstr) : NULL;
    if (error > 0)
        code = -error;
    else if (!m)
        code = -ENOENT;
    else if (sscanf(idstr, "cl%u", &id) != 1 || (uint64_t)endrec > m->last_index)
        code = -EINVAL;
    else if (!u || (endrec && (uint64_t)endrec < u->position))
        code = -ENOENT;
    if (!code) {
        u->position = endrec ? (uint64_t)endrec : m->last_index;
        clears++;
        purge(m);
        write_state(m, u);
    } else if (message_level >= 2) /* LLAPI_MSG_ERROR */
        fprintf(stderr, "stand-in: %s cannot clear records of %s\n", idstr, name);
    pthread_mutex_unlock(&lock);
    return code;
}

/* What find_in_tree looks for, and the paths that it has found. */
static struct { uint8_t fid[16]; size_t top; struct object *found; } sought;

static int has_fid(const char *path, const struct stat *facts, int type, struct FTW *place)
{
    uint8_t own[64], old[64 * 16];
    (void)facts; (void)type; (void)place;
    bool same = lgetxattr(path, "trusted.lma", own, sizeof(own)) >= 24 && !memcmp(own + 8, sought.fid, 16);
    ssize_t size = lgetxattr(path, "trusted.stripes", old, sizeof(old));
    for (ssize_t at = 0; at + 16 <= size; at += 16)
        same |= !memcmp(old + at, sought.fid, 16);
    struct object *o = sought.found;
    if (same && o->count < 8)
        snprintf(o->paths[o->count++], sizeof(o->paths[0]), "%s", path[sought.top] ? path + sought.top + 1 : "");
    return 0;
}

/* All paths of an object in STANDIN_TREE, NULL where there are none. */
static struct object *find_in_tree(const char *tree, const char *fid)
{
    static struct object found;
    uint64_t seq;
    uint32_t oid, ver;
    int folder = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || flock(folder, LOCK_SH) || sscanf(fid, "[0x%lx:0x%x:0x%x]", &seq, &oid, &ver) != 3)
        abort();
    memcpy(sought.fid, &seq, 8);
    memcpy(sought.fid + 8, &oid, 4);
    memcpy(sought.fid + 12, &ver, 4);
    sought.top = strlen(tree);
    sought.found = &found;
    found.count = 0;
    nftw(tree, has_fid, 16, FTW_PHYS);
    close(folder);
    return found.count ? &found : NULL;
}

int llapi_fid2path(const char *mount, const char *fid, char *path, int size, long long *recno, int *linkno)
{
    int code = 0;
    (void)recno;
    pthread_mutex_lock(&lock);
    int error = fault("fid2path");
    const char *tree = getenv("STANDIN_TREE");
    struct object *o = objects;
    while (o && strcmp(o->fid, fid))
        o = o->link;
    if (tree) {
        snprintf(mount_point, sizeof(mount_point), "%s", tree);
        o = find_in_tree(tree, fid);
    }
    int link = o && *linkno < o->count ? *linkno : 0;
    if (error > 0)
        code = -error;
    else if (!mount[0])
        code = -EINVAL;
    else if (strcmp(mount, mount_point))
        code = -ENODEV;
    else if (!o)
        code = -ENOENT;
    else if (strlen(o->paths[link]) >= (size_t)size)
        code = -ERANGE;
    if (!code) {
        strcpy(path, o->paths[link]);
        if (*linkno < o->count - 1)
            ++*linkno;
    }
    pthread_mutex_unlock(&lock);
    return code;
}
