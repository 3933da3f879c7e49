"""libmongocrypt (MongoDB client-side field level encryption) against a running node.

usage: mongocrypt_flow.py --port PORT --dir DIR

Makes a data key under a KMIP master key that does not exist yet: libmongocrypt then speaks KMIP
1.0, Register Secret Data, Activate, Get, over a NEW TLS connection per message. Encrypts a value,
decrypts it with a second libmongocrypt that has to Get the master key again. No mongod is needed:
the key vault is a dictionary.
"""

import argparse
import os
import socket
import ssl
import struct
import sys

import bson
from bson.binary import STANDARD, Binary
from bson.codec_options import CodecOptions
from pymongocrypt.mongocrypt import MongoCryptOptions
from pymongocrypt.synchronous.explicit_encrypter import ExplicitEncrypter
from pymongocrypt.synchronous.state_machine import MongoCryptCallback

OPTIONS = CodecOptions(uuid_representation=STANDARD)
OPERATIONS = {0x03: "Register", 0x0A: "Get", 0x12: "Activate"}


def operation_of(message):
    """The operation of a KMIP request: the first enumeration with tag 42005C."""
    at = message.find(bytes.fromhex("42005c05"))
    return OPERATIONS.get(struct.unpack(">I", message[at + 8:at + 12])[0], "?")


class Callback(MongoCryptCallback):
    """What a driver does for libmongocrypt: connections, and a key vault in memory."""

    def __init__(self, arguments, vault):
        self.vault = vault
        self.operations = []
        self.tls = ssl.create_default_context(cafile=os.path.join(arguments.dir, "ca.pem"))
        client = os.path.join(arguments.dir, "clients", "demo")
        self.tls.load_cert_chain(client + ".pem", client + ".key")

    def kms_request(self, kms_context):
        host, port = kms_context.endpoint.rsplit(":", 1)
        message = kms_context.message
        self.operations.append(operation_of(message))
        with socket.create_connection((host, int(port)), timeout=20) as plain:
            with self.tls.wrap_socket(plain, server_hostname=host) as connection:
                connection.sendall(message)
                while kms_context.bytes_needed > 0:
                    received = connection.recv(kms_context.bytes_needed)
                    if not received:
                        raise RuntimeError(f"closed in the answer to {self.operations[-1]}")
                    kms_context.feed(received)

    def insert_data_key(self, data_key):
        document = bson.decode(data_key, OPTIONS)
        self.vault[document["_id"]] = data_key
        return document["_id"]

    def fetch_keys(self, filter):
        return list(self.vault.values())

    def bson_encode(self, doc):
        return bson.encode(doc, codec_options=OPTIONS)

    def collection_info(self, database, filter):
        raise NotImplementedError("explicit encryption asks for no collection")

    def mark_command(self, database, cmd):
        raise NotImplementedError("explicit encryption marks no command")

    def close(self):
        pass


def encrypter(arguments, vault):
    callback = Callback(arguments, vault)
    providers = {"kmip": {"endpoint": f"127.0.0.1:{arguments.port}"}}
    return ExplicitEncrypter(callback, MongoCryptOptions(providers)), callback


def must(condition, what, seen):
    print(f"{'ok' if condition else 'FAILED'}  {what}: {seen}", flush=True)
    if not condition:
        sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", required=True)
    arguments = parser.parse_args()
    endpoint = {"endpoint": f"127.0.0.1:{arguments.port}"}
    vault = {}
    first, callback = encrypter(arguments, vault)
    identifier = first.create_data_key("kmip", master_key=endpoint)
    must(callback.operations == ["Register", "Activate", "Get"],
         "data key, each message on a connection of its own", callback.operations)
    master = bson.decode(vault[identifier], OPTIONS)["masterKey"]
    must(master["provider"] == "kmip" and master["keyId"], "the vault names the master key", master)
    value = bson.encode({"v": "457-55-5462"})
    algorithm = "AEAD_AES_256_CBC_HMAC_SHA_512-Deterministic"
    encrypted = first.encrypt(value, algorithm, key_id=Binary(identifier.bytes, 4))
    must(b"457-55-5462" not in encrypted, "encrypt a value", f"{len(encrypted)} bytes")
    first.close()
    second, callback = encrypter(arguments, vault)
    plain = bson.decode(second.decrypt(encrypted))
    must(plain == {"v": "457-55-5462"}, "decrypt by another process", plain)
    must(callback.operations == ["Get"], "which had to get the master key", callback.operations)
    second.close()
    # A second data key under the same master key: Get only.
    third, callback = encrypter(arguments, vault)
    third.create_data_key("kmip", master_key={**endpoint, "keyId": master["keyId"]})
    must(callback.operations == ["Get"], "another data key under that master key", "Get only")
    third.close()


if __name__ == "__main__":
    main()
