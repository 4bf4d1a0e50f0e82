"""An S3 server that speaks HTTP, in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import s3fs  # noqa: F401 - to import it takes reading files, and is not for an event loop
from moto.server import ThreadedMotoServer

BUCKET = "incoming"


@dataclass(frozen=True)
class S3:
    """A server with an empty bucket, and a client of another kind than the one that is tested."""

    client: Any
    options: dict[str, Any]

    def objects(self) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {one["Key"]: self.read(one["Key"]) for one in found}

    def read(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def uploads(self) -> list[str]:
        """Keys of the multipart uploads that nobody completed."""
        found = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return [one["Key"] for one in found]


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    import boto3

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    access = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    client = boto3.client("s3", endpoint_url=s3_address, region_name="us-east-1", **access)
    client.create_bucket(Bucket=BUCKET)
    yield S3(client, {"endpoint_url": s3_address, "key": "a", "secret": "b"})
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=one["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()
