"""Names of folders."""

from dataclasses import dataclass

import pytest

from airshower.config.fields import check, folder_name
from airshower.errors import UserError


@dataclass
class Config:
    id: str = folder_name("run")


@pytest.mark.parametrize("name", ["run", "first", "scan/2", "a.b", "..a", "rate=1e-3", "é", "a b"])
def test_a_folder_inside_is_taken(name: str) -> None:
    check(Config(name), "run")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "../../x", "/tmp/x", "a/../../x", "a/..", "a//b", "a/", "./a", " ", "a\n", "a\0b"]
)
def test_what_leads_out_or_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^run.id='.*': must be the name of a folder"):
        check(Config(name), "run")
