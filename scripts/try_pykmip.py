#!/usr/bin/env python3
"""Create, read, activate, revoke and destroy one key with PyKMIP, as the user `demo`.

Usage: try_pykmip.py DIR [PORT]     the files of `strongroom dev` in DIR
       try_pykmip.py FILE [PORT]    what `client add` showed on the console, copied into FILE
"""

import logging
import re
import sys
import tempfile
from pathlib import Path

from kmip import enums
from kmip.pie.client import ProxyKmipClient
from kmip.pie.exceptions import KmipOperationFailure


def unpack(copied: Path, folder: Path) -> None:
    """Write certificate, key and CA, shown one after the other, as the three files of a client."""
    blocks = re.findall(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----", copied.read_text(), re.S)
    if len(blocks) != 3:
        sys.exit(f"{copied} has {len(blocks)} PEM blocks; copy all three that `client add` showed")
    (folder / "clients").mkdir()
    for name, block in zip(("clients/demo.pem", "clients/demo.key", "ca.pem"), blocks):
        lines = (line.strip() for line in block.splitlines())
        (folder / name).write_text("\n".join(lines) + "\n")


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) == 3 else 5696
    if not folder.exists():
        sys.exit(f"there is no {folder}")
    if folder.is_dir():
        tour(folder, port)
        return
    with tempfile.TemporaryDirectory() as temporary:
        unpack(folder, Path(temporary))
        tour(Path(temporary), port)


def tour(folder: Path, port: int) -> None:
    # PyKMIP logs every refusal with a stack trace; here a refusal is part of the tour.
    logging.disable(logging.CRITICAL)
    client = ProxyKmipClient(
        hostname="127.0.0.1",
        port=port,
        cert=str(folder / "clients/demo.pem"),
        key=str(folder / "clients/demo.key"),
        ca=str(folder / "ca.pem"),
        ssl_version="PROTOCOL_TLSv1_2",
        kmip_version=enums.KMIPVersion.KMIP_1_4,
    )
    with client:
        uid = client.create(enums.CryptographicAlgorithm.AES, 256)
        print(f"created     {uid}")
        key = client.get(uid)
        print(f"read back   {len(key.value) * 8} bits of {key.cryptographic_algorithm.name}")
        client.activate(uid)
        print("activated")
        try:
            client.destroy(uid)
            sys.exit("an active key must not be destroyed, and it was")
        except KmipOperationFailure as refusal:
            print(f"not destroyed while active: {refusal.message}")
        client.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, uid)
        print("revoked")
        client.destroy(uid)
        print("destroyed")
        try:
            client.get(uid)
            sys.exit("a destroyed key must not be readable, and it was")
        except KmipOperationFailure as refusal:
            print(f"the material was erased: {refusal.message}")


if __name__ == "__main__":
    main()
