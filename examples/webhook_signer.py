"""Sign webhooks and verify them (HMAC-SHA256), with a key that is ciphertext between deliveries.

    WEBHOOK_KEY=... python webhook_signer.py sign < body.json        # prints the header to send
    WEBHOOK_KEY=... python webhook_signer.py serve --port 8080       # 204 for a good signature, 401 for any other
    python webhook_signer.py --key-file /run/secrets/webhook serve   # a file that not every user may read

The header is ``X-Signature-256: sha256=<64 hex digits>``, as GitHub and others have it. The key goes from its source
into locked memory and from there into the hash: ``hmac.digest`` reads the View where it lies, and OpenSSL clears what
it made of it. tests/examples searches the process from outside, after many deliveries: no copy, whole or half.

(``hmac.new`` refuses a View, and an ``hmac`` object keeps what it makes of the key for as long as it lives.)
"""

from __future__ import annotations

import argparse
import hmac
import http.server
import re
import sys

from strongroom import Secret, StrongroomError

HEADER = "X-Signature-256"
MOST_BYTES = 1024 * 1024  # a delivery; more is refused before it is read


def signature_of(key: Secret, body: bytes) -> str:
    """Return the header's value for a body."""
    with key.open() as view:
        return "sha256=" + hmac.digest(view, body, "sha256").hex()


def is_signed(key: Secret, body: bytes, given: str) -> bool:
    """Tell whether a header's value is the body's, in a time that does not say how much of it was right."""
    if not re.fullmatch("sha256=[0-9a-f]{64}", given):
        return False
    return hmac.compare_digest(signature_of(key, body), given)


def serve(key: Secret, port: int) -> None:
    """Answer deliveries until Ctrl-C."""

    class Receiver(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # http.server's own name
            size = self.headers.get("Content-Length", "")
            if not size.isdecimal() or int(size) > MOST_BYTES:
                self.close_connection = True  # its body is still to come
                self._answer(413 if size.isdecimal() else 411)
            else:
                body = self.rfile.read(int(size))
                self._answer(204 if is_signed(key, body, self.headers.get(HEADER, "")) else 401)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", "0")
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver) as server:
        print(f"listening on {server.server_port}", flush=True)
        server.serve_forever()


def main() -> int:
    """Sign what is on standard input, or serve."""
    parser = argparse.ArgumentParser(description="sign and verify webhooks with the key in $WEBHOOK_KEY or in a file")
    parser.add_argument(
        "--key-file", help="where the key is, instead of the environment; a newline at its end is dropped"
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("sign", help="print the header for the body on standard input")
    serving = verbs.add_parser("serve", help="answer deliveries on 127.0.0.1")
    serving.add_argument("--port", type=int, default=0, help="0, the default: any that is free")
    options = parser.parse_args()
    try:
        if options.key_file:
            key = Secret.from_file(options.key_file, strip_newline=True)
        else:
            key = Secret.from_env("WEBHOOK_KEY")
        if options.verb == "sign":
            print(f"{HEADER}: {signature_of(key, sys.stdin.buffer.read())}")
        else:
            serve(key, options.port)
    except (KeyError, ValueError) as error:
        print(f"webhook_signer: {error.args[0]}", file=sys.stderr)  # a KeyError's str has quotes
        return 1
    except (OSError, StrongroomError) as error:
        print(f"webhook_signer: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
