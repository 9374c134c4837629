/* Datagrams for the benchmark: an echo server, and a client that has one datagram under way on each socket.
 *
 * usage: udp echo PORT
 *        udp load PORT SOCKETS DATAGRAMS SIZE      prints: {"requests": answered, "seconds": s} */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 65536, EVENTS = 256, BUFFER = 8 << 20 };
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

int main(int count, char **args) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (count > 2) address.sin_port = htons(atoi(args[2]));
    if (count == 3 && !strcmp(args[1], "echo")) return echo(&address);
    size_t size = count == 6 ? (size_t)atoi(args[5]) : 0;
    if (count == 6 && !strcmp(args[1], "load") && size <= LARGEST)
        return load(&address, atoi(args[3]), atol(args[4]), size);
    return fprintf(stderr, "usage: udp echo PORT | udp load PORT SOCKETS DATAGRAMS SIZE\n"), 2;
}
