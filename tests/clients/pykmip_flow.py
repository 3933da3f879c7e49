"""PyKMIP against a running node: the life of a key, and what a second user sees of it (nothing).

usage: pykmip_flow.py --port PORT --dir DIR [--pykmip-server]

DIR holds ca.pem and clients/{demo,demo2}.{pem,key}, as `strongroom dev` leaves them. Prints one line
per step; the first step that does not show what it must ends the run with exit code 1.
With --pykmip-server it makes the two allowances that PyKMIP's own server needs: that one can encrypt,
and tells strangers that an object exists (Permission Denied in place of Item Not Found).
"""

import argparse
import os
import sys
import time

from kmip.core import enums
from kmip.core.factories.attributes import AttributeFactory
from kmip.pie.client import ProxyKmipClient
from kmip.pie.exceptions import KmipOperationFailure
from kmip.pie.objects import SymmetricKey

ATTRIBUTES = AttributeFactory()
MASK = [enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT]
AES = enums.CryptographicAlgorithm.AES
KNOWN = bytes(range(32))


class Steps:
    """Numbers the steps and prints them."""

    def __init__(self):
        self.number = 0

    def show(self, what, seen):
        self.number += 1
        print(f"ok {self.number:2}  {what}: {seen}", flush=True)

    def must(self, condition, what, seen):
        if not condition:
            print(f"FAILED after step {self.number}: {what}: {seen}", flush=True)
            sys.exit(1)
        self.show(what, seen)

    def refused(self, what, reasons, call):
        """The call must be refused for one of these reasons, with a sentence for people."""
        try:
            answer = call()
        except KmipOperationFailure as refusal:
            told = f"{refusal.reason.name} - {refusal.message}"
            good = refusal.reason in reasons and len(str(refusal.message or "")) > 10
            self.must(good, f"{what} is refused", told)
        else:
            self.must(False, f"{what} must be refused, but was answered", answer)


def connect(arguments, user, version=None):
    """A client of that user; PyKMIP's own default version is 1.2."""
    path = os.path.join(arguments.dir, "clients", user)
    return ProxyKmipClient(
        hostname="127.0.0.1",
        port=arguments.port,
        cert=path + ".pem",
        key=path + ".key",
        ca=os.path.join(arguments.dir, "ca.pem"),
        kmip_version=version,
    )


def by_name(name):
    return [ATTRIBUTES.create_attribute(enums.AttributeType.NAME, name)]


def life_of_a_key(steps, client, arguments):
    """Create to Destroy as `demo`; gives the identifiers of a created and a registered key."""
    reason = enums.ResultReason
    name = f"pykmip-{os.getpid()}-{time.time_ns()}"
    uid = client.create(AES, 256, name=name, cryptographic_usage_mask=MASK)
    steps.must(isinstance(uid, str) and uid, "create AES-256", uid)
    key = client.get(uid)
    steps.must(len(key.value) == 32 and any(key.value), "get", f"{len(key.value)} bytes")
    steps.must(client.get(uid).value == key.value, "get again", "the same bytes")
    steps.must(client.locate(attributes=by_name(name)) == [uid], "locate by name", uid)
    steps.must(client.locate(attributes=by_name(name + "x")) == [], "locate another name", "none")
    found = {str(a.attribute_name): a.attribute_value for a in client.get_attributes(uid)[1]}
    length = found["Cryptographic Length"].value
    steps.must(length == 256, "get attributes", ", ".join(sorted(found)))
    state = found["State"].value
    steps.must(state == enums.State.PRE_ACTIVE, "state before activation", state.name)
    names = client.get_attribute_list(uid)
    steps.must("Name" in names and "State" in names, "get attribute list", f"{len(names)} names")
    client.activate(uid)
    state = client.get_attributes(uid, ["State"])[1][0].attribute_value.value
    steps.must(state == enums.State.ACTIVE, "activate", state.name)
    parameters = {
        "cryptographic_algorithm": AES,
        "block_cipher_mode": enums.BlockCipherMode.CBC,
        "padding_method": enums.PaddingMethod.PKCS5,
    }
    encrypt = lambda: client.encrypt(b"a secret", uid, parameters, b"\1" * 16)
    if arguments.pykmip_server:
        steps.show("encrypt", len(encrypt()[0]))
    else:
        steps.refused("encrypt", {reason.OPERATION_NOT_SUPPORTED}, encrypt)
    wrong_state = {reason.PERMISSION_DENIED, reason.ILLEGAL_OPERATION}
    steps.refused("destroy while active", wrong_state, lambda: client.destroy(uid))
    steps.must(client.get(uid).value == key.value, "get after the refusal", "the same bytes")
    known = SymmetricKey(AES, 256, KNOWN, MASK, name=name + "-registered")
    registered = client.register(known)
    steps.must(client.get(registered).value == KNOWN, "register and get", "the bytes brought")
    return name, uid, registered


