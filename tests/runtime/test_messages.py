"""Messages that only ranks of the job can write."""

from datetime import timedelta

import pytest
from torch.distributed import HashStore, TCPStore

from airshower.runtime.messages import SignedStore


@pytest.fixture
def store() -> HashStore:
    return HashStore()


@pytest.mark.parametrize("value", [5, "text é", None, [1, True], {"a": "b"}, "x" * 100_000])
def test_a_value_of_the_job_is_given_back(store: HashStore, value: object) -> None:
    assert SignedStore(store, "secret").get("key") is None
    SignedStore(store, "secret").set("key", value)
    assert SignedStore(store, "secret").get("key") == value


def test_another_secret_another_key_and_another_body_are_nothing(store: HashStore) -> None:
    job = SignedStore(store, "secret")
    SignedStore(store, "other").set("key", 5)
    assert job.get("key") is None
    job.set("key", 5)
    message = store.get("key")
    store.set("copied", message)
    assert job.get("copied") is None
    store.set("key", message.replace(b'"5"', b'"6"'))
    assert job.get("key") is None
    store.set("key", message)
    assert job.get("key") == 5


@pytest.mark.parametrize("text", ["", "5", "null", "[]", "{}", '{"body": 5, "signature": "x"}', "[" * 100_000, "\x80"])
def test_garbage_is_nothing(store: HashStore, text: str) -> None:
    store.set("key", text)
    assert SignedStore(store, "secret").get("key") is None


def test_bytes_that_are_no_text_are_nothing() -> None:
    store = TCPStore("127.0.0.1", 0, 1, True, timedelta(seconds=5), wait_for_workers=False)
    store.set("key", b"\x80\x04\xff")
    assert SignedStore(store, "secret").get("key") is None
