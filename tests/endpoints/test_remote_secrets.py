"""No secret in any text: canaries in every place where one can stand."""

from __future__ import annotations

import pytest

from tgmtool.endpoints.secrets import redact

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
