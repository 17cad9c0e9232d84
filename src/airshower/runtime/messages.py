"""Messages between the ranks of a job in a store that others on the network can write to."""

import hashlib
import hmac
import json
from typing import Any

from torch.distributed import Store


class SignedStore:
    """JSON values in a store, signed with the job's `secret`; values without a valid signature are ignored.

    The signature includes the key, so that no message can be copied to another key.
    """

    def __init__(self, store: Store, secret: str):
        self.store = store
        self._secret = secret.encode()

    def set(self, key: str, value: Any) -> None:
        """Write a JSON-serialisable value."""
        body = json.dumps(value)
        self.store.set(key, json.dumps({"body": body, "signature": self._signature(key, body)}))

    def get(self, key: str) -> Any:
        """The job's value of a key; None if there is none. Does not wait."""
        if not self.store.check([key]):
            return None
        try:
            message = json.loads(self.store.get(key))
            body = message["body"]
            signature = message["signature"]
            fits = hmac.compare_digest(signature, self._signature(key, body))
            return json.loads(body) if fits else None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def _signature(self, key: str, body: str) -> str:
        return hmac.new(self._secret, f"{key}\n{body}".encode(), hashlib.sha256).hexdigest()
