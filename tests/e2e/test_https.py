"""test_https.py - our own clients behind TLS: `proa infer` and `proa top` against `proa serve` with certificates of every wrong kind, against
servers of Python's ssl and grpcio, and the tracer against a collector of Python's ssl."""
import concurrent.futures, json, re, socket, ssl
import grpc
import pytest
from conftest import Answerer, logged, run_proa
from models import X, Y
from test_infer_cli import Foreign, field
from test_tls import Pki, flags, pki, secure  # noqa: F401  (fixtures)
from test_top import once
from test_tracing import Collector

INPUT = ["--input", f"x={X}"]
PROTOCOLS = ["rest", "grpc"]
SYSTEM = {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/nowhere"}   # a system that trusts nobody


def infer(address, *args, **kw):
    return run_proa("infer", address, "tiny", *INPUT, *args, **kw)


def trust(pki, *more):
    return ["--cacert", pki.path("ca.pem"), *more]


def check_works(done):
    assert done.returncode == 0 and not done.stderr and done.stdout.startswith("name  type"), done


def check_refused(done, text):
    """No answer: status 3, nothing on standard output, and one line."""
    assert done.returncode == 3 and done.stdout == "" and done.stderr == f"proa infer: {text}\n", done


# ---- who is met --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_infer_over_https(secure, pki, protocol):
    s = secure()
    how = ["--protocol", protocol]
    for host in ("localhost", "127.0.0.1"):
        done = infer(f"https://{host}:{s.port}", *how, *trust(pki), "--json")
        assert done.returncode == 0 and not done.stderr, done
        assert json.loads(done.stdout)["outputs"][0]["data"] == pytest.approx(Y)
    check_works(infer(f"https://localhost:{s.port}", *how, env={"SSL_CERT_FILE": pki.path("ca.pem")}))
    only_13 = secure("--tls-min", "1.3")
    check_works(infer(f"https://localhost:{only_13.port}", *how, *trust(pki)))


def test_grpcs_says_the_protocol_itself(secure, serve, zoo, pki):
    s = secure("--log-requests", "true")
    check_works(infer(f"grpcs://localhost:{s.port}", *trust(pki)))
    logged(s, "ModelInfer")
    plain = serve(f"tiny={zoo['tiny']}", "--log-requests", "true")
    check_works(infer(f"grpc://127.0.0.1:{plain.port}"))
    logged(plain, "ModelInfer")
    done = infer(f"grpcs://localhost:{s.port}", "--protocol", "rest", *trust(pki))
    assert done.returncode == 2 and f"address: expected http or https, got 'grpcs://localhost:{s.port}'" in done.stderr


def test_top_over_https(secure, pki):
    s = secure()
    done = once(f"https://localhost:{s.port}", "--json", *trust(pki))
    assert done.returncode == 0 and not done.stderr and json.loads(done.stdout)["up"] is True, done
    done = once(f"https://localhost:{s.port}", "--json", env=SYSTEM)
    why = f"localhost:{s.port}: certificate: expected one of an authority in the system's trust store, got one signed by '/CN=ca'"
    assert done.returncode == 3 and json.loads(done.stdout)["error"] == why and done.stderr == f"proa top: {why}\n", done


def test_large_tensors_pass(secure, pki, zoo, tmp_path):
    import numpy as np
    s = secure(f"id_fp32={zoo['id_fp32']}")
    x = np.arange(700000, dtype=np.float32).reshape(1, -1)
    np.save(tmp_path / "x.npy", x)
    for protocol in PROTOCOLS:
        out = tmp_path / f"{protocol}.npz"
        done = run_proa("infer", f"https://localhost:{s.port}", "id_fp32", "--input", f"x={tmp_path}/x.npy", "--out", out, "--protocol", protocol, *trust(pki))
        assert done.returncode == 0, done
        assert (np.load(out)["y"] == x).all()


# ---- who is not --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_wrong_certificate_is_one_line(secure, pki, protocol):
    rows = [("expired", "ca", "localhost", "one that is in force, got one that expired 1 day ago"),
            ("elsewhere", "ca", "localhost", "one for 'localhost', got one for 'example.org'"),
            ("server", "ca", "127.0.0.2", "one for '127.0.0.2', got one for 'localhost', '127.0.0.1'"),
            ("server", "other-ca", "localhost", f"one of an authority in {pki.path('other-ca.pem')}, got one signed by '/CN=ca'"),
            ("stranger", "ca", "localhost", f"one of an authority in {pki.path('ca.pem')}, got one signed by '/CN=other-ca'"),
            ("ca", "other-ca", "localhost", f"one of an authority in {pki.path('other-ca.pem')}, got one that signed itself")]
    for name, ca, host, text in rows:
        s = secure("--listen", "127.0.0.2:0", server=name) if host == "127.0.0.2" else secure(server=name)
        port = int(re.findall(r"127\.0\.0\.2:(\d+)", s.log() + s.process.stdout.readline().decode())[0]) if host == "127.0.0.2" else s.port
        where = f"{host}:{port}"
        check_refused(infer(f"https://{where}", "--cacert", pki.path(f"{ca}.pem"), "--protocol", protocol), f"{where}: certificate: expected {text}")
        done = infer(f"https://{where}", "--insecure", "--protocol", protocol)
        assert done.returncode == 0 and done.stderr == "proa infer: warning: --insecure: whoever answers is trusted, and sees all that is sent\n", done
    s = secure()
    check_refused(infer(f"https://localhost:{s.port}", "--protocol", protocol, env=SYSTEM),
                  f"localhost:{s.port}: certificate: expected one of an authority in the system's trust store, got one signed by '/CN=ca'")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_client_certificates(secure, pki, protocol):
    s = secure("--tls-client-ca", pki.path("ca.pem"))
    address, how = f"https://localhost:{s.port}", ["--protocol", protocol, *trust(pki)]
    shows = lambda name: ["--cert", pki.path(f"{name}.pem"), "--key", pki.path(f"{name}.key")]
    check_works(infer(address, *how, *shows("client")))
    for more, alert in (([], "certificate required"), (shows("stranger"), "unknown CA"), (shows("client-expired"), "certificate expired")):
        check_refused(infer(address, *how, *more), f"localhost:{s.port}: TLS: expected the server to take our certificate, got its alert '{alert}'")
    assert s.alive()


def test_who_speaks_no_tls_is_told(serve, secure, zoo, pki):
    plain, s = serve(f"tiny={zoo['tiny']}"), secure()
    for protocol in PROTOCOLS:
        check_refused(infer(f"https://127.0.0.1:{plain.port}", "--protocol", protocol),
                      f"127.0.0.1:{plain.port}: TLS: expected a handshake, got plain HTTP: no https there")
    done = infer(f"http://127.0.0.1:{s.port}")
    assert done.returncode == 1 and "client sent an HTTP request to an HTTPS server" in done.stderr
    done = infer(f"https://127.0.0.1:{plain.port}", "--protocol", "grpc", "--insecure")
    assert done.returncode == 3 and done.stderr.splitlines()[-1].endswith("got plain HTTP: no https there")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        check_refused(infer(f"https://127.0.0.1:{port}", "--timeout", "3"), f"127.0.0.1:{port}: TLS handshake: expected it within 3000 ms")


def test_flags_that_do_not_fit_have_status_two(pki, tmp_path):
    (tmp_path / "junk").write_text("nothing\n")
    https = "https://localhost:1"
    rows = [("localhost:1", trust(pki), "--cacert: expected an https address with it, got 'localhost:1'"),
            ("unix:/x", ["--insecure"], "--insecure: expected an https address with it, got 'unix:/x'"),
            (https, ["--cert", pki.path("client.pem")], "--cert: expected --key with it, got none"),
            (https, ["--key", pki.path("client.key")], "--key: expected --cert with it, got none"),
            (https, trust(pki, "--insecure"), "--insecure: expected one of it and --cacert, got both"),
            (https, ["--cacert", tmp_path / "none"], f"{tmp_path}/none: cannot open: No such file or directory"),
            (https, ["--cacert", tmp_path / "junk"], f"{tmp_path}/junk: authorities: expected X.509 as PEM, got none"),
            (https, ["--cert", pki.path("client.pem"), "--key", pki.path("server.key")],
             f"{pki.path('server.key')}: private key: expected that of the certificate in {pki.path('client.pem')}, got 'key values mismatch'")]
    for address, more, text in rows:
        for command in (["infer", address, "m", *INPUT], ["infer", address, "m", "--protocol", "grpc", *INPUT], ["top", address, "--once"]):
            done = run_proa(*command, *more)
            assert done.returncode == 2 and done.stderr.splitlines()[-1] == f"proa {command[0]}: {text}", (command, done)


# ---- servers of other people's making ----------------------------------------------------------------------------

def python_tls(pki, client_ca=None, newest=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.path("server.pem"), pki.path("server.key"))
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pki.path(client_ca))
    if newest:
        context.maximum_version = newest
    return context


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_of_pythons_ssl(pki, newest):
    server = Answerer(Foreign)
    server.seen, server.socket = [], python_tls(pki, newest=newest).wrap_socket(server.socket, server_side=True)
    try:
        done = run_proa("infer", f"https://localhost:{server.server_address[1]}/base/", "m x", "--input", "t=hello", "--input", "f=[1.5,2]", *trust(pki))
        assert done.returncode == 0 and done.stdout.startswith("name  type"), done
        assert server.seen[-1][0] == "/base/v2/models/m%20x/infer" and server.seen[-1][1]["Host"] == f"localhost:{server.server_address[1]}"
        done = run_proa("infer", f"grpcs://localhost:{server.server_address[1]}", "m", "--input", "t=hello", *trust(pki))
        check_refused(done, f"localhost:{server.server_address[1]}: TLS: ALPN: expected h2, got none: it speaks no gRPC")
    finally:
        server.end()


