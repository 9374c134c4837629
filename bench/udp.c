/* Datagrams for the benchmark: an echo server, a client that has one datagram under way on each socket, and what the kernel
 * alone charges for passing datagrams on, with a socket towards the server for each client.
 *
 * usage: udp echo PORT
 *        udp load PORT SOCKETS DATAGRAMS SIZE      prints: {"requests": answered, "seconds": s}
 *        udp floor LISTEN_PORT ECHO_PORT           (all on 127.0.0.1) */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 65536, EVENTS = 256, BUFFER = 8 << 20, BATCH = 32, ROOM = 2048, PORTS = 1 << 16 };
/* Lost datagrams are not sent again; when nothing has come for this long, nothing will. */
static const double QUIET = 0.5;

static char datagram[LARGEST];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int echo(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = BUFFER;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, (const void *)address, sizeof *address)) return perror("udp echo"), 1;
    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(fd, datagram, sizeof datagram, 0, (void *)&from, &length);
        if (n >= 0) sendto(fd, datagram, n, 0, (void *)&from, length);
    }
}

static int load(const struct sockaddr_in *address, int sockets, long total, size_t size) {
    int epoll = epoll_create1(0);
    long sent = 0, answered = 0;
    memset(datagram, 'x', size);
    double start = now(), last = start;
    for (int i = 0; i < sockets && sent < total; i++) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (fd < 0 || connect(fd, (const void *)address, sizeof *address)) return perror("udp load"), 1;
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        send(fd, datagram, size, 0);
        sent++;
    }
    while (answered < total && now() - last < QUIET) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            while (recv(events[i].data.fd, datagram, sizeof datagram, 0) >= 0) {
                answered++;
                last = now();
                if (sent < total) {
                    send(events[i].data.fd, datagram, size, 0);
                    sent++;
                }
            }
        }
    }
    printf("{\"requests\": %ld, \"seconds\": %.6f}\n", answered, last - start);
    return 0;
}

/* Datagrams with room for their bytes and for an address. */
struct messages {
    struct mmsghdr headers[EVENTS];
    struct iovec pieces[EVENTS];
    struct sockaddr_in addresses[EVENTS];
    char bytes[EVENTS][ROOM];
};

static void make(struct messages *messages, int i, size_t length) {
    messages->pieces[i] = (struct iovec){messages->bytes[i], length};
    messages->headers[i].msg_hdr = (struct msghdr){
        .msg_name = &messages->addresses[i], .msg_namelen = sizeof messages->addresses[i],
        .msg_iov = &messages->pieces[i], .msg_iovlen = 1};
}

/* The socket towards the server of a client, which has this port. */
static int session(in_port_t port, const struct sockaddr_in *server, int epoll) {
    static int sockets[PORTS];
    int *fd = &sockets[port];
    if (*fd) return *fd;
    *fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)port << 32 | (uint32_t)*fd};
    if (*fd < 0 || connect(*fd, (const void *)server, sizeof *server)) perror("udp floor"), exit(1);
    epoll_ctl(epoll, EPOLL_CTL_ADD, *fd, &event);
    return *fd;
}

static int pass(const struct sockaddr_in *address, const struct sockaddr_in *server) {
    static struct messages in, out;
    int down = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0), size = BUFFER;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = down};
    setsockopt(down, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(down, (const void *)address, sizeof *address)) return perror("udp floor"), 1;
    epoll_ctl(epoll, EPOLL_CTL_ADD, down, &event);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, -1), answers = 0;
        for (int i = 0; i < n; i++) {
            int fd = (int)(uint32_t)events[i].data.u64;
            if (fd != down) {
                ssize_t length = recv(fd, out.bytes[answers], ROOM, 0);
                if (length < 0) continue;
                out.addresses[answers] = *address;
                out.addresses[answers].sin_port = (in_port_t)(events[i].data.u64 >> 32);
                make(&out, answers++, length);
                continue;
            }
            for (int j = 0; j < BATCH; j++) make(&in, j, ROOM);
            int got = recvmmsg(down, in.headers, BATCH, 0, NULL);
            for (int j = 0; j < got; j++)
                send(session(in.addresses[j].sin_port, server, epoll), in.bytes[j], in.headers[j].msg_len, 0);
        }
        for (int done = 0, k; done < answers; done += k)
            if ((k = sendmmsg(down, out.headers + done, answers - done, 0)) <= 0) break;
    }
}

static struct sockaddr_in loopback(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 0)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int main(int count, char **args) {
    struct sockaddr_in address = loopback(count > 2 ? args[2] : NULL), server = loopback(count > 3 ? args[3] : NULL);
    if (count == 4 && !strcmp(args[1], "floor")) return pass(&address, &server);
    if (count == 3 && !strcmp(args[1], "echo")) return echo(&address);
    size_t size = count == 6 ? (size_t)atoi(args[5]) : 0;
    if (count == 6 && !strcmp(args[1], "load") && size <= LARGEST)
        return load(&address, atoi(args[3]), atol(args[4]), size);
    return fprintf(stderr, "usage: udp echo PORT | udp load PORT SOCKETS DATAGRAMS SIZE | udp floor PORT PORT\n"), 2;
}
