"""A process without a port: it counts, so that its log shows something."""

import os
import signal

SECONDS = 30


def main() -> None:
    asked_to_stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, asked_to_stop)
    print(f"worker of release {os.environ.get('SLIPWAY_RELEASE', 'not deployed')} begins", flush=True)
    rounds = 0
    while signal.sigtimedwait(asked_to_stop, SECONDS) is None:
        rounds += 1
        print(f"round {rounds} is done", flush=True)
    print("worker ends, as asked", flush=True)


if __name__ == "__main__":
    main()
