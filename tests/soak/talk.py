"""talk.py - one connection of a soak's client: what it asks, what it must be answered, and what became of that.

A Talk sends batches of Asks and holds every answer against the one that is due. What a server may do with a request that was
sent whole on a connection that the client did not end: answer it; or refuse it cleanly, see Http1Talk and Http2Talk. All else is
lost. Python's standard library only.
"""
import collections, json, socket, ssl, struct
from served import EXAMPLES

IO_S_MAX = 20
MODEL = "/v2/models/digits/infer"
IMAGES = 5                          # of different answers, so that one in another's place is seen


class Wrong(ValueError):
    """An answer that is not the one that was due."""


# ---- connections -------------------------------------------------------------------------------------------------

class Link:
    """A socket, under TLS when `wrap` makes it one. A server that has gone shows as the end of the stream, however it went."""

    def __init__(self, address, wrap=None, receive_bytes=None):
        self.mute = False           # what is said from now on is dropped: it would come in the middle of something
        s = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        try:
            s.settimeout(IO_S_MAX)
            if receive_bytes:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            s.connect(address)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.s = wrap(s) if wrap else s
        except BaseException:
            s.close()
            raise

    def send(self, data):
        if self.mute:
            return
        try:
            self.s.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            pass                    # what the server said before can still be read

    def receive(self):
        try:
            return self.s.recv(1 << 18)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def half_close(self):
        """No more will come, but more is read. Under TLS without a goodbye: Python's would throw away what comes before the server's."""
        self.mute = True
        try:
            socket.socket.shutdown(self.s, socket.SHUT_WR)
        except OSError:
            pass

    def send_raw(self, data):
        """Past TLS."""
        try:
            socket.socket.send(self.s, data)
        except OSError:
            pass

    def close(self, reset=False):
        if reset:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()


# ---- what is asked -----------------------------------------------------------------------------------------------

def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def field(number, value):
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def literal(name, value):
    """HPACK: a field outside of every table; `name` = its index in the static one, or its text."""
    if isinstance(name, str):
        head = b"\x00" + varint(len(name)) + name.encode()
    else:
        head = bytes([name]) if name < 15 else bytes([15, name - 15])
    return head + bytes([len(value)]) + value.encode()


def frame_head(length, kind, flags):
    return struct.pack(">HBBB", length >> 8, length & 255, kind, flags)


def frame(kind, flags, stream, payload=b""):
    return frame_head(len(payload), kind, flags) + struct.pack(">I", stream) + payload


def request_frames(block, body):
    """HEADERS and DATA of one request, in three parts between which its stream's number stands."""
    return (frame_head(len(block), 1, 4), block + frame_head(len(body), 0, 1), body)


POST, HTTP, PATH, AUTHORITY, TYPE = b"\x83", b"\x86", 4, 1, 31      # HPACK's static table


class Ask:
    """One request in the forms of every protocol, as bytes; learn() adds the answers that are due."""

    def __init__(self, image, datatype):
        self.flat = [v for row in image["image"] for v in row]
        self.label, self.refused = image["label"], datatype != "FP32"
        tensor = {"name": "image", "datatype": datatype, "shape": [1, 1, 8, 8], "data": self.flat}
        body = json.dumps({"inputs": [tensor]}).encode()
        head = b"POST %s HTTP/1.1\r\nHost: soak\r\n" % MODEL.encode()
        self.http1 = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        self.http1_chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
        block = POST + HTTP + literal(PATH, MODEL) + literal(AUTHORITY, "soak")
        self.rest = request_frames(block, body)
        shape = field(3, b"\x01\x01\x08\x08")
        message = field(1, b"digits") + field(5, field(1, b"image") + field(2, datatype.encode()) + shape)
        message += field(7, struct.pack("<64f" if datatype == "FP32" else "<64d", *self.flat))
        block = (POST + HTTP + literal(PATH, "/inference.GRPCInferenceService/ModelInfer") + literal(AUTHORITY, "soak") +
                 literal(TYPE, "application/grpc") + literal("te", "trailers"))
        self.grpc = request_frames(block, struct.pack(">BI", 0, len(message)) + message)
        self.status, self.body, self.counted, self.message = b"", b"", b"", b""     # the answers; see learn()

    def learn(self, address):
        """Asks once by each protocol, and judges what comes by the model's own labels; later answers must be the same."""
        link = Link(address)
        link.send(self.http1.replace(b"Host: soak\r\n", b"Host: soak\r\nConnection: close\r\n"))
        got = b"".join(iter(link.receive, b""))
        link.close()
        head, _, self.body = got.partition(b"\r\n\r\n")
        self.status = head.split(b"\r\n")[0]
        self.counted = b"\r\nContent-Length: %d\r\n" % len(self.body)
        if self.refused:
            if self.status != b"HTTP/1.1 400 Bad Request" or b"FP64" not in self.body:
                raise Wrong(f"expected a refusal of FP64, got {got!r}")
            return
        outputs = {o["name"]: o["data"] for o in json.loads(self.body)["outputs"]}
        if self.status != b"HTTP/1.1 200 OK" or outputs["label"] != [self.label]:
            raise Wrong(f"expected the label {self.label}, got {got!r}")
        talk = GrpcTalk(Link(address))
        talk.learns = True
        talk.send([self])
        talk.finish()
        talk.link.close()
        want = struct.pack("<10f", *outputs["probabilities"]), struct.pack("<q", self.label)
        if talk.lost or talk.wrong or any(w not in self.message for w in want):
            raise Wrong(f"gRPC: expected the outputs of REST, got {self.message!r}; {talk.wrong}")


