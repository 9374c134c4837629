"""Python's http.server on a unix socket; says in the header x-seen what it has understood.

usage: server.py SOCKET
"""

import http.server
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        # http.server leaves bodies to its user.
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.read(2)
            while self.rfile.readline().strip():
                pass
            return body
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError
        return body

    def answer(self):
        body = self.body()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.send_header("x-seen", f"{self.command} {self.path} {body.hex() or 'nothing'}")
        self.end_headers()

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


Server(sys.argv[1], Handler).serve_forever()
