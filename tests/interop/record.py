"""Script that records the requests of the SDK that is installed in its environment.

`python tests/interop/record.py` calls the SDK with each row of `arguments.py`. The requests go to a stub in the same
process. The script prints JSON: `{row: {"path": …, "body": …}}` with the exact text of the body, or
`{row: {"raised": …}}` with the name of the exception.
"""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from loopback import keep_to_loopback

TASK = {"id": "t", "agent_id": "a", "organization_id": "o", "input": {}, "created_at": "2026-01-02T03:04:05Z"}
ANSWER = {**TASK, "status": "completed", "tokens": None, "used_tools": [], "duration": 0}


class Stub(BaseHTTPRequestHandler):
    """Handler that accepts every report and keeps the last one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Nagle's algorithm delays each response on a reused connection by 40 ms
    last: dict[str, str] | None = None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).last = {"path": self.path, "body": body.decode("utf-8")}
        answer = json.dumps({**ANSWER, "id": json.loads(body)["id"] or "t"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def record_rows() -> dict[str, dict[str, str]]:
    from arguments import ROWS
    from values import CALLS, evaluate

    outcomes = {}
    for row, (form, expression) in ROWS.items():
        Stub.last = None
        try:
            CALLS[form](**evaluate(expression))
        except Exception as error:
            outcomes[row] = {"raised": type(error).__name__}
        else:
            assert Stub.last, f"{row}: the stub received no request"
            outcomes[row] = Stub.last
    return outcomes


def main() -> None:
    keep_to_loopback()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Before the import of the SDK: the official SDK reads the environment only once.
    for name in ("AGENT_ID", "API_KEY", "BASE_URL", "ORGANIZATION_ID"):
        os.environ.pop(f"XPANDER_{name}", None)
    os.environ["XPANDER_BASE_URL"] = f"http://127.0.0.1:{server.server_port}"
    os.environ["XPANDER_API_KEY"] = "key"
    os.environ["XPANDER_ORGANIZATION_ID"] = "o"
    rows = (f"{json.dumps(row)}: {json.dumps(outcome)}" for row, outcome in record_rows().items())
    print("{", ",\n".join(rows), "}", sep="\n")


if __name__ == "__main__":
    main()