def second_user(steps, client, name, uid, missing):
    """As `demo2`: a key of `demo` does not exist, by whatever door one looks for it."""
    steps.must(client.locate(attributes=by_name(name)) == [], "demo2: locate by name", "none")
    steps.must(uid not in client.locate(), "demo2: locate everything", "not among it")
    steps.refused("demo2: get", missing, lambda: client.get(uid))
    steps.refused("demo2: get attributes", missing, lambda: client.get_attributes(uid))
    steps.refused("demo2: activate", missing, lambda: client.activate(uid))
    cessation = enums.RevocationReasonCode.CESSATION_OF_OPERATION
    steps.refused("demo2: revoke", missing, lambda: client.revoke(cessation, uid))
    steps.refused("demo2: destroy", missing, lambda: client.destroy(uid))
    own = client.create(AES, 128, name=name, cryptographic_usage_mask=MASK)
    steps.must(client.locate(attributes=by_name(name)) == [own], "demo2: a name of its own", own)
    client.destroy(own)


def end_of_a_key(steps, client, name, uid, registered):
    """Revoke and Destroy as `demo`, and what is left afterwards."""
    missing = {enums.ResultReason.ITEM_NOT_FOUND}
    client.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, uid, "no longer needed")
    state = client.get_attributes(uid, ["State"])[1][0].attribute_value.value
    steps.must(state == enums.State.DEACTIVATED, "revoke", state.name)
    client.destroy(uid)
    steps.show("destroy", uid)
    steps.refused("get after destroy", missing, lambda: client.get(uid))
    steps.must(client.get(registered).value == KNOWN, "the other key", "still served")
    client.destroy(registered)
    steps.refused("get of the other after destroy", missing, lambda: client.get(registered))


def every_version(steps, arguments):
    """The same short life in each version that PyKMIP speaks."""
    for version in enums.KMIPVersion:
        with connect(arguments, "demo", version) as client:
            name = f"version-{version.name}-{time.time_ns()}"
            uid = client.create(AES, 256, name=name, cryptographic_usage_mask=MASK)
            length = len(client.get(uid).value)
            found = client.locate(attributes=by_name(name))
            client.destroy(uid)
            good = length == 32 and found == [uid]
            steps.must(good, f"create, get, locate, destroy in {version.name}", uid)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--pykmip-server", action="store_true")
    arguments = parser.parse_args()
    steps = Steps()
    with connect(arguments, "demo") as client:
        name, uid, registered = life_of_a_key(steps, client, arguments)
        missing = {enums.ResultReason.ITEM_NOT_FOUND}
        if arguments.pykmip_server:
            missing.add(enums.ResultReason.PERMISSION_DENIED)
        with connect(arguments, "demo2") as other:
            second_user(steps, other, name, uid, missing)
        end_of_a_key(steps, client, name, uid, registered)
    every_version(steps, arguments)
    print(f"all {steps.number} steps as they must be")


if __name__ == "__main__":
    main()