def asks(address):
    """(good ones, a refused one), with their answers."""
    images = json.loads((EXAMPLES / "heldout.json").read_text())[:IMAGES]
    good, refused = [Ask(i, "FP32") for i in images], Ask(images[0], "FP64")
    for a in (*good, refused):
        a.learn(address)
    return good, refused


# ---- what became of it -------------------------------------------------------------------------------------------

class Talk:
    """`refused`: Asks to be sent again, over another connection. `vanished`: of those that the client gave up itself."""

    def __init__(self, link):
        self.link, self.rest = link, b""
        self.sent = self.answered = self.lost = self.vanished = self.idle = 0
        self.refused, self.wrong = [], []
        self.leaving = self.over = False        # the server takes no more requests; has ended the connection

    def take_some(self):
        """Reads once; False at the end of the stream."""
        if self.over:
            return False
        try:
            data = self.link.receive()
            if data:
                self.take(data)
        except (TimeoutError, Wrong) as e:
            self.wrong.append(f"{type(e).__name__}: {e}")
            data = b""
        if not data:
            self.over = self.leaving = True
            self.settle()
        return bool(data)

    def finish(self, left=0):
        """All answers that are due, or all but `left`."""
        while len(self.due) > left and self.take_some():
            pass

    def wait_for_end(self):
        """The server's, behind all answers."""
        while self.take_some():
            pass

    def vanish(self, reset=False):
        self.vanished += len(self.due)
        self.due.clear()
        self.link.close(reset)


class Http1Talk(Talk):
    """Pipelined requests, answered in their order. Cleanly refused are those that were sent behind one whose answer said
    `Connection: close`; and a whole batch on a connection that was idle before, when it ended in order and without one byte of
    an answer: the server closed it before it saw them (RFC 9112 9.5). The latter are `idle`."""
    name, alpn, batch_max = "REST over HTTP/1", "http/1.1", 40

    def __init__(self, link):
        super().__init__(link)
        self.due, self.closing, self.fresh = collections.deque(), False, False

    def form(self, ask):
        return ask.http1

    def length(self, ask, head):
        """Of the body behind that head, once its answer is the one that is due as far as that shows."""
        if not head.startswith(ask.status) or ask.counted not in head:
            raise Wrong(f"expected '{ask.status.decode()}' and '{ask.counted.strip().decode()}', got {head!r}")
        return len(ask.body)

    def check(self, ask, head, body):
        if body != ask.body:
            raise Wrong(f"expected {ask.body!r}, got {body!r}")

    def bytes_of(self, asks, r=None):
        self.fresh = not self.due
        self.due.extend(asks)
        self.sent += len(asks)
        if r and r.random() < 0.08:
            return b"".join([a.http1_chunked for a in asks])
        return b"".join([self.form(a) for a in asks])

    def send(self, asks, r=None):
        self.link.send(self.bytes_of(asks, r))

    def cut(self, ask, r):
        """Some bytes of a request, from one to all but one."""
        data = r.choice((ask.http1, ask.http1_chunked))
        return data[:r.choice((r.randrange(1, 60), r.randrange(80, len(data))))]

    def take(self, data):
        self.fresh = False
        data, at, due = self.rest + data, 0, self.due
        while due:
            end = data.find(b"\r\n\r\n", at)
            if end < 0:
                break
            head = data[at:end + 2]
            stop = end + 4 + self.length(due[0], head)
            if len(data) < stop:
                break
            self.check(due[0], head, data[end + 4:stop])
            if b"\r\nConnection: close" in head:
                self.closing = self.leaving = True
            due.popleft()
            self.answered += 1
            at = stop
        self.rest = data[at:]
        if self.rest and not due:
            raise Wrong(f"expected no more, got {self.rest[:200]!r}")

    def settle(self):
        if self.closing:
            self.refused += self.due
        elif self.fresh and self.answered and not self.wrong:
            self.idle += len(self.due)
            self.refused += self.due
        else:
            self.lost += len(self.due)
        self.due.clear()


# What nghttp2 writes for `grpc-status: N` when it keeps no table: the name in Huffman's code, the value as it is.
GRPC_STATUS = b"\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x01"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK = 1, 1
WINDOW_BYTES = 1 << 20
FRAME = struct.Struct(">HBBBI")


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *p) for p in pairs))


def initial_window(n):
    return settings((4, n))


