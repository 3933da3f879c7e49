"""PyKMIP with the files that the web admin gave out for a client: makes a key and reads it back.

usage: pykmip_bundle.py --port PORT --dir DIR --client NAME

DIR holds NAME.pem, NAME.key and ca.pem. Prints the unique identifier of the key; its name and an
attribute of it are what a hostile client would choose.
"""

import argparse
import os

from kmip.core import enums
from kmip.pie.client import ProxyKmipClient

MASK = [enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT]
NAME = '<img src=x onerror="window.probe=1">'


def main():
    parser = argparse.ArgumentParser()
    for name in ("port", "dir", "client"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    client = ProxyKmipClient(
        hostname="127.0.0.1",
        port=int(given.port),
        cert=os.path.join(given.dir, f"{given.client}.pem"),
        key=os.path.join(given.dir, f"{given.client}.key"),
        ca=os.path.join(given.dir, "ca.pem"),
    )
    with client:
        uid = client.create(
            enums.CryptographicAlgorithm.AES, 256, name=NAME, cryptographic_usage_mask=MASK
        )
        assert len(client.get(uid).value) == 32
    print(uid)


if __name__ == "__main__":
    main()
