"""No secret in any text: canaries in every place where one can stand."""

from __future__ import annotations

import pytest

from tgmtool.endpoints.secrets import redact, redact_url

CANARY = "CANARY"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://CANARY:CANARY@host/a.tgm", "https://***@host/a.tgm"),
        ("https://user:CAN@ARY@host/a", "https://***@host/a"),
        ("https://h:8443/a?X-Amz-Signature=CANARY&b=CANARY", "https://h:8443/a?X-Amz-Signature=***&b=***"),
        ("https://h/a?CANARY", "https://h/a?***"),
        ("https://h/a?x=1#CANARY", "https://h/a?x=***#***"),
        ("s3://bucket/run.tgm#m=3&o=1", "s3://bucket/run.tgm#m=3&o=1"),
        ("s3://bucket/run.tgm#m=CANARY", "s3://bucket/run.tgm#***"),
        ("filecache::s3://CANARY@bucket/key", "filecache::s3://***@bucket/key"),
        ("GET 'https://h/a?sig=CANARY' failed", "GET 'https://h/a?sig=***' failed"),
        ("Authorization: Basic CANARY", "Authorization: ***"),
        ("Authorization: Bearer CANARY, x", "Authorization: ***, x"),
        ("x-amz-security-token=CANARY&x=1", "x-amz-security-token=***&x=1"),
        ("aws_secret_access_key = CANARY", "aws_secret_access_key = ***"),
        ("password: CANARY", "password: ***"),
        ("a.tgm: byte 12: damaged", "a.tgm: byte 12: damaged"),
        ("file:///tmp/a b.tgm", "file:///tmp/a b.tgm"),
    ],
)
def test_secrets_are_hidden_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert CANARY not in redact(text)
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:CAN ARY@host/a b", "https://***@host/a%20b"),
        ("https://h/a?sig=CANARY CANARY", "https://h/a?sig=***"),
        ("https://h/a?x='CANARY'&y=<CANARY>", "https://h/a?x=***&y=***"),
        ("https://user:CANARY/CANARY@host/a", "https://***"),
        ("https://user:CANARY?CANARY@host/a", "https://***?***"),
        ("https://user:CANARY#CANARY@host/a", "https://***#***"),
        ("https://h:8443/a@2.tgm", "https://h:8443/a@2.tgm"),
        ("https://[::1]:8443/a@2.tgm", "https://[::1]:8443/a@2.tgm"),
    ],
)
def test_a_url_is_hidden_to_its_end_whatever_it_holds(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    assert CANARY not in redact_url(url)
    assert redact(f"{redact_url(url)}: 404") in {f"{shown}: 404", f"{shown} 404"}