def test_a_server_of_grpcio(pki):
    class Answer(grpc.GenericRpcHandler):
        def service(self, call):
            io = lambda name, *dims: field(1, name) + field(2, b"FP32") + b"".join(field(3, d % 2 ** 64) for d in dims)
            metadata = field(1, b"tiny") + field(4, io(b"x", -1, 4)) + field(5, io(b"y", -1, 4))
            answer = field(1, b"tiny") + field(5, io(b"y", 1, 2)) + field(6, b"\0\0\x80?\0\0\0@")
            return grpc.unary_unary_rpc_method_handler(lambda _, context: metadata if call.method.endswith("Metadata") else answer)
    read = lambda name: open(pki.path(name), "rb").read()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[Answer()])
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(read("server.key"), read("server.pem"))], read("ca.pem"), True))
    server.start()
    try:
        shown = ["--cert", pki.path("client.pem"), "--key", pki.path("client.key")]
        done = infer(f"grpcs://localhost:{port}", *trust(pki), *shown)
        assert done.returncode == 0 and "1 2\n" in done.stdout, done
        done = infer(f"grpcs://localhost:{port}", *trust(pki))
        assert done.returncode == 3 and done.stderr.startswith(f"proa infer: localhost:{port}: "), done   # grpcio closes without an alert
    finally:
        server.stop(None)


