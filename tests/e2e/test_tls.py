"""test_tls.py - TLS on the port, seen by openssl s_client, curl, Python's ssl and the users' own clients.

Certificates are made here, by Python's `cryptography`; nothing secret is kept."""
import datetime, http.client, ipaddress, os, re, shutil, signal, socket, ssl, subprocess, sys, threading
import numpy as np, pytest
from conftest import logged, run_proa, until
from models import X, Y

WANT = np.array([Y], np.float32)
OPENSSL = shutil.which("openssl")


# ---- certificates ------------------------------------------------------------------------------------------------

class Pki:
    """Two authorities and what they signed, as PEM files: .path(name)."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}
        self.make("ca", None)
        self.make("other-ca", None)
        self.make("server", "ca")
        self.make("server2", "ca")
        self.make("expired", "ca", days=-1)
        self.make("elsewhere", "ca", names=["example.org"])
        self.make("client", "ca")
        self.make("client-expired", "ca", days=-1)
        self.make("stranger", "other-ca")

    def path(self, name):
        return str(self.folder / name)

    def serial(self, name):
        return self.made[name][1].serial_number

    def make(self, name, signer, days=30, names=("localhost",)):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by_key, by_cert = self.made[signer] if signer else (key, None)
        now = datetime.datetime.now(datetime.timezone.utc)
        alt = [x509.DNSName(n) for n in names] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))] * (names == ("localhost",))
        build = (x509.CertificateBuilder().subject_name(subject).issuer_name(by_cert.subject if by_cert else subject).public_key(key.public_key())
                 .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=10))
                 .not_valid_after(now + datetime.timedelta(days=days)).add_extension(x509.BasicConstraints(ca=not signer, path_length=None), True)
                 .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
        if signer:
            build = build.add_extension(x509.SubjectAlternativeName(alt), False)
            build = build.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), False)
        else:
            build = build.add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                                                      key_encipherment=False, data_encipherment=False, key_agreement=False,
                                                      encipher_only=False, decipher_only=False), True)
        cert = build.sign(by_key, hashes.SHA256())
        self.made[name] = key, cert
        with open(self.path(f"{name}.pem"), "wb") as f:
            f.write(cert.public_bytes(serialization.Encoding.PEM))
        with open(os.open(self.path(f"{name}.key"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


def flags(pki, server="server", *more):
    return ["--tls-cert", pki.path(f"{server}.pem"), "--tls-key", pki.path(f"{server}.key"), *more]


def trusting(pki, client=None):
    context = ssl.create_default_context(cafile=pki.path("ca.pem"))
    if client:
        context.load_cert_chain(pki.path(f"{client}.pem"), pki.path(f"{client}.key"))
    return context


@pytest.fixture
def secure(serve, zoo, pki):
    """secure(*flags, server=) starts a server with TLS; its get(), post() and infer() trust the test's authority."""
    def start(*more, server="server", **kw):
        s = serve(f"tiny={zoo['tiny']}", *flags(pki, server), *more, **kw)
        s.tls = trusting(pki)
        return s
    return start


def s_client(server, *args, say="", timeout=60):
    """openssl s_client: its exit status and all that it said."""
    if not OPENSSL:
        pytest.skip("no openssl")
    done = subprocess.run([OPENSSL, "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost", *args], input=say,
                          capture_output=True, text=True, errors="replace", timeout=timeout)
    return done.returncode, done.stdout + done.stderr


def works(answer):
    return re.search(r"Cipher is (?!\(NONE\))", answer[1]) is not None


def metric(server, name):
    found = re.search(rf"^{re.escape(name)} (\d+)$", server.get("/metrics").body.decode(), re.M)
    return int(found[1])


def counted(server, name, wanted):
    """Neither less nor more: who is refused may know it before it is counted."""
    until(lambda: metric(server, name) >= wanted, what=f"{name} {wanted}")
    assert metric(server, name) == wanted


# ---- versions, suites, ALPN --------------------------------------------------------------------------------------

