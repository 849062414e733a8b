/* SPDX-License-Identifier: MIT */
/*
 * fpjump: binds a socket to port 0, and is called out of the bind by a signal handler that does not return. Says
 * whether it was, and whether the thread can be cancelled as before.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { ALARM_MS = 300 };

static sigjmp_buf back;

static void jump(int number) {
    (void)number;
    siglongjmp(back, 1);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sigaction action = {.sa_handler = jump};
    struct itimerval once = {.it_value.tv_usec = ALARM_MS * 1000}, never = {.it_value.tv_usec = 0};
    int state, fd = socket(AF_INET, SOCK_STREAM, 0);
    sigaction(SIGALRM, &action, NULL);
    if (sigsetjmp(back, 1) == 0) {
        setitimer(ITIMER_REAL, &once, NULL);
        int result = bind(fd, (struct sockaddr *)&address, sizeof address);
        int error = errno;
        setitimer(ITIMER_REAL, &never, NULL);
        puts(result == 0 ? "bound" : strerror(error));
    } else {
        puts("jumped");
    }
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    puts(state == PTHREAD_CANCEL_ENABLE ? "enabled" : "disabled");
    return 0;
}
