"""A real S3 server (moto's, over HTTP), with buckets."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import boto3
import requests
from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class Buckets:
    url: str

    @property
    def variables(self) -> Mapping[str, str]:
        """What tells any AWS program where it is."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def content(self, bucket: str, key: str) -> bytes:
        access = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **access)
        content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content


@contextmanager
def buckets(*names: str) -> Iterator[Buckets]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        found = Buckets(f"http://{host}:{port}")
        for name in names:
            requests.put(f"{found.url}/{name}", timeout=30).raise_for_status()
        yield found
    finally:
        server.stop()
