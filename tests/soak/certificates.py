"""certificates.py - a server's certificate that can be renewed while it serves, and clients that trust it.

Made by the `openssl` command in a folder of its own. Python's standard library only.
"""
import os, pathlib, socket, ssl, subprocess, tempfile, time

RENEWED_S_MAX = 20


class Certificates:
    """`cert` and `key` are what the server reads; behind renew() they are others, by the same authority."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="soak-")
        at = pathlib.Path(self.folder.name)
        self.ca, self.cert, self.key, self.serial = at / "ca.pem", at / "cert.pem", at / "key.pem", 1000
        self.make("/CN=soak's authority", self.ca, at / "ca.key")
        self.renew()

    def make(self, subject, cert, key, *more):
        args = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3", "-subj", subject,
                "-out", cert, "-keyout", key, *more]
        run = subprocess.run(args, capture_output=True, text=True)
        if run.returncode:
            raise ValueError(f"openssl: {run.stderr}")

    def renew(self):
        self.serial += 1
        new = [self.cert.with_suffix(".new"), self.key.with_suffix(".new")]
        self.make("/CN=soak", *new, "-CA", self.ca, "-CAkey", self.ca.with_suffix(".key"), "-set_serial", str(self.serial),
                  "-addext", "subjectAltName=IP:127.0.0.1")
        os.replace(new[0], self.cert)
        os.replace(new[1], self.key)

    def flags(self):
        return ["--tls-cert", self.cert, "--tls-key", self.key, "--tls-cleartext"]

    def await_renewed(self, address):
        """Until a new connection is shown the newest certificate."""
        until, tls, shown = time.monotonic() + RENEWED_S_MAX, Trust(self.ca), None
        while time.monotonic() < until:
            with socket.create_connection(address, RENEWED_S_MAX) as s, tls.wrap(s, "http/1.1") as wrapped:
                shown = int(wrapped.getpeercert()["serialNumber"], 16)
            if shown == self.serial:
                return
            time.sleep(0.05)
        raise ValueError(f"SIGHUP: expected certificate {self.serial} within {RENEWED_S_MAX} s, got {shown}")


class Trust:
    """A client's side: what it trusts, and the session that it resumes now and then."""

    def __init__(self, ca, newest=ssl.TLSVersion.TLSv1_3):
        self.sessions, self.contexts = {}, {}
        for protocol in ("h2", "http/1.1"):
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            c.load_verify_locations(ca)
            c.maximum_version = newest
            c.set_alpn_protocols([protocol])
            self.contexts[protocol] = c

    def wrap(self, s, protocol, resume=False):
        session = self.sessions.get(protocol) if resume else None
        wrapped = self.contexts[protocol].wrap_socket(s, server_hostname="127.0.0.1", session=session)
        if wrapped.selected_alpn_protocol() != protocol:
            raise ValueError(f"ALPN: expected {protocol}, got {wrapped.selected_alpn_protocol()}")
        return wrapped

    def keep(self, wrapped, protocol):
        """Its session, for a later connection."""
        if wrapped.session:
            self.sessions[protocol] = wrapped.session

    def hello(self):
        """The first bytes of a handshake."""
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self.contexts["h2"].wrap_bio(into, out, server_hostname="127.0.0.1").do_handshake()
        except ssl.SSLWantReadError:
            pass
        return out.read()
