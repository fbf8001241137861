/* A minimal web server with a thread for each connection, as the field story's was: what one writes on
 * an afternoon. No deadline, no bound. threads PORT */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static const char kept[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
                           "Connection: keep-alive\r\n\r\nok\n";
static const char last[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
                           "Connection: close\r\n\r\nok\n";

static void *serve(void *argument) {
    int fd = (int)(long)argument;
    char head[4096];
    size_t have = 0;
    for (;;) {
        ssize_t got = read(fd, head + have, sizeof head - 1 - have);
        if (got <= 0) break;
        have += (size_t)got;
        head[have] = 0;
        if (strstr(head, "\r\n\r\n")) {
            int close_it = strcasestr(head, "connection: close") != NULL;
            const char *answer = close_it ? last : kept;
            size_t length = close_it ? sizeof last - 1 : sizeof kept - 1;
            if (write(fd, answer, length) != (ssize_t)length || close_it) break;
            have = 0;
        } else if (have == sizeof head - 1) break;
    }
    close(fd);
    return NULL;
}

int main(int count, char **words) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_attr_t detached;
    if (count != 2) return 64;
    signal(SIGPIPE, SIG_IGN);
    address.sin_port = htons((unsigned short)atoi(words[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, SOMAXCONN)) {
        perror("listen");
        return 1;
    }
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        if (pthread_create(&thread, &detached, serve, (void *)(long)fd)) close(fd);
    }
}
