/* HTTP/1 load on 127.0.0.1 from one thread, closed loop or open loop.
 *
 * usage: load PORT REQUEST_FILE BODY_LENGTH CONNECTIONS [close]
 *
 * The file holds a whole request as it goes over the wire. Every answer must be a 200 with a content-length of
 * BODY_LENGTH; anything else is an error. With `close`, each request has a connection of its own.
 *
 * Each line `REQUESTS RATE` on the standard input is a run on the connections of the run before; its result is a
 * line of JSON, times in microseconds. A RATE of 0 is a closed loop: each connection has one request under way,
 * always. Else requests are due at random (Poisson) times, RATE in a second on average, whether or not earlier ones
 * were answered; each goes out on the first free connection, and its latency counts from when it was due, so a
 * stalled proxy cannot hide its stall by stopping the generator. Those still unanswered two seconds after the last
 * was due count with their age by then. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t nanos;
static const nanos SECOND = 1000000000, GRACE = 2 * SECOND, LONGEST_RUN = 60 * SECOND;

enum { EVENTS = 256, LARGEST_HEAD = 16 << 10, CHUNK = 64 << 10, MOST_ERRORS = 100 };

struct connection {
    int fd;
    bool busy;        /* a request is under way */
    nanos since;      /* when it was due */
    size_t sent;      /* how much of the request is written */
    bool in_body;     /* the head of the response has come */
    size_t body_left; /* then: what is still to come */
    char *held;       /* a response head of which only the beginning has come */
    size_t held_length;
};

static struct sockaddr_in address = {.sin_family = AF_INET};
static const char *request;
static size_t request_length, body_length;
static bool close_each;
static struct connection *connections;
static int connection_count, epoll;

/* The free connections, first in first out, so that all of them are used. */
static int *free_ring;
static int free_first, free_count;
static nanos free_since; /* when the first of them became free */

/* The run under way. */
static long total, started, answered, errors;
static double rate;
static nanos *due;       /* open loop: when each request is due */
static nanos *latencies; /* of what was answered */
static nanos *lateness;  /* open loop: how late the generator itself sent what could be sent */
static nanos run_start;