def test_versions_suites_and_alpn(secure, pki):
    s = secure()
    assert s.url.startswith("https://")
    weak = ["-cipher", "ALL:@SECLEVEL=0"]
    for version in ("-tls1_2", "-tls1_3"):
        answer = s_client(s, version, "-CAfile", pki.path("ca.pem"), "-verify_return_error")
        assert works(answer) and "Verify return code: 0 (ok)" in answer[1], answer
    for version in ("-tls1", "-tls1_1"):
        assert not works(s_client(s, version, *weak)), version
    refused = ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-CCM", "ECDHE-ECDSA-NULL-SHA", "aNULL", "eNULL", "RC4", "3DES",
               "EXPORT", "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "PSK"]
    for suite in refused:
        assert not works(s_client(s, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0")), suite
    for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"):
        assert works(s_client(s, "-tls1_2", "-cipher", suite)), suite
    for offer, want in (("h2,http/1.1", "h2"), ("http/1.1,h2", "h2"), ("http/1.1", "http/1.1")):
        assert f"ALPN protocol: {want}" in s_client(s, "-alpn", offer)[1]
    assert "No ALPN negotiated" in s_client(s)[1]
    assert not works(s_client(s, "-alpn", "spdy/3"))
    answer = s_client(s, "-tls1_2")[1]
    assert "Compression: NONE" in answer
    counted(s, 'proa_tls_failures_total{reason="version"}', 2)
    for name in ('failures_total{reason="cipher"}', 'handshakes_total{version="1.2"}', 'handshakes_total{version="1.3"}'):
        until(lambda: metric(s, "proa_tls_" + name) >= (1 if "cipher" in name else 4), what=name)


def test_ssl3_is_refused(secure):
    s = secure()
    hello = b"\x01\x00\x00\x29\x03\x00" + bytes(32) + b"\x00\x00\x02\x00\x0a\x01\x00"
    with s.connect() as c:
        c.sendall(b"\x16\x03\x00" + len(hello).to_bytes(2, "big") + hello)
        alert = c.recv(100)
        assert alert[:1] == b"\x15" and alert[-2] == 2, alert


def test_tls_min(secure):
    s = secure("--tls-min", "1.3")
    assert not works(s_client(s, "-tls1_2")) and works(s_client(s, "-tls1_3"))


def test_renegotiation_is_refused(secure):
    """R asks for it; the connection ends with it, and the server serves on."""
    s = secure()
    with subprocess.Popen([OPENSSL, "s_client", "-tls1_2", "-connect", f"127.0.0.1:{s.port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as c:
        said, end = "", threading.Timer(60, c.kill)
        end.start()
        while "Verify return code" not in said and (line := c.stdout.readline()):   # it is connected, and reads its input
            said += line
        c.stdin.write("R\n")
        c.stdin.flush()
        said += c.stdout.read()                             # to its end, which comes of itself
        end.cancel()
        c.stdin.close()
    assert "no renegotiation" in said.lower() and "Secure Renegotiation IS supported" in said, said[-600:]
    assert s.get("/v2/health/live").status == 200


def test_sessions_are_resumed(secure, pki, tmp_path):
    s = secure("--loops", "3")
    for version in ("-tls1_2", "-tls1_3"):
        kept = str(tmp_path / f"session{version}")
        request = "GET /v2/health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        assert "New, TLS" in s_client(s, version, "-sess_out", kept, "-ign_eof", say=request)[1]
        for _ in range(4):   # whichever loop takes it
            assert "Reused, TLS" in s_client(s, version, "-sess_in", kept)[1]


# ---- who trusts whom ---------------------------------------------------------------------------------------------

def test_clients_see_a_wrong_certificate(secure, pki):
    for name, text in (("expired", "expired"), ("elsewhere", "match")):
        s = secure(server=name)
        with pytest.raises(ssl.SSLCertVerificationError) as e:
            s.get("/v2/health/live")
        assert text in str(e.value).lower()
        if name == "expired":
            logged(s, "the certificate has expired")
        s.tls = ssl._create_unverified_context()
        assert s.get("/v2/health/live").status == 200


def test_client_certificates(secure, pki):
    s = secure("--tls-client-ca", pki.path("ca.pem"))
    for version in ("-tls1_2", "-tls1_3"):
        request = "GET /v2/health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        for client, welcome in (("client", True), (None, False), ("client-expired", False), ("stranger", False)):
            shown = ["-cert", pki.path(f"{client}.pem"), "-key", pki.path(f"{client}.key")] if client else []
            answer = s_client(s, version, "-ign_eof", *shown, say=request)
            assert ("HTTP/1.1 200 OK" in answer[1]) == welcome, (version, client, answer)
            assert welcome or re.search("alert (certificate|handshake|unknown|bad)", answer[1]), answer
    s.tls = trusting(pki, "client")
    assert s.get("/v2/health/live").status == 200
    counted(s, 'proa_tls_failures_total{reason="client_certificate"}', 6)


def test_a_wrong_file_is_one_line_and_status_2(pki, tmp_path, zoo):
    junk = tmp_path / "junk.pem"
    junk.write_text("nothing\n")
    open_key = tmp_path / "open.key"
    open_key.write_bytes(open(pki.path("server.key"), "rb").read())
    open_key.chmod(0o666)
    rows = [
        (flags(pki)[:2], "tls-cert: expected tls-key with it, got none"),
        (flags(pki)[2:], "tls-key: expected tls-cert with it, got none"),
        (["--tls-cleartext"], "tls-cleartext: expected tls-cert and tls-key with it, got none"),
        (["--tls-client-ca", "x"], "tls-client-ca: expected tls-cert and tls-key with it, got none"),
        (flags(pki) + ["--tls-min", "1.1"], "--tls-min: expected 1.2 or 1.3: the oldest version of TLS, got '1.1'"),
        (["--tls-cert", "/nowhere.pem"] + flags(pki)[2:], "tls: /nowhere.pem: cannot open: No such file or directory"),
        (["--tls-cert", junk] + flags(pki)[2:], f"tls: {junk}: certificate: expected X.509 as PEM, got none"),
        (flags(pki)[:2] + ["--tls-key", junk], f"tls: {junk}: private key: expected one as PEM, got none"),
        (flags(pki)[:2] + ["--tls-key", pki.path("server2.key")],
         f"tls: {pki.path('server2.key')}: private key: expected that of the certificate in {pki.path('server.pem')}, got 'key values mismatch'"),
        (flags(pki)[:2] + ["--tls-key", open_key], f"tls: {open_key}: mode: expected a key that not everybody may write, got '666'"),
        (flags(pki) + ["--tls-client-ca", junk], f"tls: {junk}: authorities: expected X.509 as PEM, got none"),
    ]
    for args, text in rows:
        done = run_proa("serve", f"tiny={zoo['tiny']}", "--port", "0", *args)
        assert done.returncode == 2 and done.stdout == "", done
        assert done.stderr == f"proa serve: {text}\n", done.stderr


# ---- clients -----------------------------------------------------------------------------------------------------

@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
@pytest.mark.parametrize("version,want", [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl(secure, pki, version, want):
    s = secure()
    done = subprocess.run(["curl", "-sS", version, "--cacert", pki.path("ca.pem"), "-w", "%{http_version}", f"https://localhost:{s.port}/v2/models/tiny",
                           "--resolve", f"localhost:{s.port}:127.0.0.1"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.endswith("}" + want) and '"name":"tiny"' in done.stdout, done


def test_triton_http(secure, pki):
    import tritonclient.http as http
    s = secure()
    client = http.InferenceServerClient(f"localhost:{s.port}", ssl=True, ssl_options={"ca_certs": pki.path("ca.pem")})
    i = http.InferInput("x", [1, 4], "FP32")
    i.set_data_from_numpy(np.array([X], np.float32))
    assert client.is_server_ready()
    for _ in range(3):
        assert np.allclose(client.infer("tiny", [i]).as_numpy("y"), WANT, rtol=1e-6)
    client.close()


TRITON_GRPC = """
import sys, numpy as np, tritonclient.grpc as g
address, ca, key, cert, x, y = sys.argv[1:4] + sys.argv[4:5] + [eval(a) for a in sys.argv[5:]]
client = g.InferenceServerClient(address, ssl=True, root_certificates=ca, private_key=key, certificate_chain=cert)
i = g.InferInput("x", [1, 4], "FP32")
i.set_data_from_numpy(np.array([x], np.float32))
assert client.is_server_ready()
for _ in range(3):
    assert np.allclose(client.infer("tiny", [i]).as_numpy("y"), np.array([y], np.float32), rtol=1e-6)
"""


def test_triton_grpc_with_a_client_certificate(secure, pki):
    s = secure("--tls-client-ca", pki.path("ca.pem"))
    done = subprocess.run([sys.executable, "-c", TRITON_GRPC, f"localhost:{s.port}", pki.path("ca.pem"), pki.path("client.key"), pki.path("client.pem"),
                           repr(list(X)), repr(list(Y))], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]


def read(path):
    with open(path, "rb") as f:
        return f.read()


def test_grpcio_with_client_certificates(secure, pki):
    import grpc
    s = secure("--tls-client-ca", pki.path("ca.pem"))
    live = "/inference.GRPCInferenceService/ServerLive"
    for client, welcome in (("client", True), ("stranger", False), (None, False)):
        pair = [read(pki.path(f"{client}.{x}")) for x in ("key", "pem")] if client else [None, None]
        with grpc.secure_channel(f"localhost:{s.port}", grpc.ssl_channel_credentials(read(pki.path("ca.pem")), *pair)) as channel:
            call = channel.unary_unary(live)
            if welcome:
                assert call(b"", timeout=60) == b"\x08\x01"
            else:
                with pytest.raises(grpc.RpcError) as e:
                    call(b"", timeout=60)
                assert e.value.code() == grpc.StatusCode.UNAVAILABLE


def test_large_tensors_and_many_requests_on_one_connection(secure):
    s = secure()
    rows = [[float(i)] * 4 for i in range(20000)]
    connection = http.client.HTTPSConnection("localhost", s.port, context=s.tls, timeout=20)
    for _ in range(3):
        data = np.array(rows, np.float32).tobytes()
        head = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[20000,4],"parameters":{"binary_data_size":%d}}]}' % len(data)
        connection.request("POST", "/v2/models/tiny/infer", head + data, {"Inference-Header-Content-Length": str(len(head))})
        r = connection.getresponse()
        assert r.status == 200 and len(r.read()) > 100000
    connection.close()


# ---- cleartext and garbage ---------------------------------------------------------------------------------------

def test_cleartext_is_refused_in_one_line(secure):
    s = secure()
    with s.connect() as c:
        c.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = b""
        while part := c.recv(1000):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n") and answer.endswith(b'{"error":"client sent an HTTP request to an HTTPS server"}')
    counted(s, 'proa_tls_failures_total{reason="cleartext"}', 1)


def test_cleartext_may_share_the_port(secure):
    s = secure("--tls-cleartext")
    assert s.get("/v2/health/live").status == 200
    s.tls = None
    assert s.get("/v2/health/live").status == 200
    assert s.infer("tiny", [["x", "FP32", [1, 4], list(X)]]).status == 200


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_unix_sockets_and_further_ports(secure, pki, tmp_path):
    """A proxy beside the server needs no certificate on its Unix socket; every port does."""
    path = tmp_path / "s"
    s = secure("--listen", f"unix:{path}", "--grpc-port", "0")
    lines = [s.first_line] + [s.process.stdout.readline().decode() for _ in range(2)]
    assert sum(line.startswith("listening on https://") for line in lines) == 2 and f"listening on unix:{path}\n" in lines
    for url in ("http://localhost", "https://localhost"):
        done = subprocess.run(["curl", "-sS", "--cacert", pki.path("ca.pem"), "--unix-socket", path, f"{url}/v2/models/tiny"], capture_output=True, text=True)
        assert done.returncode == 0 and '"name":"tiny"' in done.stdout, done


def test_garbage_and_half_handshakes(secure):
    s = secure()
    for junk in (b"\x16\x03\x01\xff\xff" + bytes(70000), b"\x16\x03\x01\x00\x05hello", b"\x16" * 5000, b"\x16\x00", b"\x80\x2e\x01\x03\x01" + bytes(50)):
        with s.connect() as c:
            try:
                c.sendall(junk)
                c.shutdown(socket.SHUT_WR)
                while c.recv(1000):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass
    assert s.get("/v2/health/live").status == 200
    s = secure("--header-wait-ms", "3000")                  # so long that who asks for the figures is never late himself
    slow = s.connect()
    slow.sendall(b"\x16\x03\x01\x02")
    slow.settimeout(9)                                      # without the option it would have 10 s
    try:
        assert slow.recv(10) == b""
    except ConnectionResetError:
        pass
    slow.close()
    assert s.get("/v2/health/live").status == 200
    counted(s, 'proa_tls_failures_total{reason="timeout"}', 1)


# ---- SIGHUP ------------------------------------------------------------------------------------------------------

def put(source, target):
    """Whole, as Kubernetes and certbot replace it."""
    shutil.copy(source, f"{target}.new")
    os.replace(f"{target}.new", target)


def serial_seen(s, pki):
    with socket.create_connection((s.host, s.port), 60) as raw, trusting(pki).wrap_socket(raw, server_hostname="localhost") as c:
        return int(c.getpeercert()["serialNumber"], 16)


def everywhere(s, check):
    """Each loop takes what was read as soon as it can, and a connection comes to whichever: many in a row have it."""
    until(lambda: all(check() for _ in range(12)))


def test_sighup_takes_a_new_certificate_and_drops_nobody(serve, zoo, pki, tmp_path):
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    put(pki.path("server.pem"), cert)
    put(pki.path("server.key"), key)
    s = serve(f"tiny={zoo['tiny']}", "--tls-cert", cert, "--tls-key", key, "--loops", "2")
    s.tls = trusting(pki)
    assert serial_seen(s, pki) == pki.serial("server")
    going, failures, counts = True, [], [0] * 4

    def load(k):
        connection = http.client.HTTPSConnection("localhost", s.port, context=s.tls, timeout=20)
        connection.connect()
        mine = connection.sock
        try:
            while going:
                connection.request("GET", "/v2/models/tiny")
                r = connection.getresponse()
                assert r.status == 200 and r.read() and connection.sock is mine
                counts[k] += 1
        except Exception as e:                              # noqa: BLE001: whatever it is, the test fails with it
            failures.append(e)
    threads = [threading.Thread(target=load, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    try:
        for i in range(6):
            name = ("server2", "server")[i % 2]
            put(pki.path(f"{name}.key"), key)
            put(pki.path(f"{name}.pem"), cert)
            s.process.send_signal(signal.SIGHUP)
            everywhere(s, lambda: serial_seen(s, pki) == pki.serial(name))
        # Wrong files: the old certificate stays, and one line says why.
        put(pki.path("server2.key"), key)
        s.process.send_signal(signal.SIGHUP)
        logged(s, "SIGHUP: the old certificate stays: tls: ")
        assert "key values mismatch" in s.log() and serial_seen(s, pki) == pki.serial("server")
        key.unlink()
        s.process.send_signal(signal.SIGHUP)
        logged(s, "No such file or directory")
        assert serial_seen(s, pki) == pki.serial("server")
        before = list(counts)
        until(lambda: all(b < c for b, c in zip(before, counts)), what="that the connections of before are served on")
    finally:
        going = False
        for t in threads:
            t.join()
    assert not failures and all(counts), failures
    assert s.log().count("SIGHUP: the old certificate stays") == 2
    assert "PRIVATE" not in s.log()


def test_what_is_odd_about_files_is_warned_of(serve, zoo, pki, tmp_path):
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    put(pki.path("server.pem"), cert)
    put(pki.path("server.key"), key)
    s = serve(f"tiny={zoo['tiny']}", "--tls-cert", cert, "--tls-key", key)
    assert " warn " not in s.log()
    put(pki.path("expired.key"), key)
    put(pki.path("expired.pem"), cert)
    key.chmod(0o644)
    s.process.send_signal(signal.SIGHUP)
    logged(s, f"warn  SIGHUP: read {cert} again\n")
    assert f"warn  tls: {cert}: the certificate has expired\n" in s.log() and "valid for" not in s.log()
    assert f"warn  tls: {key}: everybody may read the private key: expected mode 600 or 640, got 644\n" in s.log()
    put(pki.path("server.key"), key)
    put(pki.path("server.pem"), cert)
    s.process.send_signal(signal.SIGHUP)
    logged(s, f"info  SIGHUP: read {cert} again, valid for ")
    assert s.log().count("everybody may read") == 1


def test_sighup_takes_another_client_authority(serve, zoo, pki, tmp_path):
    ca = tmp_path / "ca.pem"
    put(pki.path("ca.pem"), ca)
    s = serve(f"tiny={zoo['tiny']}", *flags(pki), "--tls-client-ca", ca)
    s.tls = trusting(pki, "client")
    kept = http.client.HTTPSConnection("localhost", s.port, context=s.tls, timeout=20)
    kept.request("GET", "/v2/health/live")
    assert kept.getresponse().read() is not None
    put(pki.path("other-ca.pem"), ca)
    s.process.send_signal(signal.SIGHUP)
    logged(s, "SIGHUP: read")

    def refused():
        try:
            s.get("/v2/health/live")
        except (ssl.SSLError, ConnectionError):
            return True
    until(refused)                                          # each loop takes it as soon as it can
    s.tls = trusting(pki, "stranger")
    everywhere(s, lambda: not refused())
    assert s.get("/v2/health/live").status == 200
    kept.request("GET", "/v2/health/live")
    assert kept.getresponse().status == 200


def test_sighup_without_tls_changes_nothing(serve, zoo):
    s = serve(f"tiny={zoo['tiny']}")
    s.process.send_signal(signal.SIGHUP)
    logged(s, "SIGHUP: nothing to read again")
    assert s.get("/v2/health/live").status == 200
