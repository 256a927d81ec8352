"""What a registry allows that saves a client requests and bytes, asked of it without longshore: each
question is one or two plain requests, and what is noted is its answer."""

import hashlib
import http.client
import json

KIND = "application/vnd.oci.image.manifest.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"


class Asking:
    """A registry on loopback without credentials."""

    def __init__(self, port):
        self.port = port

    def request(self, method, target, body=b"", **headers):
        """Status, headers (lower case) and body of the answer. A connection for each: some close after a refusal."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def post(self, repository, query="", body=b""):
        """An upload opened, and given up if it stays open: the status."""
        status, headers, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/{query}", body,
                                          Content_Type="application/octet-stream")
        if status == 202:
            self.request("DELETE", headers["location"].split(f":{self.port}", 1)[-1])
        return status

    def blob(self, repository, data):
        """A blob put with POST and PUT: its descriptor."""
        _, headers, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        location = headers["location"].split(f":{self.port}", 1)[-1]
        mark = "&" if "?" in location else "?"
        digest = digest_of(data)
        status, _, said = self.request("PUT", f"{location}{mark}digest={digest}", data, Content_Type="application/octet-stream")
        if status != 201:
            raise SystemExit(f"a blob was not taken: {status} {said[:200]}")
        return {"mediaType": EMPTY, "digest": digest, "size": len(data)}

    def manifest(self, repository, at, value, query=""):
        return self.request("PUT", f"/v2/{repository}/manifests/{at}{query}", json.dumps(value).encode(), Content_Type=KIND)


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def image(*blobs, **more):
    return {"schemaVersion": 2, "mediaType": KIND, "config": blobs[0], "layers": list(blobs), **more}


def mounts(asking):
    """A blob of another repository: named, not named, and asked for where it is already."""
    blob = asking.blob("ask/holder", b"a blob that others hold")
    asking.manifest("ask/holder", "1", image(blob))
    digest = blob["digest"]
    return {
        "mount": asking.post("ask/named", f"?mount={digest}&from=ask/holder"),
        "mount without from": asking.post("ask/unnamed", f"?mount={digest}"),
        "mount from itself": asking.post("ask/holder", f"?mount={digest}&from=ask/holder"),
        "mount from nowhere": asking.post("ask/named", f"?mount={digest_of(b'nobody has it')}&from=ask/nowhere"),
    }


def single_post(asking):
    data = b"a blob in one request"
    return {"single POST": asking.post("ask/single", f"?digest={digest_of(data)}", data)}


def missing(asking):
    """What is said of a manifest two of whose blobs are not there."""
    first, second = ({"mediaType": EMPTY, "digest": digest_of(it), "size": len(it)} for it in (b"missing", b"missing too"))
    status, _, said = asking.manifest("ask/missing", "1", image(first, second))
    named = sum(it["digest"].encode() in said for it in (first, second))
    return {"a manifest without its blobs": f"{status}, names {('none', 'one', 'all')[named]}"}


def tags(asking):
    """One manifest under two more tags in one request."""
    blob = asking.blob("ask/tags", b"{}")
    value = image(blob)
    digest = digest_of(json.dumps(value).encode())
    status, _, _ = asking.manifest("ask/tags", digest, value, "?tag=one&tag=two")
    there = sum(asking.request("HEAD", f"/v2/ask/tags/manifests/{tag}", Accept=KIND)[0] == 200 for tag in ("one", "two"))
    return {"two tags in one PUT": f"{status}, {there} there"}


def referrers(asking):
    blob = asking.blob("ask/referrers", b"{}")
    subject = image(blob)
    asking.manifest("ask/referrers", "1", subject)
    data = json.dumps(subject).encode()
    about = image(blob, artifactType="application/x.test", subject={"mediaType": KIND, "digest": digest_of(data), "size": len(data)})
    _, headers, _ = asking.manifest("ask/referrers", digest_of(json.dumps(about).encode()), about)
    status, _, said = asking.request("GET", f"/v2/ask/referrers/referrers/{digest_of(data)}")
    listed = len(json.loads(said)["manifests"]) if status == 200 else 0
    return {"referrers": f"{status}, {listed} listed{', OCI-Subject' if 'oci-subject' in headers else ''}"}


def condition(asking):
    """A tag that exists, put on condition that it does not."""
    blob = asking.blob("ask/condition", b"{}")
    asking.manifest("ask/condition", "1", image(blob))
    other = json.dumps(image(blob, annotations={"other": "yes"})).encode()
    status, _, _ = asking.request("PUT", "/v2/ask/condition/manifests/1", other, Content_Type=KIND, If_None_Match="*")
    return {"If-None-Match: * on a tag that is there": status}


def all_of(port):
    asking = Asking(port)
    found = {}
    for question in (mounts, single_post, missing, tags, referrers, condition):
        found |= question(asking)
    return found