# ---- the tracer --------------------------------------------------------------------------------------------------

@pytest.fixture
def collector(pki):
    """collector(**) starts one of test_tracing's behind Python's ssl; keywords are python_tls's."""
    made = []

    def start(**kw):
        c = Collector()
        c.server.socket = python_tls(pki, **kw).wrap_socket(c.server.socket, server_side=True)
        c.url = f"https://localhost:{c.server.server_port}"
        made.append(c)
        return c
    yield start
    for c in made:
        c.server.end()


def ask(s):
    assert s.post("/v2/models/tiny/infer", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X}]}).status == 200


def otlp(pki, *more):
    return ["--otlp-cacert", pki.path("ca.pem"), *more]


def test_spans_reach_a_collector_behind_https(serve, zoo, pki, collector):
    c, picky = collector(), collector(client_ca="ca.pem")
    shown = ["--otlp-cert", pki.path("client.pem"), "--otlp-key", pki.path("client.key")]
    for where, how, env in ((c, otlp(pki), {}), (picky, otlp(pki, *shown), {}), (c, [], {"SSL_CERT_FILE": pki.path("ca.pem")}),
                            (picky, [], {"OTEL_EXPORTER_OTLP_CERTIFICATE": pki.path("ca.pem"), "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": pki.path("client.pem"),
                                         "OTEL_EXPORTER_OTLP_CLIENT_KEY": pki.path("client.key")})):
        where.spans.clear()
        s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", where.url, *how, env=env)
        for _ in range(3):
            ask(s)
        assert {x.name for x in where.wait(3)} == {"POST /v2/models/{model}/infer"}
        assert "spans are lost" not in s.log()
        s.stop()


def test_a_collector_that_is_not_to_be_trusted_gets_no_spans(serve, zoo, pki, collector):
    c, picky = collector(), collector(client_ca="ca.pem")
    other = ["--otlp-cacert", pki.path("other-ca.pem")]
    rows = [(c, other, f"certificate: expected one of an authority in {pki.path('other-ca.pem')}, got one signed by '/CN=ca'"),
            (picky, otlp(pki), "TLS: expected the server to take our certificate, got its alert 'certificate required'")]
    for where, how, text in rows:
        s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", where.url, *how)
        ask(s)
        logged(s, "spans are lost")
        assert f"tracing: localhost:{where.server.server_port}: localhost:{where.server.server_port}: {text}; spans are lost" in s.log()
        ask(s)
        assert where.spans == [] and s.stop() == 0


def test_a_collector_that_is_trusted_blindly_is_warned_of(serve, zoo, collector):
    c = collector()
    s = serve(f"tiny={zoo['tiny']}", "--otlp-endpoint", c.url, "--otlp-insecure")
    ask(s)
    assert len(c.wait(1)) == 1
    logged(s, f"tracing: otlp-insecure: whoever answers for {c.url} is trusted, and sees all spans")


def test_otlp_options_that_do_not_fit_have_status_two(zoo, pki):
    tiny = f"tiny={zoo['tiny']}"
    rows = [("http://h:1", otlp(pki), "otlp-endpoint: otlp-cacert: expected an https address with it, got 'h:1'"),
            ("https://h:1", ["--otlp-cert", pki.path("client.pem")], "otlp-endpoint: otlp-cert: expected otlp-key with it, got none"),
            ("https://h:1", ["--otlp-cacert", "/nowhere.pem"], "proa serve: otlp-cacert: /nowhere.pem: cannot open: No such file or directory"),
            ("grpcs://h:1", [], "otlp-endpoint: expected http[s]://HOST[:PORT], HOST:PORT or unix:/PATH, got 'grpcs://h:1'")]
    for endpoint, more, text in rows:
        done = run_proa("serve", tiny, "--port", "0", "--otlp-endpoint", endpoint, *more)
        assert done.returncode == (1 if "nowhere" in text else 2) and done.stderr.splitlines()[-1].endswith(text), done
