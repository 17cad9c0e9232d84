"""Messages between the ranks of a job in a store that others on the network can write to."""

import hashlib
import hmac
import json
from typing import Any

from torch.distributed import Store


class SignedStore:
    """JSON values in a store, signed with the job's `secret`: what anybody else has written there is as if it were not.

    A signature covers the key, too, so that no message can be copied to another key.
    """

    def __init__(self, store: Store, secret: str):
        self.store, self._secret = store, secret.encode()

    def set(self, key: str, value: Any) -> None:
        """Write a value that JSON can hold."""
        body = json.dumps(value)
        self.store.set(key, json.dumps({"body": body, "signature": self._signature(key, body)}))

    def get(self, key: str) -> Any:
        """The job's value of a key; None if there is none. Does not wait for one."""
        if not self.store.check([key]):
            return None
        try:
            message = json.loads(self.store.get(key))
            body, signature = message["body"], message["signature"]
            fits = hmac.compare_digest(signature, self._signature(key, body))
            return json.loads(body) if fits else None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def _signature(self, key: str, body: str) -> str:
        return hmac.new(self._secret, f"{key}\n{body}".encode(), hashlib.sha256).hexdigest()
