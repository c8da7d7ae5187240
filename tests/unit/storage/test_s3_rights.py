"""The rights that the documentation tells to give are those that the program asks for."""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "storage.md").read_text(encoding="utf-8")
LOCK = {"s3:PutObjectRetention", "s3:GetObjectRetention"}
KMS = {"kms:GenerateDataKey", "kms:Decrypt"}
OF_THE_BUCKET = {"s3:ListBucket", "s3:ListBucketMultipartUploads"}
NEEDED = {
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "complete_multipart_upload": "s3:PutObject",
    "create_multipart_upload": "s3:PutObject",
    "delete_object": "s3:DeleteObject",
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "list_objects_v2": "s3:ListBucket",
    "list_parts": "s3:ListMultipartUploadParts",
    "put_object": "s3:PutObject",
    "upload_part": "s3:PutObject",
}
"""Amazon's service authorization reference: what each operation takes."""


def sources() -> list[ast.Module]:
    """Every module that speaks S3."""
    files = sorted((ROOT / "daemon" / "storage").glob("s3*.py"))
    return [ast.parse(file.read_text(encoding="utf-8")) for file in files]


def named() -> set[str]:
    """The permissions that calls name for the case that they are refused."""
    return {
        node.value
        for tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"s3:[A-Za-z]+", node.value)
    }


def operations() -> set[str]:
    """The operations that are called on a client."""
    return {
        node.attr
        for tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("client")
    } & NEEDED.keys()


def documented() -> dict[str, set[str]]:
    """Actions of the policy in the documentation, by resource."""
    blocks = map(json.loads, re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))
    policy = next(block for block in blocks if "Statement" in block)
    found: dict[str, set[str]] = {}
    for statement in policy["Statement"]:
        found.setdefault(statement["Resource"], set()).update(statement["Action"])
    return found


def test_the_documented_policy_is_what_is_asked_for() -> None:
    """No call needs a permission that the policy lacks, and the policy gives nothing beyond."""
    given = set().union(*documented().values())
    assert named() | LOCK | KMS == given


def test_every_call_names_the_permission_that_it_takes() -> None:
    """The permissions named in errors are those of the operations that are really called."""
    assert operations() == NEEDED.keys(), "an operation was added, or is not called any more"
    assert {NEEDED[operation] for operation in operations()} == named()


def test_the_bucket_s_permissions_are_given_on_the_bucket() -> None:
    """Listing is a right to the bucket, everything else one to the objects in it."""
    for resource, actions in documented().items():
        if resource.startswith("arn:aws:s3:::"):
            assert (actions <= OF_THE_BUCKET) != resource.endswith("/*")
