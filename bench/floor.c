/* What the kernel alone charges for carrying bytes through a process: one thread, epoll, no parsing.
 *
 * Every connection gets its own upstream connection; what one side says is passed to the other. A proxy that costs
 * as much as this one has nothing left to save but system calls.
 *
 * usage: floor LISTEN_PORT UPSTREAM_PORT        (both on 127.0.0.1) */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_SOCKETS = 1 << 16, EVENTS = 256, CHUNK = 64 << 10 };

static int other[MOST_SOCKETS]; /* the opposite socket of each socket; 0: none */
static int epoll;

static struct sockaddr_in loopback(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void join(int down, const struct sockaddr_in *upstream) {
    int up = socket(AF_INET, SOCK_STREAM, 0);
    /* Blocking: on the loopback a connect is done when it returns. */
    if (up < 0 || down >= MOST_SOCKETS || up >= MOST_SOCKETS || connect(up, (void *)upstream, sizeof *upstream)) {
        close(down);
        close(up);
        return;
    }
    other[down] = up;
    other[up] = down;
    watch(down);
    watch(up);
}

/* Writes all, waiting where the receiver is slower: the floor has no queue of its own. */
static int pass(int fd, const char *bytes, ssize_t length) {
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, 1000);
        } else if (n < 0) {
            return -1;
        } else {
            bytes += n;
            length -= n;
        }
    }
    return 0;
}

static void carry(int fd) {
    static char chunk[CHUNK];
    int to = other[fd];
    if (!to) return; /* closed by an earlier event of this batch */
    ssize_t n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 || pass(to, chunk, n)) {
        other[fd] = other[to] = 0;
        close(fd);
        close(to);
    }
}

int main(int count, char **args) {
    if (count != 3) return fprintf(stderr, "usage: floor LISTEN_PORT UPSTREAM_PORT\n"), 2;
    struct sockaddr_in address = loopback(args[1]), upstream = loopback(args[2]);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) return perror("floor"), 1;
    epoll = epoll_create1(0);
    watch(listener);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                carry(events[i].data.fd);
                continue;
            }
            int down = accept(listener, NULL, NULL);
            if (down >= 0) join(down, &upstream);
        }
    }
}
