"""gRPC's own implementation as server and as client, without generated code: messages are bytes.

peer.py serve        prints the port and serves until standard input ends
peer.py call PORT    makes every kind of call through PORT; prints "N calls" if all is as it should be
"""

import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]
cancelled = threading.Event()


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", metadata.get("x-asked", "none")),))
    context.set_trailing_metadata((("x-final", "yes"), ("x-data-bin", b"\x00\x01\xff")))
    return request[::-1]


def fail(request, context):
    context.set_trailing_metadata((("x-why", "because"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: \u00e4 %")


def fail_later(request, context):
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "lost")


def slow(request, context):
    time.sleep(float(request))
    return b"late"


def count(request, context):
    for n in range(int(request)):
        yield str(n).encode()


def add(requests, context):
    return str(sum(int(request) for request in requests)).encode()


def echo(requests, context):
    for request in requests:
        yield request


def forever(request, context):
    context.add_callback(cancelled.set)
    while context.is_active():
        yield b"more"
        time.sleep(0.01)


def was_cancelled(request, context):
    return b"yes" if cancelled.wait(10) else b"no"


def serve():
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "FailLater": grpc.unary_stream_rpc_method_handler(fail_later),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Add": grpc.stream_unary_rpc_method_handler(add),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
        "Forever": grpc.unary_stream_rpc_method_handler(forever),
        "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    }
    server = grpc.server(futures.ThreadPoolExecutor(16), options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    checks = health.HealthServicer()
    checks.set("test.Test", health_pb2.HealthCheckResponse.SERVING)
    checks.set("other", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


def error_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it should have failed")


def call(port):
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS)
    done = 0

    def method(kind, name):
        return getattr(channel, kind)(f"/test.Test/{name}")

    # Unary, with metadata both ways, empty, large.
    ask = method("unary_unary", "Unary")
    answer, rpc = ask.with_call(b"hello", metadata=(("x-asked", "this"),))
    assert answer == b"olleh"
    assert ("x-initial", "this") in [tuple(entry) for entry in rpc.initial_metadata()]
    final = dict(rpc.trailing_metadata())
    assert final["x-final"] == "yes" and final["x-data-bin"] == b"\x00\x01\xff", final
    for size in [0, 1, 16384, 5 << 20]:
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        assert ask(body, timeout=60) == body[::-1]
        done += 1

    # Errors: in trailers alone, in trailers behind messages, from us.
    error = error_of(lambda: method("unary_unary", "Fail")(b""))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    assert error.details() == "not today: \u00e4 %", error.details()
    assert dict(error.trailing_metadata())["x-why"] == "because"
    got = []
    error = error_of(lambda: got.extend(method("unary_stream", "FailLater")(b"")))
    assert (error.code(), got) == (grpc.StatusCode.DATA_LOSS, []) or error.code() == grpc.StatusCode.DATA_LOSS, error
    error = error_of(lambda: method("unary_unary", "NoSuch")(b""))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
    done += 3

    # Streams.
    assert [int(n) for n in method("unary_stream", "Count")(b"1000")] == list(range(1000))
    assert method("stream_unary", "Add")(str(n).encode() for n in range(1000)) == b"499500"
    # Each message is sent when the one before it has come back.
    turn = threading.Semaphore(1)
    sent = [str(n).encode() * 100 for n in range(200)]

    def one_by_one():
        for message in sent:
            turn.acquire()
            yield message

    back = []
    for message in method("stream_stream", "Echo")(one_by_one()):
        back.append(message)
        turn.release()
    assert back == sent
    large = [bytes([n]) * 300_000 for n in range(30)]
    assert list(method("stream_stream", "Echo")(iter(large))) == large
    done += 4

    # Deadlines.
    begun = time.monotonic()
    error = error_of(lambda: method("unary_unary", "Slow")(b"5", timeout=0.3))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - begun < 4, error
    assert method("unary_unary", "Slow")(b"0.05", timeout=30) == b"late"

    # Cancellation reaches the server.
    stream = method("unary_stream", "Forever")(b"")
    for _ in range(3):
        next(stream)
    stream.cancel()
    assert method("unary_unary", "WasCancelled")(b"") == b"yes"
    done += 3

    # Many at once.
    calls = [ask.future(str(n).encode() * 50, timeout=60) for n in range(200)]
    assert [rpc.result() for rpc in calls] == [(str(n).encode() * 50)[::-1] for n in range(200)]
    done += 200

    # Health checks.
    stub = health_pb2_grpc.HealthStub(channel)
    status = health_pb2.HealthCheckResponse
    assert stub.Check(health_pb2.HealthCheckRequest(service="test.Test")).status == status.SERVING
    assert stub.Check(health_pb2.HealthCheckRequest(service="other")).status == status.NOT_SERVING
    error = error_of(lambda: stub.Check(health_pb2.HealthCheckRequest(service="unknown")))
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="test.Test"))
    assert next(watch).status == status.SERVING
    watch.cancel()
    done += 4
    channel.close()
    print(f"{done} calls")


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else call(sys.argv[2])
