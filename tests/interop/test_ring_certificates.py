"""A ring under TLS by other people's programs: openssl makes authorities and keys, curl asks, openssl judges."""

import subprocess
from pathlib import Path

from tests.interop.programs import need
from tests.processes import running, twistd

RING, SECOND, ISSUER, HEALTH = 18170, 18171, 18172, 18173
TOKENS = ("first-node-with-a-token", "second-node-with-a-token", "third-node-with-a-token")


def ran(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def test_openssl_and_curl_and_two_nodes(tmp_path: Path) -> None:
    openssl, curl = need("openssl"), need("curl")
    for name, subject in (("web", "/CN=Web authority"), ("nodes", "/CN=Authority of nodes")):
        ran(
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
            "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-addext", "keyUsage=critical,keyCertSign",
            folder=tmp_path,
        )  # fmt: skip
    ran(
        openssl, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "host.key", "-out", "host.csr",
        folder=tmp_path,
    )  # fmt: skip
    (tmp_path / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    ran(
        openssl, "x509", "-req", "-in", "host.csr", "-CA", "web.pem", "-CAkey", "web.key", "-days", "9", "-extfile", "names",
        "-out", "host.pem", folder=tmp_path,
    )  # fmt: skip
    for number, token in enumerate(TOKENS):
        (tmp_path / f"token{number}").write_text(token + "\n")
    (tmp_path / "tokens").write_text("\n".join(TOKENS) + "\n")

    def node(number: int, port: int, *more: str) -> tuple[str, ...]:
        return twistd(
            "netstack-ring", "--name", f"node{number}", "--listen", f"tls:{port}", "--issuer", f"https://127.0.0.1:{ISSUER}",
            "--token", str(tmp_path / f"token{number}"), "--trust", str(tmp_path / "web.pem"),
            "--ca", str(tmp_path / "nodes.pem"), "--state", str(tmp_path / str(number)), *more,
        )  # fmt: skip

    issuer = (
        "--issue", f"tls:{ISSUER}", "--certificate", str(tmp_path / "host.pem"), "--key", str(tmp_path / "host.key"),
        "--issue-ca", str(tmp_path / "nodes.pem"), "--issue-key", str(tmp_path / "nodes.key"),
        "--issue-tokens", str(tmp_path / "tokens"),
    )  # fmt: skip
    with (
        running(*node(0, RING, *issuer), ready="node0 has a certificate until"),
        running(
            *node(1, SECOND, "--join", f"127.0.0.1:{RING}", "--health", str(HEALTH)), ready="node1 has a place on the circle"
        ),
    ):
        ran(
            openssl, "req", "-new", "-newkey", "ed25519", "-nodes", "-subj", "/CN=third", "-keyout", "third.key",
            "-out", "third.csr", folder=tmp_path,
        )  # fmt: skip
        asked = (
            curl, "-sS", "--cacert", "web.pem", "-H", f"Authorization: Bearer {TOKENS[2]}",
            "-H", "Content-Type: application/pkcs10", "--data-binary", "@third.csr", "-o", "third.pem", "-w", "%{http_code}",
            f"https://127.0.0.1:{ISSUER}/certificates",
        )  # fmt: skip
        assert ran(*asked, folder=tmp_path) == "201"
        assert "third.pem: OK" in ran(openssl, "verify", "-CAfile", "nodes.pem", "third.pem", folder=tmp_path)
        shown = ran(
            openssl, "x509", "-in", "third.pem", "-noout", "-ext", "subjectAltName,extendedKeyUsage", folder=tmp_path
        )
        assert "URI:ring://ring/" in shown
        assert "TLS Web Client Authentication" in shown
        said = subprocess.run(
            (openssl, "s_client", "-connect", f"127.0.0.1:{RING}", "-CAfile", "nodes.pem", "-cert", "third.pem", "-key",
             "third.key", "-verify_return_error", "-quiet"),
            cwd=tmp_path, input=b"", capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert b"ring" in said.stdout, "with a certificate it hears Hello"
        refused = subprocess.run(
            (openssl, "s_client", "-connect", f"127.0.0.1:{RING}", "-CAfile", "nodes.pem", "-quiet"),
            cwd=tmp_path, input=b"", capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert refused.stdout == b""
        assert b"certificate required" in refused.stderr or b"handshake failure" in refused.stderr
        metrics = ran(curl, "-sS", f"http://127.0.0.1:{HEALTH}/metrics", folder=tmp_path)
        assert "netstack_ring_successors 1.0" in metrics
        assert 'netstack_ring_renewals_total{result="done"} 1.0' in metrics