static nanos now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (nanos)t.tv_sec * SECOND + t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void open_connection(struct connection *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (void *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
}

static void reopen(struct connection *c) {
    close(c->fd);
    open_connection(c);
}

static void set_free(struct connection *c) {
    c->busy = false;
    if (!free_count) free_since = now();
    free_ring[(free_first + free_count++) % connection_count] = c - connections;
}

/* Writes what the socket takes of the request; false if the connection is broken. */
static bool push(struct connection *c) {
    while (c->sent < request_length) {
        ssize_t n = send(c->fd, request + c->sent, request_length - c->sent, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS;
        c->sent += n;
    }
    return true;
}

static void fail(struct connection *c) {
    errors++;
    reopen(c);
    set_free(c);
}

static void start_request(nanos at, nanos since) {
    struct connection *c = &connections[free_ring[free_first]];
    free_first = (free_first + 1) % connection_count;
    free_count--;
    /* Waiting for a free connection is the proxy's fault, the rest is the generator's. */
    nanos could = since > free_since ? since : free_since;
    if (rate > 0) lateness[started] = at > could ? at - could : 0;
    started++;
    c->busy = true;
    c->since = since;
    c->sent = c->held_length = 0;
    c->in_body = false;
    if (!push(c)) fail(c);
}

static void start_what_is_due(void) {
    nanos at = now();
    while (free_count && started < total && (rate == 0 || due[started] <= at))
        start_request(at, rate == 0 ? at : due[started]);
}

/* Reads the head at the front of `bytes`; its length, 0 if it is not complete, -1 if it is not as expected. */
static ssize_t read_head(const char *bytes, size_t length) {
    static const char NAME[] = "\ncontent-length:";
    const char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end) return length > LARGEST_HEAD ? -1 : 0;
    if (strncmp(bytes, "HTTP/1.1 200", 12)) return -1;
    for (const char *at = bytes; (at = memchr(at, '\n', end - at)); at++)
        if (!strncasecmp(at, NAME, sizeof NAME - 1))
            return strtoull(at + sizeof NAME - 1, NULL, 10) == body_length ? end + 4 - bytes : -1;
    return -1;
}

/* Takes bytes of a response; whether they are as expected. */
static bool take(struct connection *c, const char *bytes, size_t length) {
    if (!c->busy) return false;
    if (!c->in_body) {
        if (c->held_length) {
            if (c->held_length + length > LARGEST_HEAD + CHUNK) return false;
            memcpy(c->held + c->held_length, bytes, length);
            bytes = c->held;
            length += c->held_length;
        }
        ssize_t head = read_head(bytes, length);
        if (head < 0) return false;
        if (!head) {
            if (!c->held && !(c->held = malloc(LARGEST_HEAD + CHUNK))) die("malloc");
            memmove(c->held, bytes, length);
            c->held_length = length;
            return true;
        }
        length -= head;
        c->in_body = true;
        c->body_left = body_length;
    }
    if (length > c->body_left) return false;
    c->body_left -= length;
    if (c->body_left) return true;
    latencies[answered++] = now() - c->since;
    if (close_each) reopen(c);
    set_free(c);
    return true;
}

static void serve(struct connection *c, uint32_t events) {
    static char chunk[CHUNK];
    if (c->busy && !push(c)) return fail(c);
    if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    int fd = c->fd;
    ssize_t n;
    do {
        n = recv(fd, chunk, sizeof chunk, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            /* A keep-alive connection that was closed while it was idle is no error. */
            return c->busy ? fail(c) : reopen(c);
        }
        if (!take(c, chunk, n)) return c->busy ? fail(c) : reopen(c);
    } while (c->fd == fd && (n == sizeof chunk || (events & EPOLLRDHUP)));
}

static void wait_for_events(nanos until) {
    struct epoll_event events[EVENTS];
    nanos at = now(), wait = until > at ? until - at : 0;
    struct timespec timeout = {.tv_sec = wait / SECOND, .tv_nsec = wait % SECOND};
    int n = syscall(SYS_epoll_pwait2, epoll, events, EVENTS, &timeout, NULL, 0);
    for (int i = 0; i < n; i++) serve(events[i].data.ptr, events[i].events);
}

static int ascending(const void *a, const void *b) {
    nanos x = *(const nanos *)a, y = *(const nanos *)b;
    return (x > y) - (x < y);
}

static double quantile(const nanos *sorted, long count, double q) {
    if (!count) return 0;
    long at = ceil(q * count) - 1;
    return sorted[at < 0 ? 0 : at] / 1e3;
}

static void plan(void) {
    double at = run_start + SECOND / 100;
    for (long i = 0; rate > 0 && i < total; i++) {
        at += -log(1 - drand48()) / rate * SECOND;
        due[i] = at;
    }
}

static void run(void) {
    started = answered = errors = 0;
    latencies = calloc(total, sizeof *latencies);
    due = rate > 0 ? calloc(total, sizeof *due) : NULL;
    lateness = rate > 0 ? calloc(total, sizeof *lateness) : NULL;
    if (!latencies || (rate > 0 && (!due || !lateness))) die("calloc");
    run_start = now();
    plan();
    nanos deadline = rate > 0 ? due[total - 1] + GRACE : run_start + LONGEST_RUN;
    while (answered + errors < total && errors < MOST_ERRORS && now() < deadline) {
        start_what_is_due();
        bool waiting = rate > 0 && free_count && started < total;
        wait_for_events(waiting && due[started] < deadline ? due[started] : deadline);
    }
    nanos end = now();
    long measured = answered, sent = started;
    /* What was never answered counts with its age. */
    for (int i = 0; i < connection_count; i++) {
        struct connection *c = &connections[i];
        if (!c->busy) continue;
        if (rate > 0) latencies[measured++] = end - c->since;
        reopen(c);
        set_free(c);
    }
    for (; rate > 0 && started < total && errors < MOST_ERRORS; started++)
        latencies[measured++] = end - due[started];
    qsort(latencies, measured, sizeof *latencies, ascending);
    if (rate > 0) qsort(lateness, sent, sizeof *lateness, ascending);
    printf("{\"requests\": %ld, \"errors\": %ld, \"unanswered\": %ld, \"seconds\": %.6f, \"p50\": %.1f, \"p90\": %.1f, "
           "\"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f, \"late_p99\": %.1f}\n",
           answered, errors, total - answered - errors, (end - run_start) / 1e9, quantile(latencies, measured, 0.5),
           quantile(latencies, measured, 0.9), quantile(latencies, measured, 0.99),
           quantile(latencies, measured, 0.999), quantile(latencies, measured, 1),
           rate > 0 ? quantile(lateness, sent, 0.99) : 0);
    fflush(stdout);
    free(latencies);
    free(due);
    free(lateness);
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "r");
    struct stat stat;
    if (!file || fstat(fileno(file), &stat)) die(path);
    request_length = stat.st_size;
    char *bytes = malloc(request_length);
    if (!bytes || fread(bytes, 1, request_length, file) != request_length) die(path);
    fclose(file);
    request = bytes;
}

int main(int count, char **args) {
    if (count < 5) return fprintf(stderr, "usage: load PORT REQUEST_FILE BODY_LENGTH CONNECTIONS [close]\n"), 2;
    address.sin_port = htons(atoi(args[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    read_request(args[2]);
    body_length = strtoull(args[3], NULL, 10);
    connection_count = atoi(args[4]);
    close_each = count > 5 && !strcmp(args[5], "close");
    prctl(PR_SET_TIMERSLACK, 1UL);
    epoll = epoll_create1(0);
    connections = calloc(connection_count, sizeof *connections);
    free_ring = calloc(connection_count, sizeof *free_ring);
    if (!connections || !free_ring) die("calloc");
    for (int i = 0; i < connection_count; i++) {
        open_connection(&connections[i]);
        set_free(&connections[i]);
    }
    while (scanf("%ld %lf", &total, &rate) == 2 && total > 0) {
        /* In an open loop the backend, on the same CPU, must not make the generator late; where that is not
         * permitted, late_p99 says how late it was. */
        struct sched_param priority = {.sched_priority = rate > 0};
        sched_setscheduler(0, rate > 0 ? SCHED_FIFO : SCHED_OTHER, &priority);
        run();
    }
    return 0;
}
