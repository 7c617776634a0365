"""A load generator in a process of its own: ``python _load.py PORT SECONDS THREADS PAUSE`` with the requests on stdin.

Each thread waits for its answer, and then for the pause (in seconds), before it asks again.

stdin: JSON list of ``{"path", "token", "body"}``; stdout: JSON ``{"done", "wrong", "seconds", "times"}``.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from typing import Any


def main() -> None:
    port, seconds, threads, pause = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    requests: list[dict[str, Any]] = json.load(sys.stdin)
    times: list[list[float]] = [[] for _ in range(threads)]
    wrong = [0] * threads
    until = time.monotonic() + seconds

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        mine = requests[number::threads] or requests
        at = 0
        while time.monotonic() < until:
            one = mine[at % len(mine)]
            at += 1
            began = time.perf_counter()
            headers = {"Authorization": f"Bearer {one['token']}", "Content-Type": "application/json"}
            try:
                connection.request("POST", one["path"], json.dumps(one["body"]), headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status >= 300:
                    wrong[number] += 1
            except (OSError, http.client.HTTPException):
                wrong[number] += 1
                connection.close()
            times[number].append(time.perf_counter() - began)
            time.sleep(pause)

    began = time.monotonic()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = [one for some in times for one in some]
    told = {"done": len(found), "wrong": sum(wrong), "seconds": time.monotonic() - began, "times": found}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