class Http2Talk(Talk):
    """Streams. Cleanly refused are those beyond the last that GOAWAY with NO_ERROR names, and those that REFUSED_STREAM resets.
    `table` = let the server compress headers by a table: then trailers cannot be compared byte by byte, and are not."""
    alpn, batch_max = "h2", 80

    def __init__(self, link, table=False):
        super().__init__(link)
        self.due, self.table = {}, table            # stream -> [its Ask, the parts of its body, has its head come]
        self.next, self.window, self.pongs, self.learns = 1, 65535, 0, False
        self.cancelled = set()
        hello = settings((1, 4096 if table else 0), (2, 0), (4, WINDOW_BYTES))
        link.send(PREFACE + hello + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 65536)))

    def bytes_of(self, asks, r=None):
        out = []
        for ask in asks:
            a, b, c = self.form(ask)
            stream = struct.pack(">I", self.next)
            out += (a, stream, b, stream, c)
            self.due[self.next] = [ask, b"", None]
            self.next += 2
            self.window -= len(c)
        self.sent += len(asks)
        return b"".join(out)

    def send(self, asks, r=None):
        """PING goes along now and then: its answer is due, too."""
        if r and r.random() < 0.1:
            self.pongs -= 1
            self.link.send(frame(PING, 0, 0, b"whatever"))
        while self.window < sum(len(self.form(a)[2]) for a in asks):
            if not self.take_some():
                return
        self.link.send(self.bytes_of(asks))

    def cut(self, ask, r):
        a, b, c = self.form(ask)
        stream = struct.pack(">I", self.next)
        data = a + stream + b + stream + c
        return data[:r.randrange(1, len(data))]

    def cancel(self, streams):
        for s in streams:
            del self.due[s]
        self.cancelled.update(streams)
        self.vanished += len(streams)
        self.link.send(b"".join(frame(RST_STREAM, 0, s, b"\0\0\0\x08") for s in streams))

    def take(self, data):
        data, at, reply = self.rest + data, 0, b""
        size, due = len(data), self.due
        while size - at >= 9:
            high, low, kind, flags, stream = FRAME.unpack_from(data, at)
            stop = at + 9 + (high << 8 | low)
            if stop > size:
                break
            payload, at = data[at + 9:stop], stop
            if kind == DATA or kind == HEADERS:
                if stream not in due:
                    if stream not in self.cancelled:
                        raise Wrong(f"expected no frame {kind} of stream {stream}, got {payload!r}")
                    continue
                s = due[stream]
                if kind == DATA:
                    s[1] += payload
                elif s[2] is None:
                    s[2] = payload
                else:
                    self.check_trailers(payload)
                if flags & END_STREAM:
                    self.check(s[0], s[2] or b"", s[1], kind)
                    del due[stream]
                    self.answered += 1
            else:
                reply += self.control(kind, flags, stream, payload)
        self.rest = data[at:]
        if reply:
            self.link.send(reply)

    def control(self, kind, flags, stream, payload):
        """What is to be sent for it."""
        if kind == SETTINGS and not flags & ACK:
            return frame(SETTINGS, ACK, 0)
        if kind == PING and not flags & ACK:
            return frame(PING, ACK, 0, payload)
        if kind == PING:
            self.pongs += 1
        elif kind == WINDOW_UPDATE and stream == 0:
            self.window += struct.unpack(">I", payload)[0]
        elif kind == RST_STREAM and stream in self.due:
            if payload != b"\0\0\0\x07":
                raise Wrong(f"stream {stream} was reset with {payload!r}")
            self.refused.append(self.due.pop(stream)[0])
        elif kind == GOAWAY:
            last, code = struct.unpack_from(">II", payload)
            if code:
                raise Wrong(f"GOAWAY {code} {payload[8:]!r}")
            self.leaving = True
            for s in [s for s in self.due if s > last]:
                self.refused.append(self.due.pop(s)[0])
        return b""

    def settle(self):
        self.lost += len(self.due)
        self.due.clear()


class RestTalk(Http2Talk):
    name = "REST over HTTP/2"

    def form(self, ask):
        return ask.rest

    def check(self, ask, head, body, _):
        status = b"\x8c" if ask.refused else b"\x88"        # :status 400 and 200 in HPACK's static table
        if not head.lstrip(b"\x20\x3f\xe1\x1f").startswith(status) or body != ask.body:
            raise Wrong(f"expected {status!r}... and {ask.body!r}, got {head!r} and {body!r}")

    def check_trailers(self, payload):
        raise Wrong(f"expected no trailers, got {payload!r}")


class GrpcTalk(Http2Talk):
    name = "gRPC"

    def form(self, ask):
        return ask.grpc

    def check(self, ask, head, body, last):
        if self.learns:
            ask.message = body
        refused = ask.refused and (self.table or GRPC_STATUS + b"3" in head)
        if last != HEADERS or not head.lstrip(b"\x20\x3f\xe1\x1f").startswith(b"\x88") or body != ask.message or refused != ask.refused:
            raise Wrong(f"expected {ask.message!r} and trailers, got {head!r} and {body!r}")

    def check_trailers(self, payload):
        if not self.table and GRPC_STATUS + b"0" not in payload:
            raise Wrong(f"expected grpc-status 0, got {payload!r}")
